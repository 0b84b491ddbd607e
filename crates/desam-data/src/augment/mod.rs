//! Data augmentation of training slices: spatial changes of image and mask together, intensity changes
//! of the image alone.
//!
//! [`ImageAugment`] changes what the encoder sees, so the features cannot come from a cache: what the
//! paper leaves as a further improvement ("loading the image encoder to apply regular image
//! augmentation", section 5). [`StyleAugment`] changes its style as other scanners would, in the encoder's
//! input of every step or once, in [views](crate::cache::ViewRecipe) whose features are stored.
//! [`FeatureAugment`] changes cached features themselves.
//! [`dapsam_augment`] is DAPSAM's recipe, over the transforms of [`plane`].

mod blend;
mod config;
mod dapsam;
mod features;
mod geometry;
mod intensity;
pub mod plane;
mod random_conv;
mod style;
#[cfg(test)]
mod style_tests;
#[cfg(test)]
mod tests;
mod z_score;

pub use config::ImageAugment;
pub use dapsam::dapsam_augment;
pub use features::FeatureAugment;
pub use random_conv::{Gin, RandConv, RandomConv};
pub use style::{StyleAugment, StyleStep, ViewSeed};

use crate::Result;
use crate::preprocess::SliceImage;
use desam_core::LabelMask;
use geometry::RandomAffine;
use intensity::Tone;
use rand::Rng;

/// Attempts at a spatial change that leaves some foreground of a mask that has some; after that the
/// slice is not moved.
const TRIES: usize = 8;

impl ImageAugment {
    /// Augments one slice: `image` square, `mask` square of the same field of view. The same `rng`
    /// gives the same bits. A mask with foreground keeps some.
    ///
    /// # Errors
    /// When a setting makes no sense.
    pub fn apply(
        &self,
        image: &SliceImage,
        mask: &LabelMask,
        rng: &mut impl Rng,
    ) -> Result<(SliceImage, LabelMask)> {
        self.validate()?;
        let placed = (0..TRIES).find_map(|_| {
            let placement = RandomAffine::draw(self, rng);
            let moved = placement.mask(mask);
            (mask.is_empty() || !moved.is_empty()).then_some((placement, moved))
        });
        let (mut image, mask) = match placed {
            Some((placement, moved)) => (placement.image(image), moved),
            None => (image.clone(), mask.clone()),
        };
        Tone::draw(self, rng).change(&mut image, rng);
        Ok((image, mask))
    }
}
