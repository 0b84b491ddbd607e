//! Bootstrap confidence intervals.

use crate::commands::values::{integer, seed};
use crate::usage::{invalid, usage};
use clap::Args;
use desam::metrics::statistics::{BootstrapConfig, IntervalMethod};

/// Bootstrap samples if `--bootstrap` is given without a number.
const DEFAULT_SAMPLES: &str = "10000";

/// Parser of confidence levels.
fn level(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.5..=0.9999).contains(&value) => Ok(value),
        _ => Err("expected a number from 0.5 to 0.9999".into()),
    }
}

/// Flags of the bootstrap.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct BootstrapFlags {
    /// Number of bootstrap samples for confidence intervals of means, 100 to 1000000; cases are
    /// resampled within their sites [default without N: 10000]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = DEFAULT_SAMPLES,
        allow_negative_numbers = true, value_parser = integer(100..=1_000_000))]
    bootstrap: Option<usize>,

    /// Random seed of the bootstrap [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,

    /// Confidence level of the intervals, 0.5 to 0.9999 [default: 0.95]
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, value_parser = level)]
    level: Option<f64>,

    /// Use percentile intervals instead of BCa (bias-corrected and accelerated)
    #[arg(long)]
    percentile: bool,
}

impl BootstrapFlags {
    /// The settings, or `None` without `--bootstrap`: for commands that compute intervals on request.
    pub(in crate::commands) fn config(&self) -> anyhow::Result<Option<BootstrapConfig>> {
        if self.bootstrap.is_none()
            && (self.seed.is_some() || self.level.is_some() || self.percentile)
        {
            return Err(usage("--seed, --level and --percentile need --bootstrap"));
        }
        self.bootstrap.map(|_| self.config_or_default()).transpose()
    }

    /// The settings, with 10 000 samples by default: for commands that always compute intervals.
    pub(in crate::commands) fn config_or_default(&self) -> anyhow::Result<BootstrapConfig> {
        let default = BootstrapConfig::default();
        let method = if self.percentile { IntervalMethod::Percentile } else { IntervalMethod::Bca };
        let config = BootstrapConfig {
            resamples: self.bootstrap.unwrap_or(default.resamples),
            seed: self.seed.unwrap_or(default.seed),
            level: self.level.unwrap_or(default.level),
            method,
        };
        config.validate().map_err(invalid)?;
        Ok(config)
    }
}
