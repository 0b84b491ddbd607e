//! Training data: train/validation split and data augmentation.

use crate::commands::values::{MAX_WEIGHT, enum_values, fraction, positive};
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

    /// Random data augmentation: none, features, images, views, or changes of style. features:
    /// flips, style changes and noise on the features, at little cost. views: the views of
    /// `desam embed --views`, one drawn a slice and epoch, at no cost. images: flips, rotation,
    /// scaling, shifts, gamma, bias field and noise; needs --no-cache. Changes of style, which also
    /// need it, are those of `desam embed --augment`: gin, gin-ipa, randconv, bias, gamma, paper, or
    /// several as paper,gin
    #[arg(long, value_name = "WHAT", default_value = "none", value_parser = augment)]
    augment: Augment,

    /// Take two views of each slice and add their disagreement to the loss with this weight, above 0
    /// and at most 1000000, such as 1 (CSDG's consistency); with --augment views or changes of style
    /// other than paper. A step then computes twice as much [default: one view, no such term]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true,
        value_parser = positive(MAX_WEIGHT))]
    consistency: Option<f64>,

    /// Run the image encoder on every slice in every epoch instead of reading features from CACHE.
    /// Slow, but allows `--augment images` and changes of style. Images and masks still come from
    /// CACHE, which may have been made with `desam embed --slices none`
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
        config.augment = self.augment.clone();
        config.live |= self.no_cache;
        config.consistency = self.consistency.or(config.consistency);
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

/// Parser for `--augment`.
fn augment(text: &str) -> Result<Augment, String> {
    text.parse()
}

/// Values of `--split`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitChoice {
    Seeded,
    Last,
}
