//! The selection rule of grid points mode, and one slice's prediction with it.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::core::Point;
use desam::decoder::DecoderConfig;
use desam::encoder::{FrozenSam, VitConfig};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::predict::SlicePredictor;
use desam::prompt::grid_points;
use desam::select::{Candidate, Geometry, SelectionConfig, select};
use desam::{Automatic, Mode};
use desam_benches::{Criterion, features, id, run};
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
        let candidates: Vec<Candidate<'_>> = points
            .iter()
            .zip(&masks)
            .enumerate()
            .map(|(i, (point, logits))| {
                let predicted_iou = 0.6 + 0.3 * (i % 7) as f32 / 7.0;
                Candidate { point: *point, predicted_iou, logits }
            })
            .collect();
        let geometry = Geometry::square(side, input, side);
        let config = SelectionConfig::for_side(side);
        c.bench_function(&id(format!("select/81 candidates of {name}")), |b| {
            b.iter(|| black_box(select(&candidates, &geometry, &config).unwrap()));
        });
    }
}

fn slice(c: &mut Criterion) {
    let sam = FrozenSam::random(&VitConfig::tiny(), 1).unwrap().sam;
    let spec = VitConfig::tiny().spec();
    let config = DecoderConfig::tiny(&spec);
    let loaded = load(Tensors::new(), &LoadOptions::seeded(2), |vb| config.build(vb)).unwrap();
    let predictor = SlicePredictor::new(&sam.prompt, &loaded.module, &spec);
    let features = features(&spec, 1);
    for (name, mode) in [("9×9 grid, all drawn", Mode::Points), ("whole box", Mode::Box)] {
        let mut automatic = Automatic::new(mode, 9, spec.mask_side());
        // An untrained PRIM expects nothing of any point; at 0 the filter is off.
        automatic.selection.iou_threshold = 0.0;
        c.bench_function(&id(format!("predict/tiny slice, {name}")), |b| {
            b.iter(|| black_box(predictor.predict(&features, &automatic).unwrap()));
        });
    }
}

fn main() {
    run(|c| {
        rule(c);
        slice(c);
    });
}
