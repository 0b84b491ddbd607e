//! Volumes whose intensities are matched.

use crate::Error;
use crate::preprocess::{IntensityHistogram, PreparedVolume, PreprocessConfig};
use desam_core::{Affine, EncoderSpec, Grid, Volume};

/// A volume of smooth waves from 0 to 1, with `curve` as the response of its scanner.
fn prepared(curve: impl Fn(f64) -> f64) -> PreparedVolume {
    let spec =
        EncoderSpec { input_side: 64, patch: 16, tap_channels: vec![8; 3], embedding_channels: 8 };
    let grid = Grid { dims: [40, 36, 5], affine: Affine::from_spacing([0.6, 0.6, 3.0]) };
    let wave = |at: usize| {
        let [x, y, z] = [at % 40, at / 40 % 36, at / 1440].map(|v| v as f64);
        0.5 + 0.25 * (x / 6.0 + z).sin() + 0.25 * (y / 9.0).cos()
    };
    let values = (0..grid.len()).map(|at| (1000.0 * curve(wave(at))) as f32).collect();
    PreprocessConfig::official().prepare(&Volume::new(grid, values).unwrap(), &spec).unwrap()
}

fn images(prepared: &PreparedVolume) -> Vec<u8> {
    (0..prepared.len()).flat_map(|z| prepared.image(z).unwrap().data).collect()
}

fn histogram(prepared: &PreparedVolume) -> IntensityHistogram {
    IntensityHistogram::of((0..prepared.len()).map(|z| prepared.image(z))).unwrap()
}

#[test]
fn a_volume_matched_to_itself_stays() {
    let source = prepared(|v| v);
    let matched = source.clone().with_intensities_of(&histogram(&source)).unwrap();
    assert_eq!(images(&matched), images(&source));
    assert!(matches!(matched.image(99), Err(Error::SliceIndex { .. })));
}

#[test]
fn another_scanners_response_is_taken_back() {
    let (source, target) = (prepared(|v| v), prepared(f64::sqrt));
    let matched = target.clone().with_intensities_of(&histogram(&source)).unwrap();
    let off = |found: &PreparedVolume| {
        let pairs = images(found).into_iter().zip(images(&source));
        let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(b))).sum();
        sum as f64 / images(&source).len() as f64
    };
    // A monotone response has the same ranks: what is left is rounding to levels, before and after.
    assert!(off(&target) > 20.0 && off(&matched) < 2.0, "{} {}", off(&target), off(&matched));
}
