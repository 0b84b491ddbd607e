//! Two-dimensional images in memory.

#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod toy;

use desam::Quiet;
use desam::predict::{MaskSize, PredictOptions, SlicePrompt};
use desam::types::Volume;
use image::{DynamicImage, Rgb, RgbImage};

/// A red disc on green.
fn photograph() -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let noise = (x * 31 + y * 17) as u8 % 50;
        let inside = x.abs_diff(20).pow(2) + y.abs_diff(14).pow(2) < 90;
        if inside { Rgb([200 - noise, 40, 30]) } else { Rgb([20, 90 + noise, 60]) }
    };
    RgbImage::from_fn(40, 32, pixel).into()
}

#[test]
fn a_colour_image_is_segmented_in_its_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let options = PredictOptions::default().with_probability(true);
    let segmenter = toy::segmenter(&toy::model(folder.path())).with_options(options).unwrap();
    let found = segmenter.segment_image(&photograph(), &Quiet).unwrap();
    assert_eq!(found.mask.grid().dims, [40, 32, 1]);
    let area_px2 = found.mask.data().iter().filter(|v| **v > 0).count();
    assert_eq!(found.size(), MaskSize::Area { area_px2 });
    assert_eq!(found.size().to_string(), format!("{area_px2} px²"));
    // As a volume it is the same; its grey is another image to the encoder.
    let volume = Volume::from_image(&photograph()).unwrap();
    let same = segmenter.segment(&volume, &Quiet).unwrap();
    assert_eq!(same.classes[0].probability, found.classes[0].probability);
    let grey = DynamicImage::from(photograph().to_luma8());
    let grey = segmenter.segment_image(&grey, &Quiet).unwrap();
    assert_ne!(grey.classes[0].probability, found.classes[0].probability);
}

#[test]
fn a_colour_image_is_prompted_in_its_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let encoded = segmenter.encode_image(&photograph()).unwrap();
    assert_eq!((encoded.width(), encoded.height()), (40, 32));
    let prompt = SlicePrompt::new().with_box([10.0, 4.0], [30.0, 24.0]);
    let found = encoded.segment(&prompt).unwrap();
    assert_eq!((found.mask.width(), found.mask.height()), (40, 32));
    assert_eq!(found.probability.len(), 40 * 32);
    let beyond = SlicePrompt::new().with_box([10.0, 4.0], [30.0, 33.0]);
    assert!(encoded.segment(&beyond).is_err());
}
