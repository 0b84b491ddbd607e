//! Which slices are trained on, and how they are changed.

use crate::commands::values::{enum_values, fraction};
use clap::{Args, ValueEnum};
use desam::data::split::SplitRule;
use desam::train::{Augment, TrainConfig};

/// The source site's two sides, and what training sees of them.
#[derive(Debug, Args)]
pub(super) struct DatasetFlags {
    /// Which cases of the site are held out for validation: drawn by the seed, or the last ones
    #[arg(long, value_enum, value_name = "RULE", default_value = "seeded")]
    split: SplitChoice,

    /// Share of the site's cases that is held out, above 0 and below 1 [default: 0.1]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = fraction)]
    validation_fraction: Option<f64>,

    /// Change training slices at random: features (mirrored, restyled, noisy: costs nothing), or
    /// images (flips, rotation, scale, shift, gamma, bias field, noise; needs --no-cache)
    #[arg(long, value_name = "WHAT", default_value = "none",
        value_parser = enum_values::<Augment>())]
    augment: Augment,

    /// Run the image encoder for every slice anew, in every epoch, instead of reading features from
    /// CACHE: slow, but images may then be changed; images and masks still come from CACHE
    /// (`desam embed --slices none` is enough)
    #[arg(long)]
    no_cache: bool,
}

impl DatasetFlags {
    /// Before the seed is given: a split that is drawn takes it from there.
    pub(super) fn apply(&self, config: &mut TrainConfig) {
        config.validation_fraction = self.validation_fraction.unwrap_or(config.validation_fraction);
        config.split = match self.split {
            SplitChoice::Seeded => SplitRule::Seeded { seed: config.seed },
            SplitChoice::Last => SplitRule::Last,
        };
        (config.augment, config.live) = (self.augment, self.no_cache);
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitChoice {
    Seeded,
    Last,
}
