//! The three products of a convolution that keeps the side, f32 on the CPU.

use crate::ops::gemm_conv::{Kernel, Plain, Planes, Window, correlate, product};
use crate::ops::matmul::dense;
use candle_core::{CpuStorage, Layout, Result};

/// What candle hands to an op.
pub(crate) type Stored<'a> = (&'a CpuStorage, &'a Layout);

/// A contiguous `[B, C, H, W]` as the products read it.
pub(crate) fn plain(stored: Stored<'_>) -> Result<Plain<'_>> {
    let (images, channels, height, width) = stored.1.shape().dims4()?;
    let planes = Planes { images, channels, height, width };
    Ok(Plain { values: dense(stored)?, planes })
}

/// A contiguous kernel `[O, I, side, side]`.
pub(crate) fn kernel(w: Stored<'_>) -> Result<(Kernel<'_>, Window)> {
    let (_, inputs, side, _) = w.1.shape().dims4()?;
    let window = Window { side };
    Ok((Kernel { values: dense(w)?, inputs, taps: window.taps() }, window))
}

pub(super) fn output(x: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (kernel, window) = kernel(w)?;
    Ok(product(&plain(x)?, window, &kernel.pack(w.1.shape().dims4()?.0)))
}

/// The convolution of the gradient with the kernel turned round, inputs and outputs exchanged.
pub(super) fn input_gradient(grad: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (kernel, window) = kernel(w)?;
    let turned = kernel.turned(w.1.shape().dims4()?.0, (0, kernel.inputs));
    Ok(product(&plain(grad)?, window, &turned))
}

pub(super) fn kernel_gradient(grad: Stored<'_>, x: Stored<'_>, side: usize) -> Result<Vec<f32>> {
    Ok(correlate(&plain(grad)?, &plain(x)?, Window { side }))
}
