//! The block's way back.
//!
//! What the second convolution put out is not kept: its norm follows from the block's output, which
//! the next op holds anyway, and from the shortcut.

use super::SLOPE;
use super::branches::Behind;
use super::forward::{Map, POINT, SQUARE, Shortcut};
use super::kernels::Kernels;
use crate::ops::gemm_conv::{Plain, Source, correlate, product, product_add};
use crate::ops::instance_norm::Moments;
use crate::ops::instance_norm::cpu::before_norm;
use candle_core::Result;
use rayon::prelude::*;

/// What the way forward left behind: outputs of the convolutions.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) first: Map<'static>,
    /// Of the second only its moments.
    pub(super) second: Vec<Moments>,
    /// Of the shortcut, where it is convolved.
    pub(super) third: Option<Map<'static>>,
}

/// Which gradients are wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// One for each part of the input.
    pub(super) inputs: Vec<bool>,
    pub(super) kernels: bool,
}

/// Gradients of what was wanted.
#[derive(Debug)]
pub(super) struct Gradients {
    /// One for each part of the input.
    pub(super) inputs: Vec<Option<Vec<f32>>>,
    /// Of all kernels in a row.
    pub(super) kernels: Option<Vec<f32>>,
}

/// All gradients, from the last op to the first (`identity` is the input where the shortcut is not
/// convolved); what is no longer needed is let go at once.
pub(super) fn gradients(
    (input, identity): (&dyn Source, &[f32]),
    kernels: &Kernels<'_>,
    saved: Saved,
    behind: Behind<'_>,
    wanted: &Wanted,
) -> Result<Gradients> {
    let Saved { first, second, third } = saved;
    let planes = first.planes;

    let shortcut = match &third {
        Some(map) => Shortcut::Map(map),
        None => Shortcut::Input(identity),
    };
    let values = behind.gated(&second, shortcut, planes)?;
    let grad = Plain { values: &values, planes };
    let conv2 = wanted.kernels.then(|| correlate(&grad, &first.rectified(), SQUARE));
    let mut before = product(&grad, SQUARE, &kernels.conv2_turned());
    drop(values);

    let each = before.par_chunks_exact_mut(planes.pixels().max(1)).enumerate();
    each.for_each(|(index, h)| {
        let (x, moments) = first.plane(index);
        rectify(x, h, moments.mean);
        before_norm(x, h, moments);
    });
    drop(first);
    let grad = Plain { values: &before, planes };
    let conv1 = wanted.kernels.then(|| correlate(&grad, input, SQUARE));
    let mut inputs: Vec<Option<Vec<f32>>> = Vec::new();
    for (part, wanted) in wanted.inputs.iter().enumerate() {
        inputs.push(wanted.then(|| product(&grad, SQUARE, &kernels.conv1_turned(part))));
    }
    drop(before);

    let convolved = third.is_some();
    let values = behind.shortcut(third, planes)?;
    let grad = Plain { values: &values, planes };
    let conv3 = (wanted.kernels && convolved).then(|| correlate(&grad, input, POINT));
    for (part, sum) in inputs.iter_mut().enumerate() {
        match sum {
            None => {}
            Some(sum) if convolved => product_add(&grad, POINT, &kernels.conv3_turned(part), sum),
            Some(sum) => add(sum, &values),
        }
    }
    let all = [conv1, conv2, conv3].into_iter().flatten();
    Ok(Gradients { inputs, kernels: wanted.kernels.then(|| all.flatten().collect()) })
}

/// Numbers a thread adds at once.
const CHUNK: usize = 1 << 15;

fn add(sum: &mut [f32], other: &[f32]) {
    let chunks = sum.par_chunks_mut(CHUNK).zip(other.par_chunks(CHUNK));
    chunks.for_each(|(sum, other)| sum.iter_mut().zip(other).for_each(|(s, o)| *s += o));
}

/// `before_rectifier` in place.
fn rectify(x: &[f32], h: &mut [f32], bend: f32) {
    for (h, x) in h.iter_mut().zip(x) {
        *h = if *x > bend { *h } else { *h * SLOPE };
    }
}
