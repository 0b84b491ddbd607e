//! Evaluation settings.

use crate::{Error, Result};
use desam::PromptingConfig;
use desam::verify::paper_border;
use desam_data::preprocess::{Interpolation, PreprocessConfig};
use desam_metrics::metric::{BothEmpty, CaseMetric, EmptyPolicy, OneEmpty};
use desam_volume::volumes::ReadOptions;
use serde::{Deserialize, Serialize};

desam_core::named! {
    /// Scoring protocol: which voxels are compared.
    #[derive(Default)]
    pub enum Protocol: "protocol" {
        /// The official program's: `M × M` masks, only slices with ground truth, a border of the
        /// prediction set to zero.
        #[default]
        Paper = "paper",
        /// The whole volume on its own grid, against the label file.
        Full = "full",
        /// Slices with ground truth on the volume's own grid, without a border: how methods at other
        /// image sizes report (DAPSAM, CSDG).
        Native = "native",
    }
}

impl Protocol {
    /// Whether masks are compared on the volume's own grid, which takes all slices of a volume.
    pub fn on_volume_grid(self) -> bool {
        match self {
            Self::Full | Self::Native => true,
            Self::Paper => false,
        }
    }
}

/// Evaluation settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EvaluateConfig {
    /// The scoring protocol.
    pub protocol: Protocol,
    /// Rows and columns on each side of a predicted `M × M` mask that are set to zero, in pixels
    /// of that mask; `None` is the protocol's own (see [`EvaluateConfig::border_for`]).
    #[serde(default)]
    pub border_px: Option<usize>,
    /// Prompting of the model.
    pub automatic: PromptingConfig,
    /// The sites to score; `None` scores all in the cache.
    #[serde(default)]
    pub sites: Option<Vec<String>>,
    /// Metrics in addition to Dice, which is always measured.
    #[serde(default)]
    pub metrics: Vec<CaseMetric>,
    /// Interpolation of masks on the volume's own grid, under the full and the native protocol. `None` is that of the
    /// preprocessing ([`PreprocessConfig::mask_interpolation`]).
    ///
    /// [`PreprocessConfig::mask_interpolation`]: desam_data::preprocess::PreprocessConfig::mask_interpolation
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_interpolation: Option<Interpolation>,
    /// Matches the intensities of each volume to those of the training volumes, by histogram
    /// ([`MatchingTable`](desam_data::preprocess::MatchingTable)). The image encoder then runs on the
    /// cache's images, and stored features are not used.
    #[serde(default)]
    pub match_source: bool,
    /// Value of a distance where exactly one mask is empty. Overlap is 0 there, and a case with both masks
    /// empty is perfect.
    #[serde(default)]
    pub one_empty: OneEmpty,
    /// Options for reading volumes and labels, where the protocol or a metric needs the files: their
    /// readers of foreign formats. Channel and segment are the cache's.
    #[serde(skip)]
    pub read: ReadOptions,
}

impl EvaluateConfig {
    /// All sites, the protocol's border, Dice alone.
    pub fn new(protocol: Protocol, automatic: PromptingConfig) -> Self {
        Self {
            protocol,
            border_px: None,
            automatic,
            sites: None,
            metrics: Vec::new(),
            mask_interpolation: None,
            match_source: false,
            one_empty: OneEmpty::default(),
            read: ReadOptions::default(),
        }
    }

    /// The interpolation of masks that are restored to a volume's own grid; `None` under the paper
    /// protocol, which restores none.
    pub(super) fn interpolation(&self, preprocess: &PreprocessConfig) -> Option<Interpolation> {
        let own = || preprocess.mask_interpolation();
        self.protocol.on_volume_grid().then(|| self.mask_interpolation.unwrap_or_else(own))
    }

    /// All metrics: Dice, then the others, each once.
    pub fn all_metrics(&self) -> Vec<CaseMetric> {
        let mut metrics = vec![CaseMetric::DICE];
        for metric in &self.metrics {
            if !metrics.contains(metric) {
                metrics.push(*metric);
            }
        }
        metrics
    }

    /// Treatment of empty masks.
    pub fn empty_policy(&self) -> EmptyPolicy {
        EmptyPolicy { both: BothEmpty::Perfect, one: self.one_empty }
    }

    /// The border for masks of side `mask_side`, in their pixels. Unless set, it is the official
    /// program's ([`paper_border`]) under the paper protocol, and 0 under the others.
    ///
    /// # Errors
    /// When it would leave no pixel of a mask.
    pub fn border_for(&self, mask_side: usize) -> Result<usize> {
        let border = match (self.border_px, self.protocol) {
            (Some(px), _) => px,
            (None, Protocol::Paper) => paper_border(mask_side),
            (None, Protocol::Full | Protocol::Native) => 0,
        };
        if border.saturating_mul(2) >= mask_side {
            return Err(Error::BorderTooWide { border_px: border, mask_side });
        }
        Ok(border)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam::Mode;

    fn config(protocol: Protocol, border_px: Option<usize>) -> EvaluateConfig {
        let automatic = PromptingConfig::new(Mode::Box, 9, 256);
        EvaluateConfig { border_px, ..EvaluateConfig::new(protocol, automatic) }
    }

    #[test]
    fn the_border_keeps_its_proportion() {
        // 50 of 256 is the official program's; 12.5 of 64 rounds to 13, by hand.
        let paper = config(Protocol::Paper, None);
        assert_eq!(paper.border_for(256).unwrap(), 50);
        assert_eq!(paper.border_for(512).unwrap(), 100);
        assert_eq!(paper.border_for(64).unwrap(), 13);
        assert_eq!(config(Protocol::Full, None).border_for(256).unwrap(), 0);
        assert_eq!(config(Protocol::Full, Some(3)).border_for(256).unwrap(), 3);
        assert_eq!(config(Protocol::Paper, Some(0)).border_for(64).unwrap(), 0);
    }

    #[test]
    fn a_border_that_leaves_nothing_is_refused() {
        for (px, side) in [(128, 256), (usize::MAX, 256), (0, 0), (2, 3)] {
            let message = config(Protocol::Paper, Some(px)).border_for(side).unwrap_err();
            assert!(message.to_string().contains("border"), "{message}");
        }
        assert_eq!(config(Protocol::Paper, Some(1)).border_for(3).unwrap(), 1);
    }

    #[test]
    fn dice_is_always_measured_and_no_metric_twice() {
        let [hd, dice] = ["hd_mm", "dice"].map(|n| n.parse::<CaseMetric>().unwrap());
        let metrics = vec![hd, dice, hd];
        let asked = EvaluateConfig { metrics, ..config(Protocol::Paper, None) };
        assert_eq!(asked.all_metrics(), [dice, hd]);
        assert_eq!(config(Protocol::Paper, None).all_metrics(), [dice]);
    }

    #[test]
    fn names_round_trip() {
        for protocol in [Protocol::Paper, Protocol::Full, Protocol::Native] {
            assert_eq!(protocol.to_string().parse::<Protocol>().unwrap(), protocol);
            assert_eq!(serde_json::to_string(&protocol).unwrap(), format!("\"{protocol}\""));
        }
        assert!(
            "whole".parse::<Protocol>().unwrap_err().to_string().contains("paper, full or native")
        );
    }
}
