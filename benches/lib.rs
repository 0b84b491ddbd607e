//! What the benchmarks share: inputs, names, and how they are run.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up is to stop")]

pub use criterion::Criterion;
use desam::candle::{DType, Device, Tensor, Var};
use desam::types::{EncoderSpec, ImageFeatures};
use std::time::Duration;

/// The device everything runs on. A benchmark on another waits for it with
/// [`Device::synchronize`] before it takes the time.
pub const DEVICE: Device = Device::Cpu;

/// `backend/what`, so that figures of two machines are never taken for one another.
pub fn id(what: impl std::fmt::Display) -> String {
    let backend = match DEVICE {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    };
    format!("{backend}/{what}")
}

/// Whether benchmarks that take minutes shall run too: `DESAM_BENCH_SLOW=1` asks for them.
pub fn slow() -> bool {
    std::env::var_os("DESAM_BENCH_SLOW").is_some_and(|v| v == "1")
}

/// Runs the benchmarks of one subject with criterion's arguments.
pub fn run(subject: fn(&mut Criterion)) {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    subject(&mut criterion);
    criterion.final_summary();
}

/// Smooth numbers between −1 and 1.
pub fn wave(shape: &[usize], phase: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (i as f64 * 0.7371 + phase).sin() as f32).collect();
    Tensor::from_vec(values, shape, &DEVICE).unwrap()
}

/// The same as a variable, which receives a gradient.
pub fn variable(shape: &[usize], phase: f64) -> Var {
    Var::from_tensor(&wave(shape, phase)).unwrap()
}

/// Features that an encoder of this `spec` could have given for `batch` images.
pub fn features(spec: &EncoderSpec, batch: usize) -> ImageFeatures {
    let g = spec.grid();
    let taps = spec.tap_channels.iter().enumerate();
    let taps = taps.map(|(i, &c)| wave(&[batch, c, g, g], i as f64)).collect();
    ImageFeatures { taps, embedding: wave(&[batch, spec.embedding_channels, g, g], 9.0) }
}

/// Discs of different sizes, 0 and 1, `[n, 1, side, side]`.
pub fn discs(n: usize, side: usize) -> Tensor {
    let values: Vec<u8> = (0..n).flat_map(|i| disc(side, 0.1 + 0.03 * (i % 10) as f64)).collect();
    let t = Tensor::from_vec(values, (n, 1, side, side), &DEVICE).unwrap();
    t.to_dtype(DType::F32).unwrap()
}

/// A disc in the middle, its radius a share of the side.
pub fn disc(side: usize, radius: f64) -> Vec<u8> {
    let middle = side as f64 / 2.0;
    let inside = |i: usize| {
        let (x, y) = ((i % side) as f64 - middle, (i / side) as f64 - middle);
        u8::from(x.hypot(y) < radius * side as f64)
    };
    (0..side * side).map(inside).collect()
}
