//! Metrics on the host, over a case's stack of slices.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::metrics::metric::{BothEmpty, Confusion, Overlap};
use desam_benches::{disc, id, run};
use std::hint::black_box;

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
    });
}
