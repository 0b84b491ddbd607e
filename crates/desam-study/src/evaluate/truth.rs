//! The ground truth that predictions are compared with.

use super::Protocol;
use desam_data::preprocess::LabelRule;
use serde::{Deserialize, Serialize};

/// Ground truth of an evaluation.
///
/// Under the paper protocol it went through the same preprocessing as the training masks. Where that
/// erodes labels, a model that segments too little is not penalised, and only the full protocol shows
/// the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroundTruthKind {
    /// The label files, on the volumes' own grids.
    LabelFiles,
    /// `M × M` masks, resampled by nearest neighbour.
    NearestMasks,
    /// `M × M` masks that the official label rule has eroded.
    ErodedMasks,
}

impl GroundTruthKind {
    /// The ground truth of a protocol, for a cache whose masks were made by `rule`.
    pub(super) fn of(protocol: Protocol, rule: LabelRule) -> Self {
        match (protocol, rule) {
            (Protocol::Full | Protocol::Native, _) => Self::LabelFiles,
            (Protocol::Paper, LabelRule::Nearest) => Self::NearestMasks,
            (Protocol::Paper, LabelRule::Eroded) => Self::ErodedMasks,
        }
    }
}

impl std::fmt::Display for GroundTruthKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LabelFiles => "the label files",
            Self::NearestMasks => "labels in masks by the nearest voxel",
            Self::ErodedMasks => "labels in masks, eroded by the official rule",
        })
    }
}
