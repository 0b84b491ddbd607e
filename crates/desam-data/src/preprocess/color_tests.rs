//! Preprocessing of colour images, and of images without millimetres.

use super::{Frame, IntensityHistogram, PreprocessConfig};
use crate::Error;
use desam_core::{Affine, EncoderSpec, Grid, LabelVolume, Volume};

fn spec() -> EncoderSpec {
    EncoderSpec { input_side: 64, patch: 16, tap_channels: vec![8; 3], embedding_channels: 8 }
}

/// 6 × 4 pixels as images are stored: left, posterior.
fn grid() -> Grid {
    let affine = Affine([[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
    Grid { dims: [6, 4, 1], affine }
}

fn color() -> Volume {
    let channel = |first: f32| (0..24).map(|v| first + v as f32).collect();
    Volume::from_rgb(grid(), [channel(0.0), channel(100.4), channel(200.6)]).unwrap().in_pixels()
}

#[test]
fn colour_stays_as_it_is() {
    let config = PreprocessConfig { frame: Frame::Crop { side: 4 }, ..PreprocessConfig::image() };
    let prepared = config.prepare(&color(), &spec()).unwrap();
    let image = prepared.image(0).unwrap();
    assert_eq!(image.channels().len(), 3);
    let rows: Vec<&[u8]> = image.channels().map(|c| &c[..5]).collect();
    // By hand: columns 1 to 4 of each row of 6; 100.4 is rounded down and 200.6 up.
    assert_eq!(
        rows,
        [&[1, 2, 3, 4, 7][..], &[101, 102, 103, 104, 107], &[202, 203, 204, 205, 208]]
    );
    assert_eq!((prepared.window().low, prepared.window().high), (0.0, 255.0));
    assert!(prepared.is_in_pixels() && prepared.warnings().is_empty());
    assert!(prepared.image(1).is_err());
    let mask = LabelVolume::new(grid(), vec![1; 24]).unwrap();
    let view = prepared.view(&color(), &mask, 0).unwrap();
    assert_eq!((view.image.len(), view.mask.len()), (72, 24));
    assert_eq!([view.image[1], view.image[25], view.image[49]], [1, 101, 202]);
}

#[test]
fn the_whole_image_is_stretched_to_the_input() {
    let prepared = PreprocessConfig::image().prepare(&color(), &spec()).unwrap();
    let image = prepared.image(0).unwrap();
    assert_eq!((image.side, image.data.len()), (64, 3 * 64 * 64));
    // Nothing is left to enlarge.
    let levels = prepared.enlarged(0).unwrap();
    assert_eq!(levels.dims(), [1, 3, 64, 64]);
    assert_eq!(levels.flatten_all().unwrap().to_vec1::<u8>().unwrap(), image.data);
    assert_eq!(PreprocessConfig::image().summary(), "image");
    // The masks are those of any slice: 6 × 4 pixels on 16 × 16.
    let labels = LabelVolume::new(grid(), (0..24).map(|v| u8::from(v % 6 < 3)).collect()).unwrap();
    let masks = prepared.labels(&labels).unwrap();
    assert_eq!((masks.len(), masks[0].foreground().area()), (1, 128));
    assert_eq!(prepared.restore(&masks).unwrap().data(), labels.data());
}

#[test]
fn resampling_pixels_as_millimetres_is_warned_of() {
    let prepared = PreprocessConfig::paper().prepare(&color(), &spec()).unwrap();
    assert!(prepared.warnings()[0].contains("has no millimetres"), "{:?}", prepared.warnings());
    assert_eq!(prepared.image(0).unwrap().channels().len(), 3);
    let flat = Volume::from_rgb(grid(), [vec![9.0; 24], vec![8.0; 24], vec![7.0; 24]]).unwrap();
    let prepared = PreprocessConfig::image().prepare(&flat.in_pixels(), &spec()).unwrap();
    assert_eq!(prepared.warnings(), ["the image is constant: all its pixels have the same colour"]);
}

#[test]
fn colour_has_no_grey_levels_to_match() {
    let prepared = PreprocessConfig::image().prepare(&color(), &spec()).unwrap();
    let refused = prepared.with_intensities_of(&IntensityHistogram::default());
    assert!(matches!(refused, Err(Error::ColorHistogram)), "{refused:?}");
}
