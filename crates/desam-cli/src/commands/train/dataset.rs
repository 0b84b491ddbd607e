//! Training data: train/validation split and data augmentation.

use crate::commands::values::{choices, fraction};
use clap::{Args, ValueEnum};
use desam::data::split::SplitRule;
use desam_study::train::{Augment, TrainConfig};

/// Flags of the train/validation split and of data augmentation.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training data")]
pub(super) struct DatasetFlags {
    /// Validation cases of the site. seeded: drawn at random by --seed. last: the last ones in order
    #[arg(long, value_enum, value_name = "RULE", default_value = "seeded")]
    split: SplitChoice,

    /// Fraction of the site's cases that is held out for validation, above 0 and below 1 [default:
    /// 0.1]
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true, value_parser = fraction)]
    validation_fraction: Option<f64>,

    /// Random data augmentation. features: flips, style changes and noise on the features, at
    /// little cost. images: flips, rotation, scaling, shifts, gamma, bias field and noise; needs
    /// --no-cache
    #[arg(long, value_name = "WHAT", default_value = "none",
        value_parser = choices::<Augment>(&Augment::NAMES))]
    augment: Augment,

    /// Run the image encoder on every slice in every epoch instead of reading features from CACHE.
    /// Slow, but allows `--augment images`. Images and masks still come from CACHE, which may have
    /// been made with `desam embed --slices none`
    #[arg(long)]
    no_cache: bool,
}

impl DatasetFlags {
    /// Sets the split and the augmentation. Call this before `TrainConfig::with_seed`, which also
    /// sets the seed of a random split.
    pub(super) fn apply(&self, config: &mut TrainConfig) {
        config.validation_fraction = self.validation_fraction.unwrap_or(config.validation_fraction);
        config.split = match self.split {
            SplitChoice::Seeded => SplitRule::Seeded { seed: config.seed },
            SplitChoice::Last => SplitRule::Last,
        };
        (config.augment, config.live) = (self.augment, self.no_cache);
    }
}

/// Values of `--split`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitChoice {
    Seeded,
    Last,
}
