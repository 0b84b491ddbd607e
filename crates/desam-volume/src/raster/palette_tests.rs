//! Masks that are indices into a palette.

use crate::reading::ReadOptions;
use crate::volumes::load_labels;
use image::codecs::bmp::BmpEncoder;
use std::path::Path;

/// The first colours of the palette of PASCAL VOC: black, dark red, dark green and, of class 7, grey.
const VOC: [[u8; 3]; 4] = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 128]];

fn png(depth: png::BitDepth, width: u32, palette: &[[u8; 3]], packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(depth);
    encoder.set_palette(palette.concat());
    encoder.write_header().unwrap().write_image_data(packed).unwrap();
    bytes
}

fn bmp(palette: &[[u8; 3]], indices: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, kind) = (indices.len() as u32, image::ExtendedColorType::L8);
    let mut encoder = BmpEncoder::new(&mut bytes);
    encoder.encode_with_palette(indices, width, 1, kind, Some(palette)).unwrap();
    bytes
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let read = load_labels(Path::new(&path), &ReadOptions::default());
    let loaded = read.map_err(|error| error.to_string())?;
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    Ok(loaded.value.data().to_vec())
}

#[test]
fn indices_are_labels_whatever_their_colours() {
    let one = png(png::BitDepth::Eight, 5, &VOC, &[0, 3, 2, 1, 0]);
    assert_eq!(read("m.png", &one).unwrap(), [0, 3, 2, 1, 0]);
    // Of background and the class that is shown in grey alone.
    let grey = png(png::BitDepth::Eight, 3, &VOC, &[0, 3, 3]);
    assert_eq!(read("m.png", &grey).unwrap(), [0, 3, 3]);
    // Two bits an index: 0, 1, 2, 3 and 2. One bit: 0, 1, 1.
    let packed = png(png::BitDepth::Two, 5, &VOC, &[0b0001_1011, 0b1000_0000]);
    assert_eq!(read("m.png", &packed).unwrap(), [0, 1, 2, 3, 2]);
    let packed = png(png::BitDepth::One, 3, &VOC[..2], &[0b0110_0000]);
    assert_eq!(read("m.png", &packed).unwrap(), [0, 1, 1]);
    assert_eq!(read("m.bmp", &bmp(&VOC, &[0, 3, 2, 1, 0])).unwrap(), [0, 3, 2, 1, 0]);
}

#[test]
fn a_palette_of_greys_holds_grey_values() {
    // Programs that make files smaller store grey so, white first here.
    let greys = [[255; 3], [0; 3], [2; 3]];
    let file = png(png::BitDepth::Eight, 3, &greys, &[1, 2, 0]);
    assert_eq!(read("m.png", &file).unwrap(), [0, 2, 255]);
    assert_eq!(read("m.bmp", &bmp(&greys, &[1, 2, 0])).unwrap(), [0, 2, 255]);
}

#[test]
fn palettes_without_clear_labels_are_refused() {
    let white_first = [[255, 255, 255], [0, 0, 0], [128, 0, 0]];
    let error = read("m.png", &png(png::BitDepth::Eight, 3, &white_first, &[0, 1, 2])).unwrap_err();
    for words in ["m.png: index 1 of its palette is black", "as grey levels"] {
        assert!(error.contains(words), "{error}");
    }
    let alike = [[0; 3], [7; 3], [7; 3]];
    let error = read("m.png", &png(png::BitDepth::Eight, 3, &alike, &[0, 1, 2])).unwrap_err();
    assert!(error.contains("3 labels in 2 grey values"), "{error}");
}
