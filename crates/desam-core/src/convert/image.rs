//! Conversions from and to `image`.

use crate::{Affine, BinaryMask, Grid, Result, Volume};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Pixel};

/// Values of a 16-bit channel for one of an 8-bit channel: 65535 / 255.
const WIDE: f32 = 257.0;

impl Volume {
    /// A volume of one slice from an image, in pixels: columns to the patient's left and rows to the
    /// back, as slices are shown, so that any orientation keeps it. Grey values stay as they are, of
    /// 8 or 16 bits; colours are on 0 to 255. Opacity is dropped.
    ///
    /// ```
    /// use desam_core::Volume;
    /// use image::{DynamicImage, RgbImage};
    ///
    /// let photograph = DynamicImage::from(RgbImage::from_pixel(640, 480, image::Rgb([200, 80, 40])));
    /// let volume = Volume::from_image(&photograph)?;
    /// assert_eq!(volume.grid().dims, [640, 480, 1]);
    /// assert!(volume.is_in_pixels() && volume.color().is_some());
    /// # Ok::<_, desam_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// None at present: an image has as many pixels as its size says.
    pub fn from_image(image: &DynamicImage) -> Result<Self> {
        let affine = Affine([[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        let grid = Grid { dims: [image.width() as usize, image.height() as usize, 1], affine };
        let volume = match image {
            DynamicImage::ImageLuma8(grey) => Self::new(grid, channel::<Luma<u8>>(grey, 0)),
            DynamicImage::ImageLumaA8(grey) => Self::new(grid, channel::<LumaA<u8>>(grey, 0)),
            DynamicImage::ImageLuma16(grey) => Self::new(grid, channel::<Luma<u16>>(grey, 0)),
            DynamicImage::ImageLumaA16(grey) => Self::new(grid, channel::<LumaA<u16>>(grey, 0)),
            DynamicImage::ImageRgb8(color) => Self::from_rgb(grid, channels(color, 1.0)),
            DynamicImage::ImageRgba8(color) => Self::from_rgb(grid, channels(color, 1.0)),
            DynamicImage::ImageRgb16(color) => Self::from_rgb(grid, channels(color, WIDE)),
            DynamicImage::ImageRgba16(color) => Self::from_rgb(grid, channels(color, WIDE)),
            // Decimals from 0 to 1.
            other => Self::from_rgb(grid, channels(&other.to_rgb16(), WIDE)),
        };
        Ok(volume?.in_pixels())
    }
}

/// One channel of all pixels. By pixel: the buffer behind an image may be longer than the image.
fn channel<P: Pixel>(image: &ImageBuffer<P, Vec<P::Subpixel>>, index: usize) -> Vec<f32>
where
    f32: From<P::Subpixel>,
{
    image.pixels().filter_map(|p| p.channels().get(index)).map(|&v| f32::from(v)).collect()
}

/// Red, green and blue, divided by `unit`.
fn channels<P: Pixel>(image: &ImageBuffer<P, Vec<P::Subpixel>>, unit: f32) -> [Vec<f32>; 3]
where
    f32: From<P::Subpixel>,
{
    [0, 1, 2].map(|index| {
        let mut values = channel(image, index);
        if unit != 1.0 {
            values.iter_mut().for_each(|v| *v /= unit);
        }
        values
    })
}

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
    fn images_of_8_and_16_bits_are_volumes_of_one_slice() {
        let of = |image: DynamicImage| Volume::from_image(&image).unwrap();
        let grey = of(GrayImage::from_raw(2, 1, vec![7, 255]).unwrap().into());
        assert_eq!((grey.data(), grey.color()), (&[7.0, 255.0][..], None));
        let deep = ImageBuffer::<LumaA<u16>, _>::from_raw(1, 1, vec![65535, 9]).unwrap();
        assert_eq!(of(deep.into()).data(), [65535.0]);
        let color = image::RgbaImage::from_raw(2, 1, vec![1, 2, 3, 0, 40, 50, 60, 255]).unwrap();
        let color = of(color.into());
        assert_eq!(color.color().unwrap()[1], [2.0, 50.0]);
        assert_eq!(color.grid().dims, [2, 1, 1]);
        // By hand: 65535 and 514 of 16 bits are 255 and 2 of 8.
        let deep = ImageBuffer::<image::Rgb<u16>, _>::from_raw(1, 1, vec![65535, 514, 0]).unwrap();
        assert_eq!(of(deep.into()).color(), Some(&[vec![255.0], vec![2.0], vec![0.0]]));
        let decimals = image::Rgb32FImage::from_raw(1, 1, vec![1.0, 0.0, 7.0]).unwrap();
        assert_eq!(of(decimals.into()).color(), Some(&[vec![255.0], vec![0.0], vec![255.0]]));
    }

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
