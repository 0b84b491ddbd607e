//! Stages of preprocessing, on a real volume.

use super::compare::Comparison;
use super::reference_vectors::ReferenceVectors;
use super::report::{Measure, Stage};
use crate::Result;
use candle_core::Device;
use desam_core::EncoderSpec;
use desam_data::preprocess::{PreparedVolume, PreprocessConfig};
use desam_volume::nifti;
use std::path::Path;

/// Relative error limit of the percentiles.
const PERCENTILES: f64 = 1e-6;

/// Largest difference of a resized pixel, in u8 steps.
const MAX_STEP: f64 = 1.0;

/// Share of a resized slice's pixels that must be equal.
const MIN_EQUAL: f64 = 0.99;

/// SAM's normalisation of the red channel (mean and standard deviation), to convert the encoder's input back
/// to u8 steps.
const RED: (f64, f64) = (123.675, 58.395);

/// Compares the percentiles, the u8 volume, the labelled slices and masks at the masks' side, and the first
/// slice at the encoder's.
pub(super) fn preprocess(
    file: &ReferenceVectors,
    image: &Path,
    label: &Path,
) -> Result<Vec<Stage>> {
    let (volume, labels) = (nifti::read_volume(image)?, nifti::read_labels(label)?);
    let [count, side, width] = file.dims("images_u8")?;
    let [large, _] = file.dims("first_slice_1024_u8")?;
    if side == 0 || side != width || !large.is_multiple_of(side) || large == 0 {
        let why = format!("slices of {side}×{width} cannot be enlarged to a side of {large}");
        return Err(file.wrong(why));
    }
    // One tap makes masks of the grid's side.
    let spec = EncoderSpec {
        input_side: large,
        patch: large / side,
        tap_channels: vec![1],
        embedding_channels: 1,
    };
    // The official program slices volumes as stored; it ignores affines.
    let prepared = PreprocessConfig::official().stored().prepare(&volume, &spec)?;
    let mut stages = Vec::new();

    let mut compared = Comparison::default();
    let window = prepared.window();
    compared.values(&[window.low, window.high], &file.numbers("percentiles")?);
    stages.push(compared.relative("percentiles", PERCENTILES));

    let mut compared = Comparison::default();
    compared.values(&as_numbers(prepared.levels()), &file.numbers("volume_u8")?);
    stages.push(compared.absolute("u8 volume", 0.0));

    let indices = file.numbers("z_index")?;
    if indices.len() != count {
        return Err(file.wrong(format!("{count} slices and {} of z_index", indices.len())));
    }
    let masks = prepared.labels(&labels)?;
    let (mut slices, mut targets) = (Vec::new(), Vec::new());
    for z in indices.iter().map(|z| *z as usize) {
        slices.extend(as_numbers(&prepared.image(z)?.data));
        let mask = masks.get(z).ok_or_else(|| file.wrong(format!("z_index: no slice {z}")))?;
        targets.extend(as_numbers(mask.data()));
    }
    stages.push(resized(format!("slices at {side}²"), &slices, &file.numbers("images_u8")?));
    let mut compared = Comparison::default();
    compared.values(&targets, &file.numbers("gts")?);
    stages.push(compared.absolute(format!("masks at {side}²"), 0.0));

    if let Some(first) = indices.first() {
        let found = enlarged(&prepared, *first as usize)?;
        let expected = file.numbers("first_slice_1024_u8")?;
        stages.push(resized(format!("first slice at {large}²"), &found, &expected));
    }
    Ok(stages)
}

/// The encoder's input of slice `z`, in u8 steps.
fn enlarged(prepared: &PreparedVolume, z: usize) -> Result<Vec<f64>> {
    let pixels = prepared.pixels(z, &Device::Cpu)?;
    let red = super::compare::numbers(&pixels.narrow(1, 0, 1)?)?;
    let (mean, deviation) = RED;
    Ok(red.iter().map(|v| (v * deviation + mean).round()).collect())
}

/// Compares a resized slice: within one step everywhere, and equal for most pixels.
fn resized(name: String, found: &[f64], expected: &[f64]) -> Stage {
    let mut compared = Comparison::default();
    compared.values(found, expected);
    let equal = found.iter().zip(expected).filter(|(a, b)| a == b).count();
    let share = equal as f64 / found.len().max(1) as f64;
    if share < MIN_EQUAL {
        compared.fail(format!("only {:.1} % of the pixels are equal", 100.0 * share));
    } else if compared.note.is_empty() {
        compared.note = format!("{:.2} % equal", 100.0 * share);
    }
    compared.stage(name, MAX_STEP, Measure::LargestDifference)
}

fn as_numbers(bytes: &[u8]) -> Vec<f64> {
    bytes.iter().map(|&v| f64::from(v)).collect()
}
