//! What is scored, and how.

use crate::{Error, Result};
use desam::PromptingConfig;
use desam::verify::paper_border;
use desam_metrics::metric::{BothEmpty, CaseMetric, EmptyPolicy, OneEmpty};
use serde::{Deserialize, Serialize};

/// Which voxels are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// As the official program scores: `M × M` masks, only slices with ground truth, a border of
    /// the prediction set to zero.
    #[default]
    Paper,
    /// The whole volume on its own grid, against the label file.
    Full,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Paper => "paper",
            Self::Full => "full",
        })
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "paper" => Ok(Self::Paper),
            "full" => Ok(Self::Full),
            other => Err(format!("protocol {other:?}: expected paper or full")),
        }
    }
}

/// What is scored, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Which voxels are compared.
    pub protocol: Protocol,
    /// Rows and columns on each side of a predicted `M × M` mask that are set to zero, in pixels
    /// of that mask; `None` is the protocol's own (see [`EvaluateConfig::border_for`]).
    #[serde(default)]
    pub border_px: Option<usize>,
    /// How the model is prompted.
    pub automatic: PromptingConfig,
    /// The sites to score; `None` scores all in the cache.
    #[serde(default)]
    pub sites: Option<Vec<String>>,
    /// What is measured beside Dice, which always is.
    #[serde(default)]
    pub metrics: Vec<CaseMetric>,
    /// What a distance counts as in a case that was missed or invented. Overlap is 0 there, and a
    /// case with nothing to find and nothing found is perfect.
    #[serde(default)]
    pub one_empty: OneEmpty,
}

impl EvaluateConfig {
    /// All sites, the protocol's own border, Dice.
    pub fn new(protocol: Protocol, automatic: PromptingConfig) -> Self {
        let (metrics, one_empty) = (Vec::new(), OneEmpty::default());
        Self { protocol, border_px: None, automatic, sites: None, metrics, one_empty }
    }

    /// What is measured: Dice, then what was asked for, each once.
    pub fn all_metrics(&self) -> Vec<CaseMetric> {
        let mut metrics = vec![CaseMetric::DICE];
        for metric in &self.metrics {
            if !metrics.contains(metric) {
                metrics.push(*metric);
            }
        }
        metrics
    }

    /// What cases with an empty mask count as.
    pub fn empty_policy(&self) -> EmptyPolicy {
        EmptyPolicy { both: BothEmpty::Perfect, one: self.one_empty }
    }

    /// The border for masks of side `mask_side`, in their pixels. Unless set, the paper protocol
    /// takes the official program's ([`paper_border`]), and the full protocol none.
    ///
    /// # Errors
    /// When it would leave nothing of a mask.
    pub fn border_for(&self, mask_side: usize) -> Result<usize> {
        let border = match (self.border_px, self.protocol) {
            (Some(px), _) => px,
            (None, Protocol::Paper) => paper_border(mask_side),
            (None, Protocol::Full) => 0,
        };
        if border.saturating_mul(2) >= mask_side {
            return Err(Error::Invalid(format!(
                "a border of {border} pixels leaves nothing of masks of {mask_side} × {mask_side}; \
                 choose less than {}",
                mask_side.div_ceil(2)
            )));
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
    fn dice_is_always_measured_and_nothing_twice() {
        let [hd, dice] = ["hd_mm", "dice"].map(|n| n.parse::<CaseMetric>().unwrap());
        let metrics = vec![hd, dice, hd];
        let asked = EvaluateConfig { metrics, ..config(Protocol::Paper, None) };
        assert_eq!(asked.all_metrics(), [dice, hd]);
        assert_eq!(config(Protocol::Paper, None).all_metrics(), [dice]);
    }

    #[test]
    fn names_go_both_ways() {
        for protocol in [Protocol::Paper, Protocol::Full] {
            assert_eq!(protocol.to_string().parse::<Protocol>().unwrap(), protocol);
            assert_eq!(serde_json::to_string(&protocol).unwrap(), format!("\"{protocol}\""));
        }
        assert!("whole".parse::<Protocol>().unwrap_err().contains("paper or full"));
    }
}
