//! Conversions from and to `image`.

use crate::BinaryMask;
use image::{GrayImage, Luma};

/// Foreground 255, background 0.
///
/// # Panics
/// For a mask of more than `u32::MAX` rows or columns, which no memory holds.
impl From<&BinaryMask> for GrayImage {
    fn from(mask: &BinaryMask) -> Self {
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        Self::from_fn(side(mask.width()), side(mask.height()), |x, y| {
            Luma([if mask.get(y as usize, x as usize) { u8::MAX } else { 0 }])
        })
    }
}

/// Every value above 0 is foreground.
impl From<&GrayImage> for BinaryMask {
    fn from(image: &GrayImage) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        // By pixel: the buffer behind an image may be longer than the image.
        let pixels = image.pixels().map(|pixel| pixel.0[0]).collect();
        // Never fails: there are width × height pixels.
        Self::new(height, width, pixels).unwrap_or_else(|_| Self::empty(height, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_round_trip() {
        let mask = BinaryMask::new(2, 3, vec![0, 1, 0, 1, 1, 0]).unwrap();
        let image = GrayImage::from(&mask);
        assert_eq!((image.width(), image.height()), (3, 2));
        assert_eq!(image.as_raw(), &[0, 255, 0, 255, 255, 0]);
        assert_eq!(BinaryMask::from(&image), mask);
        let mut longer = image.into_raw();
        longer.push(7);
        assert_eq!(BinaryMask::from(&GrayImage::from_raw(3, 2, longer).unwrap()), mask);
    }
}
