//! Training data: train/validation split and data augmentation.

use crate::commands::values::{choices, enum_values, fraction};
use clap::{Args, ValueEnum};
use desam::data::split::SplitRule;
use desam_study::train::{Augment, TrainConfig, TrainSlices};

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

    /// Slices to train on. labelled: those with ground truth, as in the paper; the model then draws a
    /// mask on every slice of a volume. all: empty slices, too, so that the model learns where there
    /// is nothing; needs a cache made with `desam embed --slices all` [default: all with preset volume,
    /// else labelled]
    #[arg(long, value_name = "WHICH", value_parser = enum_values::<TrainSlices>())]
    slices: Option<TrainSlices>,

    /// Fraction of empty slices among those of an epoch, above 0 and below 1, drawn again for every
    /// epoch; with --slices all [default: every empty slice once an epoch]
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true, value_parser = fraction)]
    empty_share: Option<f64>,

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
        config.empty_share = self.empty_share.or(config.empty_share);
    }

    /// Sets the slices to train on. Call this after the decoder is set: its IoU head learns which
    /// slices are empty.
    pub(super) fn with_slices(&self, config: TrainConfig) -> TrainConfig {
        match self.slices {
            Some(slices) => config.with_slices(slices),
            None => config,
        }
    }
}

/// Values of `--split`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitChoice {
    Seeded,
    Last,
}
