//! Segmentation of images of the crate `image`.

use super::{EncodedSlice, Segmentation, Segmenter};
use crate::Result;
use desam_core::{Progress, Volume};
use image::DynamicImage;

impl Segmenter {
    /// Segments a two-dimensional image in memory, grey or in colour, of 8 or 16 bits: the mask has one
    /// slice of its pixels. Colour goes to the encoder as it is, grey by its percentiles.
    ///
    /// ```no_run
    /// use desam::{Quiet, Segmenter};
    /// use image::{DynamicImage, RgbImage};
    ///
    /// # fn main() -> desam::Result<()> {
    /// let segmenter = Segmenter::open("run")?;
    /// let photograph = DynamicImage::from(RgbImage::new(640, 480));
    /// let found = segmenter.segment_image(&photograph, &Quiet)?;
    /// println!("{}", found.size());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn segment_image(
        &self,
        image: &DynamicImage,
        progress: &dyn Progress,
    ) -> Result<Segmentation> {
        self.segment(&Volume::from_image(image)?, progress)
    }

    /// Encodes a two-dimensional image, grey or in colour, for prompts of a user in its pixels.
    ///
    /// # Errors
    /// As [`encode_slice`](Self::encode_slice).
    pub fn encode_image(&self, image: &DynamicImage) -> Result<EncodedSlice> {
        self.encode_volume_slice(&Volume::from_image(image)?, 0)
    }
}
