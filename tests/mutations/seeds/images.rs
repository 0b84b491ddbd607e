//! Two-dimensional images of every format, depth and kind of colour.

use super::{Seed, plain};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbaImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Cursor;
use tiff::encoder::colortype::{Gray16, RGB8};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder};

const SIZE: [u32; 2] = [24, 20];
/// Bytes of the memory that a header of an image of this size may promise: DEFLATE packs a thousand
/// bytes into one.
const PROMISED: usize = 1 << 21;

fn encoded(name: &'static str, image: &DynamicImage, format: ImageFormat) -> Seed {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    seed(name, bytes.into_inner())
}

fn seed(name: &'static str, bytes: Vec<u8>) -> Seed {
    Seed { content: PROMISED, ..plain(name, bytes) }
}

pub(super) fn all() -> Vec<Seed> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut noise = |channels: usize| -> Vec<u8> {
        (0..channels * (SIZE[0] * SIZE[1]) as usize).map(|_| rng.random()).collect()
    };
    let [width, height] = SIZE;
    let grey = DynamicImage::from(GrayImage::from_raw(width, height, noise(1)).unwrap());
    let rgba = DynamicImage::from(RgbaImage::from_raw(width, height, noise(4)).unwrap());
    let rgb = DynamicImage::from(rgba.to_rgb8());
    let deep = ImageBuffer::<Rgb<u16>, _>::from_fn(width, height, |x, y| {
        Rgb([x as u16 * 2700, y as u16 * 3200, 77])
    });
    let deep_grey =
        ImageBuffer::<Luma<u16>, _>::from_fn(width, height, |x, y| Luma([(x * y * 99) as u16]));
    let deep = DynamicImage::ImageRgb16(deep);
    vec![
        encoded("PNG, grey", &grey, ImageFormat::Png),
        encoded("PNG, RGBA", &rgba, ImageFormat::Png),
        encoded("PNG, RGB of 16 bits", &deep, ImageFormat::Png),
        encoded("JPEG, grey", &grey, ImageFormat::Jpeg),
        encoded("JPEG, RGB", &rgb, ImageFormat::Jpeg),
        encoded("TIFF, RGB", &rgb, ImageFormat::Tiff),
        encoded(
            "TIFF, grey of 16 bits",
            &DynamicImage::ImageLuma16(deep_grey.clone()),
            ImageFormat::Tiff,
        ),
        seed("TIFF, DEFLATE", deflated(|e| e.write_image::<RGB8>(width, height, rgb.as_bytes()))),
        seed(
            "TIFF, two pages",
            deflated(|e| {
                e.write_image::<Gray16>(width, height, deep_grey.as_raw())?;
                e.write_image::<Gray16>(width, height, deep_grey.as_raw())
            }),
        ),
        encoded("BMP, grey", &grey, ImageFormat::Bmp),
        encoded("BMP, RGB", &rgb, ImageFormat::Bmp),
    ]
}

fn deflated(
    write: impl FnOnce(&mut TiffEncoder<&mut Cursor<Vec<u8>>>) -> tiff::TiffResult<()>,
) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let encoder = TiffEncoder::new(&mut bytes).unwrap();
    write(&mut encoder.with_compression(Compression::Deflate(DeflateLevel::Balanced))).unwrap();
    bytes.into_inner()
}
