//! Backward pass of the residual block.
//!
//! The second convolution's output is not saved: its norm is recomputed from the block's output, which
//! the next op keeps alive anyway, and from the shortcut.

use super::SLOPE;
use super::branches::OutputGradient;
use super::forward::{NormedMap, Shortcut};
use super::kernels::Kernels;
use crate::ops::gemm_conv::{
    ImageSource, NchwView, Window, implicit_gemm, implicit_gemm_add, weight_gradient,
};
use crate::ops::instance_norm::Moments;
use crate::ops::instance_norm::cpu::norm_backward;
use candle_core::Result;
use rayon::prelude::*;

/// Activations saved by the forward pass: outputs of the convolutions.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) first: NormedMap<'static>,
    /// Of the second only the moments.
    pub(super) second: Vec<Moments>,
    /// Of the shortcut, where it is convolved.
    pub(super) third: Option<NormedMap<'static>>,
}

/// Flags of the gradients that are needed.
#[derive(Debug, Clone)]
pub(super) struct NeededGradients {
    /// One for each concatenated input.
    pub(super) inputs: Vec<bool>,
    pub(super) kernels: bool,
}

/// The gradients that are needed.
#[derive(Debug)]
pub(super) struct Gradients {
    /// One for each concatenated input.
    pub(super) inputs: Vec<Option<Vec<f32>>>,
    /// Of all kernels, one behind the other.
    pub(super) kernels: Option<Vec<f32>>,
}

/// The block's input.
#[derive(Clone, Copy)]
pub(super) struct BlockInput<'a> {
    pub(super) source: &'a dyn ImageSource,
    /// The same as the shortcut's values, where that is not convolved; empty otherwise.
    pub(super) identity: &'a [f32],
}

/// Gradients of the inputs and kernels, from the last op to the first. Every buffer is freed as soon
/// as it is no longer needed, to bound the peak of a training step's memory.
pub(super) fn gradients(
    input: BlockInput<'_>,
    kernels: &Kernels<'_>,
    saved: Saved,
    output: OutputGradient<'_>,
    needed: &NeededGradients,
) -> Result<Gradients> {
    let Saved { first, second, third } = saved;
    let planes = first.planes;

    let shortcut = match &third {
        Some(map) => Shortcut::Map(map),
        None => Shortcut::Input(input.identity),
    };
    let values = output.gated_branch(&second, shortcut, planes)?;
    let grad = NchwView { values: &values, planes };
    let conv2 = needed.kernels.then(|| weight_gradient(&grad, &first.rectified(), Window::SQUARE));
    let mut before = implicit_gemm(&grad, &kernels.conv2_flipped());
    drop(values);

    let each = before.par_chunks_exact_mut(planes.pixels().max(1)).enumerate();
    each.for_each(|(index, h)| {
        let (x, moments) = first.plane(index);
        leaky_relu_backward(x, h, moments.mean);
        norm_backward(x, h, moments);
    });
    drop(first);
    let grad = NchwView { values: &before, planes };
    let conv1 = needed.kernels.then(|| weight_gradient(&grad, input.source, Window::SQUARE));
    let mut inputs: Vec<Option<Vec<f32>>> = Vec::new();
    for (part, needed) in needed.inputs.iter().enumerate() {
        inputs.push(needed.then(|| implicit_gemm(&grad, &kernels.conv1_flipped(part))));
    }
    drop(before);

    let convolved = third.is_some();
    let values = output.shortcut_branch(third, planes)?;
    let grad = NchwView { values: &values, planes };
    let conv3 =
        (needed.kernels && convolved).then(|| weight_gradient(&grad, input.source, Window::POINT));
    for (part, sum) in inputs.iter_mut().enumerate() {
        match sum {
            None => {}
            Some(sum) if convolved => implicit_gemm_add(&grad, &kernels.conv3_flipped(part), sum),
            Some(sum) => add(sum, &values),
        }
    }
    let all = [conv1, conv2, conv3].into_iter().flatten();
    Ok(Gradients { inputs, kernels: needed.kernels.then(|| all.flatten().collect()) })
}

/// Numbers a thread adds at once.
const CHUNK: usize = 1 << 15;

fn add(sum: &mut [f32], other: &[f32]) {
    let chunks = sum.par_chunks_mut(CHUNK).zip(other.par_chunks(CHUNK));
    chunks.for_each(|(sum, other)| sum.iter_mut().zip(other).for_each(|(s, o)| *s += o));
}

/// Gradient of LeakyReLU after a norm, in place: the sign of the normalised `x` is that of `x - mean`.
fn leaky_relu_backward(x: &[f32], h: &mut [f32], mean: f32) {
    for (h, x) in h.iter_mut().zip(x) {
        *h = if *x > mean { *h } else { *h * SLOPE };
    }
}
