//! The three products of a convolution that keeps the side, f32 on the CPU.

use crate::ops::matmul::dense;
use crate::ops::product::{PanelShape, Panels, Plain, Planes, Window, correlate, product};
use candle_core::{CpuStorage, Layout, Result};

/// What candle hands to an op.
pub(crate) type Stored<'a> = (&'a CpuStorage, &'a Layout);

/// A contiguous `[B, C, H, W]` as the products read it.
pub(crate) fn plain(stored: Stored<'_>) -> Result<Plain<'_>> {
    let (images, channels, height, width) = stored.1.shape().dims4()?;
    let planes = Planes { images, channels, height, width };
    Ok(Plain { values: dense(stored)?, planes })
}

/// A contiguous kernel `[O, I, side, side]`, packed as it stands.
pub(crate) fn panels(w: Stored<'_>) -> Result<(Panels, Window)> {
    let (rows, channels, side, _) = w.1.shape().dims4()?;
    let (values, window) = (dense::<f32>(w)?, Window { side });
    let shape = PanelShape { rows, channels, taps: window.taps() };
    let weight = |row, channel, tap| values[(row * channels + channel) * shape.taps + tap];
    Ok((Panels::pack(shape, weight), window))
}

pub(super) fn output(x: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (weights, window) = panels(w)?;
    Ok(product(&plain(x)?, window, &weights))
}

/// The convolution of the gradient with the kernel turned round, inputs and outputs exchanged.
pub(super) fn input_gradient(grad: Stored<'_>, w: Stored<'_>) -> Result<Vec<f32>> {
    let (outputs, inputs, side, _) = w.1.shape().dims4()?;
    let (values, window) = (dense::<f32>(w)?, Window { side });
    let taps = window.taps();
    let shape = PanelShape { rows: inputs, channels: outputs, taps };
    let weight = |row, channel, tap| values[(channel * inputs + row) * taps + taps - 1 - tap];
    Ok(product(&plain(grad)?, window, &Panels::pack(shape, weight)))
}

pub(super) fn kernel_gradient(grad: Stored<'_>, x: Stored<'_>, side: usize) -> Result<Vec<f32>> {
    Ok(correlate(&plain(grad)?, &plain(x)?, Window { side }))
}
