use super::*;
use crate::volumes::{load_labels, load_volume, mask_name, write_labels, write_mask_like_with};
use desam_core::{Affine, Grid};
use image::codecs::{bmp::BmpEncoder, jpeg::JpegEncoder};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, RgbImage, RgbaImage};

const FORMATS: [(&str, ImageFormat); 4] = [
    ("a.png", ImageFormat::Png),
    ("a.jpg", ImageFormat::Jpeg),
    ("a.tif", ImageFormat::Tiff),
    ("a.bmp", ImageFormat::Bmp),
];
const SIZE: [u32; 2] = [7, 5];

/// A file, and what a reader of it gives by default.
struct File {
    dir: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self { dir, path }
    }

    fn image(name: &str, image: &DynamicImage, format: ImageFormat) -> Self {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        Self::new(name, bytes.get_ref())
    }

    fn volume(&self) -> Loaded<Volume> {
        load_volume(&self.path, &ReadOptions::default()).unwrap()
    }

    fn labels(&self) -> Loaded<LabelVolume> {
        load_labels(&self.path, &ReadOptions::default()).unwrap()
    }

    fn error(&self) -> String {
        load_volume(&self.path, &ReadOptions::default()).unwrap_err().to_string()
    }
}

/// A smooth ramp, which JPEG keeps nearly.
fn level(x: u32, y: u32, channel: u32) -> u8 {
    (30 + 20 * x + 10 * y + 5 * channel) as u8
}

fn grey8() -> GrayImage {
    GrayImage::from_fn(SIZE[0], SIZE[1], |x, y| image::Luma([level(x, y, 0)]))
}

fn rgb8() -> RgbImage {
    RgbImage::from_fn(SIZE[0], SIZE[1], |x, y| image::Rgb([0, 1, 2].map(|c| level(x, y, c))))
}

#[test]
fn grey_and_colour_of_every_format_are_read_as_they_are() {
    for (name, format) in FORMATS {
        let limit = if format == ImageFormat::Jpeg { 6.0 } else { 0.0 };
        let grey = File::image(name, &grey8().into(), format).volume();
        assert!(grey.warnings.is_empty(), "{name}: {:?}", grey.warnings);
        let grid = grey.value.grid();
        assert_eq!((grid.dims, grid.spacing()), ([7, 5, 1], [1.0; 3]));
        assert!(grey.value.is_in_pixels(), "{name}");
        let color = File::image(name, &rgb8().into(), format).volume().value;
        for (at, (x, y)) in (0..5).flat_map(|y| (0..7).map(move |x| (x, y))).enumerate() {
            let found = grey.value.data()[at];
            assert!(
                (found - f32::from(level(x, y, 0))).abs() <= limit + 1e-3,
                "{name} {x} {y}: {found}"
            );
            for c in 0..3 {
                let found = color.color().unwrap()[c as usize][at];
                assert!(
                    (found - f32::from(level(x, y, c))).abs() <= limit,
                    "{name} {x} {y} {c}: {found}"
                );
            }
        }
        assert_eq!(grey.value.color(), None, "{name}");
    }
}

#[test]
fn sixteen_bits_are_kept_in_grey_and_scaled_in_colour() {
    for (name, format) in [FORMATS[0], FORMATS[2]] {
        let deep = |x: u32, y: u32| (x * 9000 + y * 513) as u16;
        let grey = ImageBuffer::from_fn(SIZE[0], SIZE[1], |x, y| image::Luma([deep(x, y)]));
        let found = File::image(name, &DynamicImage::ImageLuma16(grey), format).volume().value;
        assert_eq!(
            (found.data()[1], found.data()[7], found.color()),
            (9000.0, 513.0, None),
            "{name}"
        );
        let color =
            ImageBuffer::from_fn(SIZE[0], SIZE[1], |x, y| image::Rgb([deep(x, y), 65535, 0]));
        let found = File::image(name, &DynamicImage::ImageRgb16(color), format).volume().value;
        let [red, green, blue] = found.color().unwrap();
        // By hand: 9000 and 513 of 65535 are 9000 / 257 and 513 / 257 of 255.
        assert_eq!(
            (red[1], red[7], green[0], blue[0]),
            (9000.0 / 257.0, 513.0 / 257.0, 255.0, 0.0)
        );
    }
}

#[test]
fn what_is_transparent_or_named_wrongly_is_warned_of() {
    let clear = RgbaImage::from_pixel(3, 2, image::Rgba([10, 20, 30, 40]));
    let found = File::image("a.png", &clear.into(), ImageFormat::Png).volume();
    assert_eq!(found.value.color().unwrap()[2], [30.0; 6]);
    assert!(
        found.warnings.len() == 1 && found.warnings[0].contains("opacity"),
        "{:?}",
        found.warnings
    );
    let opaque = RgbaImage::from_pixel(3, 2, image::Rgba([10, 20, 30, 255]));
    assert!(File::image("a.png", &opaque.into(), ImageFormat::Png).volume().warnings.is_empty());
    let named = File::image("a.png", &grey8().into(), ImageFormat::Bmp).volume();
    assert!(named.warnings[0].contains("it holds BMP"), "{:?}", named.warnings);
    // Without an ending the first bytes decide.
    for (_, format) in FORMATS {
        let found = File::image("a", &grey8().into(), format).volume();
        assert!(found.warnings.is_empty() && found.value.grid().dims == [7, 5, 1]);
    }
}

#[test]
fn an_exif_orientation_is_applied() {
    // By hand, after Exif 2.32, 4.6.4: a big-endian TIFF header and one entry, tag 0x112, of orientation
    // 6: the first row is the right side.
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 100).encode_image(&grey8()).unwrap();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [&jpeg[..2], b"\xFF\xE1", &length, exif, &jpeg[2..]].concat();
    let (plain, turned) =
        (File::new("a.jpg", &jpeg).volume(), File::new("a.jpg", &turned).volume());
    assert_eq!((plain.value.grid().dims, turned.value.grid().dims), ([7, 5, 1], [5, 7, 1]));
    // The first row, from left to right, becomes the right column, from top to bottom.
    let column: Vec<f32> = turned.value.data().iter().skip(4).step_by(5).copied().collect();
    assert_eq!(column, plain.value.data()[..7]);
    assert!(turned.warnings.is_empty());
}

#[test]
fn further_pages_are_warned_of() {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    for value in [3, 4] {
        encoder.write_image::<tiff::encoder::colortype::Gray8>(2, 2, &[value; 4]).unwrap();
    }
    let found = File::new("a.tif", bytes.get_ref()).volume();
    assert_eq!(found.value.data(), [3.0; 4]);
    assert!(found.warnings.len() == 1 && found.warnings[0].contains("several pages"));
}

#[test]
fn a_channel_can_be_chosen() {
    let file = File::image("a.png", &rgb8().into(), ImageFormat::Png);
    let of = |channel| load_volume(&file.path, &ReadOptions::default().with_channel(Some(channel)));
    let green = of(1).unwrap().value;
    assert_eq!((green.color(), green.data()[0]), (None, 35.0));
    let message = of(3).unwrap_err().to_string();
    assert!(message.contains("no channel 3: it holds 3"), "{message}");
}

#[test]
fn masks_of_all_kinds_have_their_foreground() {
    let of = |image: DynamicImage| File::image("m.png", &image, ImageFormat::Png).labels();
    let grey = of(GrayImage::from_raw(3, 1, vec![0, 1, 255]).unwrap().into());
    assert_eq!(grey.value.data(), [0, 1, 255]);
    // White of 16 bits is the white of 8.
    let deep = ImageBuffer::from_raw(3, 1, vec![0_u16, 65535, 0]).unwrap();
    assert_eq!(of(DynamicImage::ImageLuma16(deep)).value.data(), [0, 255, 0]);
    let few = ImageBuffer::from_raw(3, 1, vec![0_u16, 1, 2]).unwrap();
    assert_eq!(of(DynamicImage::ImageLuma16(few)).value.data(), [0, 1, 2]);
    let color = RgbImage::from_raw(3, 1, vec![0, 0, 0, 255, 0, 0, 255, 0, 0]).unwrap();
    let found = of(color.into());
    assert_eq!(found.value.data(), [0, 1, 1]);
    assert!(found.warnings.len() == 1 && found.warnings[0].contains("#ff0000"), "{found:?}");
    // Grey in three channels of 16 bits keeps its small values.
    let grey = ImageBuffer::from_raw(3, 1, [0_u16, 1, 255].map(|v| [v; 3]).concat()).unwrap();
    assert_eq!(of(DynamicImage::ImageRgb16(grey)).value.data(), [0, 1, 255]);
    let white = RgbImage::from_raw(2, 1, vec![0, 0, 0, 255, 255, 255]).unwrap();
    assert_eq!(of(white.into()).value.data(), [0, 255]);
    // One bit a pixel, as masks are often stored.
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header().unwrap().write_image_data(&[0b0101_0000]).unwrap();
    assert_eq!(File::new("m.png", &bytes).labels().value.data(), [0, 255, 0, 255, 0, 0, 0, 0]);
}

#[test]
fn values_and_colours_without_a_label_are_refused() {
    let refused = |image: DynamicImage| {
        let file = File::image("m.png", &image, ImageFormat::Png);
        load_labels(&file.path, &ReadOptions::default()).unwrap_err().to_string()
    };
    let deep = ImageBuffer::from_raw(4, 1, vec![0_u16, 1, 300, 65535]).unwrap();
    let error = refused(DynamicImage::ImageLuma16(deep));
    assert!(error.contains("m.png: it holds the grey value 65535"), "{error}");
    let deep = ImageBuffer::from_raw(3, 1, [0_u16, 1, 256].map(|v| [v; 3]).concat()).unwrap();
    let error = refused(DynamicImage::ImageRgb16(deep));
    assert!(error.contains("the grey value 256; expected labels from 0 to 255"), "{error}");
    let color = RgbImage::from_raw(3, 1, vec![0, 0, 0, 0, 0, 9, 255, 0, 0]).unwrap();
    let error = refused(color.into());
    for words in ["2 colours beside black", "#ff0000", "#000009", "as grey levels"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn doubtful_masks_are_named() {
    let blurred = GrayImage::from_fn(40, 1, |x, _| image::Luma([x as u8]));
    let found = File::image("m.png", &blurred.into(), ImageFormat::Png).labels();
    assert!(found.warnings[0].contains("40 grey values"), "{:?}", found.warnings);
    let square = GrayImage::from_fn(32, 32, |x, _| image::Luma([if x < 11 { 0 } else { 255 }]));
    let found = File::image("m.jpg", &square.into(), ImageFormat::Jpeg).labels();
    assert_eq!(found.value.data().iter().filter(|v| **v == 1).count(), 32 * 21);
    assert!(found.warnings[0].contains("JPEG"), "{:?}", found.warnings);
    let photograph = RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8, y as u8, 0]));
    let file = File::image("m.png", &photograph.into(), ImageFormat::Png);
    let error = load_labels(&file.path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("m.png: it holds more than 256 colours"), "{error}");
}

#[test]
fn masks_and_maps_round_trip() {
    let grid = Grid { dims: [3, 2, 1], affine: Affine::from_spacing([1.0; 3]) };
    let mask = LabelVolume::new(grid, vec![0, 1, 0, 1, 1, 0]).unwrap();
    let several = LabelVolume::new(grid, vec![0, 1, 2, 3, 0, 0]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["m.png", "m.PNG", "m.tif", "m.tiff", "m.bmp"] {
        let path = dir.path().join(name);
        write_labels(&path, &mask).unwrap();
        let read = load_labels(&path, &ReadOptions::default()).unwrap();
        assert_eq!(read.value.data(), [0, 255, 0, 255, 255, 0], "{name}");
        assert!(read.warnings.is_empty());
        write_labels(&path, &several).unwrap();
        let read = load_labels(&path, &ReadOptions::default()).unwrap();
        assert_eq!(read.value.data(), several.data(), "{name}");
    }
    let (from, options) = (dir.path().join("m.png"), ReadOptions::default());
    // Labels of named classes are grey levels, be it that of one class.
    for (classes, labels) in [("cup=1", &mask), ("disc=2,rim=1,cup=3", &several)] {
        let classes = classes.parse().unwrap();
        for name in ["c.png", "c.tif", "c.bmp"] {
            let path = dir.path().join(name);
            write_mask_like_with(&from, &path, labels, &options, &classes).unwrap();
            assert_eq!(load_labels(&path, &options).unwrap().value.data(), labels.data(), "{name}");
        }
    }
    let message = write_labels(&dir.path().join("m.jpg"), &mask).unwrap_err().to_string();
    assert!(message.contains("name it .png"), "{message}");
    let thick = Grid { dims: [1, 3, 2], ..grid };
    let thick = LabelVolume::new(thick, vec![1; 6]).unwrap();
    let message = write_labels(&dir.path().join("t.png"), &thick).unwrap_err().to_string();
    assert!(message.contains("one slice, and there are 2"), "{message}");
    let map = Volume::new(grid, vec![0.0, 0.25, -3.5, 1.0, 1e-9, 7.0]).unwrap();
    let path = dir.path().join("m.probability.tif");
    write_map(&path, &map).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let mut decoder = tiff::decoder::Decoder::new(std::io::BufReader::new(file)).unwrap();
    match decoder.read_image().unwrap() {
        tiff::decoder::DecodingResult::F32(values) => assert_eq!(values, map.data()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn masks_are_named_after_their_images() {
    for (image, mask) in
        [("a.PNG", "a.png"), ("a.b.jpeg", "a.b.png"), ("a.bmp", "a.png"), ("a.tiff", "a.tiff")]
    {
        assert_eq!(mask_name(Path::new(image)), mask);
    }
}

#[test]
fn broken_files_are_errors_that_name_them() {
    let named = |file: &File, words: &str| {
        let text = file.error();
        let dir = file.dir.path().display().to_string();
        assert!(text.contains(&dir) && text.contains(words), "{text}");
    };
    for (name, format) in FORMATS {
        let good = File::image(name, &rgb8().into(), format);
        let bytes = std::fs::read(&good.path).unwrap();
        for length in [0, 1, 9, 20, bytes.len() / 2] {
            let cut = File::new(name, &bytes[..length]);
            named(&cut, name);
        }
        named(&File::new(name, b"<html>not found</html>"), "by its first bytes");
        let little = ReadOptions::default().with_max_bytes(16 * 34);
        let error = load_volume(&good.path, &little).unwrap_err();
        assert!(matches!(error, Error::VolumeTooLarge { .. }), "{error}");
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).encode_image(&rgb8()).unwrap();
    named(&File::new("a.jpg", &jpeg[..jpeg.len() - 2]), "truncated");
    // A header that promises 4 Gi pixels.
    let mut png =
        std::fs::read(File::image("a.png", &grey8().into(), ImageFormat::Png).path).unwrap();
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    named(&File::new("a.png", &png), "a.png: ");
    let mut bmp = Vec::new();
    BmpEncoder::new(&mut bmp).encode(&[7; 12], 2, 2, image::ExtendedColorType::Rgb8).unwrap();
    bmp[18..26].copy_from_slice(&[0x60, 0xEA, 0, 0, 0x60, 0xEA, 0, 0]);
    named(&File::new("a.bmp", &bmp), "promises 60000 × 60000 pixels");
}
