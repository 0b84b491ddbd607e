//! Metrics on the host, over a case's stack of slices.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::metrics::metric::{
    BothEmpty, CaseMeasures, CaseMetric, Confusion, EmptyPolicy, MaskPair, Overlap, VoxelGrid,
};
use desam_benches::{disc, id, run};
use std::hint::black_box;

/// A prostate's volume as the scanner gives it.
const GRID: VoxelGrid = VoxelGrid { shape: [60, 384, 384], spacing_mm: [3.0, 0.5, 0.5] };

fn main() {
    run(|c| {
        let stack = |radius: f64| disc(256, radius).repeat(24);
        let (prediction, truth) = (stack(0.2), stack(0.22));
        c.bench_function(&id("metric/Dice of 24 slices of 256²"), |b| {
            b.iter(|| {
                let counts = Confusion::count(&prediction, &truth).unwrap();
                black_box(Overlap::Dice.of(&counts, BothEmpty::Zero))
            });
        });
        // Work grows with the box around both masks: a large gland of 95 ml, and one that fills
        // the volume from rim to rim.
        for (what, size) in [("95 ml", 0.3), ("1 l", 0.67), ("the whole volume", 1.1)] {
            let (truth, prediction) = (bumpy(size, 0.0), bumpy(0.95 * size, 4.0));
            let pair = MaskPair::new(&prediction, &truth, GRID).unwrap();
            for (which, names) in [
                ("HD95", "hd95_mm"),
                ("surface Dice", "surface_dice_1mm"),
                (
                    "every metric",
                    "dice jaccard precision recall hd_mm hd95_mm asd_mm assd_mm surface_dice_1mm \
                     surface_dice_3mm robust_hd95_mm volume_error_ml relative_volume_error",
                ),
            ] {
                let metrics: Vec<CaseMetric> =
                    names.split_whitespace().map(|n| n.parse().unwrap()).collect();
                c.bench_function(&id(format!("metric/{which} of 60 × 384², {what}")), |b| {
                    b.iter(|| {
                        let case = CaseMeasures::new(pair, EmptyPolicy::default()).unwrap();
                        black_box(case.scores(&metrics))
                    });
                });
            }
        }
    });
}

/// An ellipsoid with a wavy surface, its size a share of the volume's, moved by some voxels.
fn bumpy(size: f64, moved: f64) -> Vec<u8> {
    let [depth, height, width] = GRID.shape;
    let inside = |i: usize| {
        let [z, y, x] = [i / (height * width), i / width % height, i % width].map(|v| v as f64);
        let from = |v: f64, n: usize| (2.0 * v + 1.0) / n as f64 - 1.0;
        let r = [from(z, depth), from(y - moved, height), from(x, width)];
        let wave = 1.0 + 0.05 * ((y * 0.31).sin() + (x * 0.23).cos());
        u8::from(r.iter().map(|v| v * v).sum::<f64>().sqrt() < size * wave)
    };
    (0..depth * height * width).map(inside).collect()
}
