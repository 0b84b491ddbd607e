//! The block's way back.

use super::forward::{Map, POINT, SQUARE};
use super::kernels::Kernels;
use super::{GATE, SLOPE};
use crate::ops::instance_norm::cpu::{before_norm, before_rectifier};
use crate::ops::product::{Plain, Planes, Source, correlate, product};
use crate::ops::vector::build;
use candle_core::Result;
use rayon::prelude::*;

/// What the way forward left behind: the three convolutions' outputs.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) first: Map<'static>,
    pub(super) second: Map<'static>,
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

/// Where the gradient comes from: the block's output and its gradient, `[B, O, H, W]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind<'a> {
    pub(super) output: &'a [f32],
    pub(super) grad: &'a [f32],
}

impl Behind<'_> {
    /// The gradient of one branch of the sum before its norm, if it has one. The last rectifier's
    /// output has the sum's sign.
    fn branch(&self, planes: Planes, factor: f32, norm: Option<&Map<'_>>) -> Result<Vec<f32>> {
        let pixels = planes.pixels();
        build(self.grad.len(), pixels, |index, h| {
            let at = index * pixels..(index + 1) * pixels;
            let inputs = [&self.output[at.clone()], &self.grad[at]];
            before_rectifier(inputs, h, 0.0, [factor, SLOPE]);
            if let Some((x, moments)) = norm.map(|map| map.plane(index)) {
                before_norm(x, h, moments);
            }
            Ok(())
        })
    }
}

/// All gradients, from the last op to the first; what is no longer needed is let go at once.
pub(super) fn gradients(
    input: &dyn Source,
    kernels: &Kernels<'_>,
    saved: Saved,
    behind: Behind<'_>,
    wanted: &Wanted,
) -> Result<Gradients> {
    let Saved { first, second, third } = saved;
    let planes = first.planes;

    let values = behind.branch(planes, GATE, Some(&second))?;
    drop(second);
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

    let values = behind.branch(planes, 1.0, third.as_ref())?;
    let grad = Plain { values: &values, planes };
    let conv3 = (wanted.kernels && third.is_some()).then(|| correlate(&grad, input, POINT));
    for (part, sum) in inputs.iter_mut().enumerate() {
        match (sum, &third) {
            (None, _) => {}
            (Some(sum), None) => add(sum, &values),
            (Some(sum), Some(_)) => add(sum, &product(&grad, POINT, &kernels.conv3_turned(part))),
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
