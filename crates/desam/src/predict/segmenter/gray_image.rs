//! Slices from images of the crate `image`.

use super::GraySlice;
use crate::Result;
use image::{GrayImage, ImageBuffer, Luma};

impl GraySlice {
    /// A slice from an 8-bit image, with the distances between columns and between rows in mm.
    ///
    /// ```
    /// use desam::predict::GraySlice;
    ///
    /// let slice = GraySlice::from_luma8(&image::GrayImage::new(320, 256), [0.6, 0.6]).unwrap();
    /// assert_eq!((slice.width(), slice.height()), (320, 256));
    /// ```
    ///
    /// # Errors
    /// [`Error::Spacing`](crate::Error::Spacing) when a distance is not positive and finite.
    pub fn from_luma8(image: &GrayImage, spacing_mm: [f64; 2]) -> Result<Self> {
        let pixels = image.pixels().map(|pixel| f32::from(pixel.0[0])).collect();
        Self::from_pixels([image.width(), image.height()], spacing_mm, pixels)
    }

    /// A slice from a 16-bit image, with the distances between columns and between rows in mm.
    ///
    /// # Errors
    /// As [`from_luma8`](Self::from_luma8).
    pub fn from_luma16(
        image: &ImageBuffer<Luma<u16>, Vec<u16>>,
        spacing_mm: [f64; 2],
    ) -> Result<Self> {
        let pixels = image.pixels().map(|pixel| f32::from(pixel.0[0])).collect();
        Self::from_pixels([image.width(), image.height()], spacing_mm, pixels)
    }

    fn from_pixels(size: [u32; 2], spacing_mm: [f64; 2], pixels: Vec<f32>) -> Result<Self> {
        let [width, height] = size.map(|side| side as usize);
        Self::new(width, height, spacing_mm, pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_of_8_and_16_bits_keep_their_values_and_order() {
        let small = GrayImage::from_raw(3, 2, vec![1, 2, 3, 4, 5, 255]).unwrap();
        let slice = GraySlice::from_luma8(&small, [0.5, 0.7]).unwrap();
        assert_eq!((slice.width(), slice.height(), slice.spacing_mm()), (3, 2, [0.5, 0.7]));
        assert_eq!(slice.pixels(), [1.0, 2.0, 3.0, 4.0, 5.0, 255.0]);
        let large = ImageBuffer::from_raw(1, 2, vec![0_u16, 65535]).unwrap();
        assert_eq!(GraySlice::from_luma16(&large, [1.0; 2]).unwrap().pixels(), [0.0, 65535.0]);
    }
}
