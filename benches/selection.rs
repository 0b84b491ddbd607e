//! The selection rule of grid points mode, and one slice's prediction with it.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::decoder::DecoderConfig;
use desam::encoder::{PromptEncoderConfig, VitConfig};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::predict::SlicePredictor;
use desam::prompt::grid_points;
use desam::select::{Geometry, MaskCandidate, SelectionConfig, select};
use desam::types::{EncoderSpec, MaskDecoder, Point, PromptEncoder, Prompts};
use desam::{Mode, PromptingConfig};
use desam_benches::{Criterion, features, id, run, slow, wave};
use std::hint::black_box;

/// Logits of a soft disc around a point of the input, specks besides.
fn logits(point: &Point, side: usize, input: f32) -> Vec<f32> {
    let (x, y) = (point.x / input * side as f32, point.y / input * side as f32);
    let value = |i: usize| {
        let (column, row) = ((i % side) as f32, (i / side) as f32);
        let speck = if i.is_multiple_of(997) { 80.0 } else { 0.0 };
        0.15 * side as f32 - (column - x).hypot(row - y) + speck
    };
    (0..side * side).map(value).collect()
}

fn rule(c: &mut Criterion) {
    for (name, side, input) in [("256², input 1024", 256, 1024), ("64², input 256", 64, 256)] {
        let points = grid_points(9, input as f32).unwrap();
        let masks: Vec<Vec<f32>> = points.iter().map(|p| logits(p, side, input as f32)).collect();
        let candidates: Vec<MaskCandidate<'_>> = points
            .iter()
            .zip(&masks)
            .enumerate()
            .map(|(i, (point, logits))| {
                let predicted_iou = 0.6 + 0.3 * (i % 7) as f32 / 7.0;
                MaskCandidate { point: *point, predicted_iou, logits }
            })
            .collect();
        let geometry = Geometry::square(side, input, side);
        let config = SelectionConfig::for_side(side);
        c.bench_function(&id(format!("select/81 candidates of {name}")), |b| {
            b.iter(|| black_box(select(&candidates, &geometry, &config).unwrap()));
        });
    }
}

/// One slice's mask, from features to pixels.
fn slice(c: &mut Criterion, name: &str, spec: &EncoderSpec, config: &DecoderConfig) {
    let options = LoadOptions::seeded(2);
    let decoder = load(Tensors::new(), &options, |vb| config.build(vb)).unwrap().module;
    let sizes = PromptEncoderConfig::for_encoder(spec);
    let prompt = load(Tensors::new(), &options, |vb| sizes.build(vb)).unwrap().module;
    let predictor = SlicePredictor::new(&prompt, &decoder, spec);
    let features = features(spec, 1);
    for (what, mode, grid, repaired) in [
        ("9×9 grid, one drawn", Mode::Points, 9, false),
        // Random masks are nothing but specks: all need repair, and the search ends with the last.
        ("9×9 grid, all drawn", Mode::Points, 9, true),
        ("25×25 grid, one drawn", Mode::Points, 25, false),
        ("whole box", Mode::Box, 1, true),
    ] {
        let mut automatic = PromptingConfig::new(mode, grid, spec.mask_side());
        // An untrained PRIM expects nothing of any point; at 0 the filter is off.
        automatic.selection.iou_threshold = 0.0;
        if !repaired {
            automatic.selection.min_region_px = 0;
        }
        c.bench_function(&id(format!("predict/{name} slice, {what}")), |b| {
            b.iter(|| black_box(predictor.predict(&features, &automatic).unwrap()));
        });
    }
    let automatic = PromptingConfig::new(Mode::Points, 9, spec.mask_side());
    c.bench_function(&id(format!("predict/{name} slice, 9×9 grid, the plain way")), |b| {
        b.iter(|| black_box(predictor.predict_plain(&features, &automatic).unwrap()));
    });

    let points = grid_points(9, spec.input_side as f32).unwrap();
    let prompts = prompt.encode(&Prompts::points(&points[..8]).unwrap()).unwrap();
    let position = wave(prompt.dense_pe().dims(), 5.0);
    let context = decoder.context(&features, &position).unwrap();
    let mut reader = decoder.reader(&context).unwrap();
    c.bench_function(&id(format!("predict/{name}, IoU of 8 prompts")), |b| {
        b.iter(|| black_box(reader.predict_ious(&prompts).unwrap()));
    });
    c.bench_function(&id(format!("predict/{name}, IoU of 8 prompts, the plain way")), |b| {
        b.iter(|| black_box(decoder.encode_prompts(&context, &prompts).unwrap()));
    });
}

fn main() {
    run(|c| {
        rule(c);
        let spec = VitConfig::tiny().spec();
        slice(c, "tiny", &spec, &DecoderConfig::tiny(&spec));
        if slow() {
            let spec = VitConfig::vit_b().spec();
            slice(c, "vit-b", &spec, &DecoderConfig::sam(&spec));
        }
    });
}
