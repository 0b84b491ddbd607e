//! The adapter that a training puts into the image encoder, and its record in a model's file.

use desam_encoder::adapter::AdapterKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Rank of SAMed's updates.
const RANK: usize = 4;

/// The adapter to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AdapterChoice {
    /// Its kind.
    pub kind: AdapterKind,
    /// Side of the network's input in pixels, a multiple of the patch; `None`: that of the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_side: Option<usize>,
    /// Rank of the updates of a LoRA.
    #[serde(default = "rank", skip_serializing_if = "is_default_rank")]
    pub rank: usize,
}

fn rank() -> usize {
    RANK
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_default_rank(rank: &usize) -> bool {
    *rank == RANK
}

impl AdapterChoice {
    /// An adapter at the cache's input side, a LoRA of rank 4.
    pub fn new(kind: AdapterKind) -> Self {
        Self { kind, input_side: None, rank: RANK }
    }

    /// Sets [`input_side`](Self::input_side).
    #[must_use]
    pub fn with_input_side(self, input_side: Option<usize>) -> Self {
        Self { input_side, ..self }
    }

    /// Sets [`rank`](Self::rank).
    #[must_use]
    pub fn with_rank(self, rank: usize) -> Self {
        Self { rank, ..self }
    }
}

/// The adapter of a model, in its file's record. The file holds only what was trained; the image encoder
/// below it, the base, is another file, which the record's hash of the encoder identifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AdapterRecord {
    /// Its kind.
    pub kind: AdapterKind,
    /// Side of the network's input, in pixels.
    pub input_side: usize,
    /// The base: the file of frozen weights that it was trained on, where it was then.
    #[serde(with = "desam_core::serde_path")]
    pub base: PathBuf,
}

impl AdapterRecord {
    /// A record, as its fields say.
    pub fn new(kind: AdapterKind, input_side: usize, base: PathBuf) -> Self {
        Self { kind, input_side, base }
    }
}
