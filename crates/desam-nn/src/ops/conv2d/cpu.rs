//! Convolution with same padding in f32 on the CPU: forward, input gradient, weight gradient.

use crate::ops::gemm_conv::{self, ConvKernel, ImageDims, NchwView, Window, implicit_gemm};
use crate::ops::matmul::{Stored, dense};
use candle_core::Result;

/// A view of a contiguous `[B, C, H, W]`.
pub(crate) fn nchw(stored: Stored<'_>) -> Result<NchwView<'_>> {
    let (images, channels, height, width) = stored.1.shape().dims4()?;
    let planes = ImageDims { images, channels, height, width };
    Ok(NchwView { values: dense(stored)?, planes })
}

/// A contiguous kernel `[O, I, side, side]`.
pub(crate) fn kernel(w: Stored<'_>) -> Result<ConvKernel<'_>> {
    let (_, inputs, side, _) = w.1.shape().dims4()?;
    Ok(ConvKernel { values: dense(w)?, inputs, window: Window { side } })
}

pub(super) fn output(x: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let outputs = w.1.shape().dims4()?.0;
    Ok(implicit_gemm(&nchw(x)?, &kernel(w)?.pack(outputs)))
}

/// Input gradient: the output's gradient convolved with the kernel flipped and transposed (inputs and
/// outputs exchanged).
pub(super) fn input_gradient(grad: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let kernel = kernel(w)?;
    let outputs = w.1.shape().dims4()?.0;
    Ok(implicit_gemm(&nchw(grad)?, &kernel.pack_flipped_transposed(outputs, 0..kernel.inputs)))
}

pub(super) fn weight_gradient(grad: Stored<'_>, x: Stored<'_>, side: usize) -> Result<Vec<f32>> {
    Ok(gemm_conv::weight_gradient(&nchw(grad)?, &nchw(x)?, Window { side }))
}
