//! Flags of commands that draw cases again.

use crate::commands::values::{integer, seed};
use clap::Args;
use desam::metrics::statistics::{BootstrapConfig, IntervalMethod};

/// How often a case is drawn where nobody says otherwise.
const DRAWS: &str = "10000";

/// The level of an interval.
fn level(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.5..=0.9999).contains(&value) => Ok(value),
        _ => Err("expected a number from 0.5 to 0.9999".into()),
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct BootstrapFlags {
    /// Intervals around means, from N bootstrap draws (100 to 1000000) of the cases within their sites
    /// [without N: 10000]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = DRAWS,
        allow_negative_numbers = true, value_parser = integer(100..=1_000_000))]
    bootstrap: Option<usize>,

    /// Seed of the draws [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,

    /// Share of such intervals that is to hold the true mean, 0.5 to 0.9999 [default: 0.95]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = level)]
    level: Option<f64>,

    /// Take an interval's ends at the draws' percentiles as they are, not corrected for bias and
    /// skew (BCa)
    #[arg(long)]
    percentile: bool,
}

impl BootstrapFlags {
    /// What was asked for, if anything.
    pub(in crate::commands) fn config(&self) -> anyhow::Result<Option<BootstrapConfig>> {
        if self.bootstrap.is_none()
            && (self.seed.is_some() || self.level.is_some() || self.percentile)
        {
            anyhow::bail!("--seed, --level and --percentile are of intervals: add --bootstrap");
        }
        self.bootstrap.map(|_| self.config_or_default()).transpose()
    }

    /// What was asked for, or 10 000 draws.
    pub(in crate::commands) fn config_or_default(&self) -> anyhow::Result<BootstrapConfig> {
        let default = BootstrapConfig::default();
        let method = if self.percentile { IntervalMethod::Percentile } else { IntervalMethod::Bca };
        let config = BootstrapConfig {
            resamples: self.bootstrap.unwrap_or(default.resamples),
            seed: self.seed.unwrap_or(default.seed),
            level: self.level.unwrap_or(default.level),
            method,
        };
        config.validate()?;
        Ok(config)
    }
}
