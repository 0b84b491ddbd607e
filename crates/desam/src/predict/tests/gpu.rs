//! The whole way from pixels to a mask with kernels in place of the CPU's paths, in the emulation of
//! a GPU: the same answers.

use super::*;
use candle_core::{DType, Result};
use desam_core::{ImageEncoder, Precision};
use desam_encoder::{SamOptions, builtin};

/// Largest difference, as a share of the largest number.
fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let numbers = |t: &Tensor| {
        t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let (found, expected) = (numbers(found), numbers(expected));
    let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    found.iter().zip(&expected).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest
}

/// What `work` gives with kernels, or `None`, said aloud, where there is no compiler for them.
fn emulated(work: impl Fn() -> Result<Vec<Tensor>>) -> Option<Vec<Tensor>> {
    let found = desam_nn::gpu::emulated(work).unwrap();
    if found.is_none() {
        println!("skipped: kernels are not emulated, there was no C++ compiler");
    }
    found
}

/// A prediction as numbers: the mask, its IoU and point, all IoU, the logits, masks drawn.
fn told(
    parts: &Parts,
    features: &ImageFeatures,
    prompting: &PromptingConfig,
) -> Result<Vec<Tensor>> {
    let (prediction, evidence) = parts
        .predictor()
        .predict_with_evidence(features, prompting)
        .map_err(candle_core::Error::wrap)?;
    let list = |values: Vec<f32>| Tensor::new(values, &Device::Cpu);
    let point = prediction.point.unwrap_or([-1.0; 2]).map(|v| v as f32);
    Ok(vec![
        list(prediction.mask.data().iter().map(|&v| f32::from(v)).collect())?,
        list(vec![prediction.predicted_iou.unwrap_or(-1.0), point[0], point[1]])?,
        list(evidence.ious)?,
        list(evidence.logits)?,
        list(vec![evidence.drawn as f32])?,
    ])
}

/// A slice of random features, predicted by kernels and on the CPU.
fn same_prediction(seed: u64, (mode, grid): (Mode, usize), min_region_px: usize) {
    let parts = Parts::random(seed);
    let features = parts.features(seed + 1);
    let mut prompting = open(mode, grid, parts.spec.mask_side());
    prompting.selection.min_region_px = min_region_px;
    let expected = told(&parts, &features, &prompting).unwrap();
    let Some(found) = emulated(|| told(&parts, &features, &prompting)) else { return };
    let case = format!("{seed} {mode} {grid}");
    // Which mask it is and how many were drawn; logits and IoU up to f32's sums in another order.
    for i in [1, 2, 3] {
        let error = distance(&found[i], &expected[i]);
        assert!(error < 2e-4, "{case}: {i} is off by {error:.1e}");
    }
    assert_eq!(distance(&found[4], &expected[4]), 0.0, "{case}: masks drawn");
    let pixels = |t: &Tensor| t.to_vec1::<f32>().unwrap();
    let (found, expected) = (pixels(&found[0]), pixels(&expected[0]));
    let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert!(differ <= 2, "{case}: the mask differs in {differ} pixels");
}

#[test]
fn kernels_predict_a_slice_as_the_cpu_does() {
    same_prediction(3, (Mode::Points, 3), 0);
    same_prediction(3, (Mode::Box, 3), 20);
}

#[test]
#[ignore = "half a minute: more points than a GPU keeps, thread by thread"]
fn kernels_predict_larger_grids_as_the_cpu_does() {
    // Where small regions go, more than one mask is drawn.
    same_prediction(3, (Mode::Points, 5), 20);
    same_prediction(4, (Mode::Points, 12), 0);
}

/// Pixels `[B, 3, S, S]` of something smooth.
fn pixels(batch: usize, side: usize) -> Tensor {
    let at = |i: usize| {
        let (row, column) = ((i / side % side) as f32, (i % side) as f32);
        (row * 0.05).sin() + (column * 0.07 + (i / (side * side)) as f32).cos()
    };
    let values: Vec<f32> = (0..batch * 3 * side * side).map(at).collect();
    Tensor::from_vec(values, (batch, 3, side, side), &Device::Cpu).unwrap()
}

#[test]
fn kernels_encode_as_the_cpu_does() {
    let options = SamOptions { input_side: Some(128), ..SamOptions::default() };
    let sam = FrozenSam::load(&builtin::tiny().unwrap(), &options).unwrap().sam;
    let pixels = pixels(2, 128);
    let all = || -> Result<Vec<Tensor>> {
        let ImageFeatures { mut taps, embedding } = sam.image.encode(&pixels)?;
        taps.push(embedding);
        Ok(taps)
    };
    let expected = all().unwrap();
    let Some(found) = emulated(all) else { return };
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let error = distance(found, expected);
        // As the image encoder is held to the official program's, whose sums run in another order.
        assert!(error < 2e-5, "{i}: {error:.1e}");
    }
}

#[test]
fn kernels_in_bf16_give_nearly_the_same_features_and_masks() {
    let load = |precision| {
        let options = SamOptions { input_side: Some(128), precision, ..SamOptions::default() };
        FrozenSam::load(&builtin::tiny().unwrap(), &options).unwrap()
    };
    let (single, half) = (load(Precision::F32), load(Precision::Bf16));
    let pixels = pixels(1, 128);
    let all = |sam: &FrozenSam| -> Result<Vec<Tensor>> {
        let ImageFeatures { mut taps, embedding } = sam.image.encode(&pixels)?;
        taps.push(embedding);
        Ok(taps)
    };
    let expected = all(&single.sam).unwrap();
    let Some(found) = emulated(|| all(&half.sam)) else { return };
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.dtype(), DType::F32);
        let error = length(&(found - expected).unwrap()) / length(expected);
        // 51 products in a row, each of which rounds three times by at most 2⁻⁹: √153 · 2⁻⁹. No less
        // than one rounding of the last product, or nothing was computed in bf16.
        assert!(error < 0.0242, "{i}: {error:.1e}");
        assert!(error > 2f64.powi(-12), "{i}: {error:.1e}");
    }
    // Weights that are written or hashed stay as they were.
    let name = "image_encoder.blocks.0.mlp.lin1.weight";
    assert_eq!(half.tensors[name].dtype(), DType::F32);

    let parts = Parts::random(3);
    let (features, side) = (parts.features(4), parts.spec.mask_side());
    let mut prompting = open(Mode::Points, 3, side);
    prompting.selection.min_region_px = 0;
    let (expected, _) = parts.predictor().predict_with_evidence(&features, &prompting).unwrap();
    let masks = || -> Result<Vec<Tensor>> {
        let predictor = parts.predictor().with_precision(Precision::Bf16);
        let (found, evidence) = predictor
            .predict_with_evidence(&features, &prompting)
            .map_err(candle_core::Error::wrap)?;
        let mask = found.mask.data().iter().map(|&v| f32::from(v)).collect::<Vec<_>>();
        Ok(vec![Tensor::new(mask, &Device::Cpu)?, Tensor::new(evidence.ious, &Device::Cpu)?])
    };
    let Some(found) = emulated(masks) else { return };
    let mask = found[0].to_vec1::<f32>().unwrap();
    let same = mask.iter().zip(expected.mask.data()).filter(|(a, b)| **a == f32::from(**b));
    // Random weights draw random masks, with many logits near 0.
    assert!(same.count() * 10 >= mask.len() * 9, "masks differ");
    // As f32 would have them, not in steps of 2⁻⁸: nine points and hardly two the same.
    let mut ious = found[1].to_vec1::<f32>().unwrap();
    ious.sort_by(f32::total_cmp);
    ious.dedup();
    assert!(ious.len() >= 8, "{ious:?}");
}

/// Euclidean.
fn length(t: &Tensor) -> f64 {
    let all = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    all.iter().map(|v| v * v).sum::<f64>().sqrt()
}
