//! Flags of style views.

use crate::commands::values::{integer, seed};
use clap::Args;
use desam::data::augment::StyleAugment;
use desam::data::cache::{MAX_VIEWS, StyleViews};

/// Flags that choose the style views to store.
#[derive(Debug, Args)]
#[command(next_help_heading = "Style views")]
pub(super) struct ViewFlags {
    /// Store this many changed views of each slice beside the plain one, 1 to 64, for `desam train
    /// --augment views`: the model then sees other scanners' contrasts without running the encoder
    /// in training. Takes this many times the time and disk space more
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = integer(1..=MAX_VIEWS))]
    views: Option<usize>,

    /// Changes that make a view, in this order. gin: a random network of convolutions (CSDG).
    /// gin-ipa: two of these, blended by a smooth map. randconv: one random convolution. bias: a
    /// smooth bias field. gamma: a gamma curve. paper: flips, rotation, scaling, shifts, gamma, bias
    /// field and noise [default: paper,gin]
    #[arg(long, value_name = "LIST", requires = "views", value_parser = style)]
    augment: Option<StyleAugment>,

    /// Random seed of the views [default: 0]
    #[arg(long, value_name = "N", requires = "views", allow_negative_numbers = true,
        value_parser = seed)]
    view_seed: Option<u64>,

    /// Sites whose slices get views, as A,B: those that are trained on [default: all]
    #[arg(long, value_name = "SITES", requires = "views", value_delimiter = ',')]
    view_sites: Option<Vec<String>>,
}

impl ViewFlags {
    /// The views, if any.
    pub(super) fn views(&self) -> anyhow::Result<Option<StyleViews>> {
        let Some(count) = self.views else { return Ok(None) };
        let views = StyleViews::new(self.augment.clone().unwrap_or_default(), count)?;
        let views = views.with_seed(self.view_seed.unwrap_or_default());
        Ok(Some(views.with_sites(self.view_sites.clone())))
    }
}

/// Parser for a list of changes of style.
fn style(text: &str) -> Result<StyleAugment, String> {
    text.parse().map_err(|e: desam::data::Error| e.to_string())
}
