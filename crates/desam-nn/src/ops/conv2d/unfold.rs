//! Unfolding image rows into a matrix and folding them back.

use super::Conv2dConfig;
use crate::ops::matmul::Real;
use candle_core::{Result, bail};
use std::ops::{AddAssign, Range};

/// All sizes of one convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) in_channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_channels: usize,
    pub(super) kernel_height: usize,
    pub(super) kernel_width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    config: Conv2dConfig,
}

type Four = (usize, usize, usize, usize);

impl Geometry {
    pub(super) fn new(x: Four, w: Four, config: Conv2dConfig) -> Result<Self> {
        let (batch, in_channels, height, width) = x;
        let (out_channels, wi, kernel_height, kernel_width) = w;
        let Conv2dConfig { stride, padding } = config;
        let (padded_h, padded_w) = (height + 2 * padding, width + 2 * padding);
        let fits =
            (1..=padded_h).contains(&kernel_height) && (1..=padded_w).contains(&kernel_width);
        if wi != in_channels || stride == 0 || !fits {
            bail!("convolution: kernel {w:?} on {x:?} with {config:?}");
        }
        let out_height = (padded_h - kernel_height) / stride + 1;
        let out_width = (padded_w - kernel_width) / stride + 1;
        Ok(Self {
            batch,
            in_channels,
            height,
            width,
            out_channels,
            kernel_height,
            kernel_width,
            out_height,
            out_width,
            config,
        })
    }

    /// Numbers in one input image.
    pub(super) fn image(&self) -> usize {
        self.in_channels * self.height * self.width
    }

    /// Pixels of one output channel.
    pub(super) fn pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Rows of the unfolded matrix: one for each weight of one output channel.
    pub(super) fn depth(&self) -> usize {
        self.in_channels * self.kernel_height * self.kernel_width
    }

    /// Whether the unfolded matrix is the image itself.
    pub(super) fn is_pointwise(&self) -> bool {
        let Conv2dConfig { stride, padding } = self.config;
        (self.kernel_height, self.kernel_width, stride, padding) == (1, 1, 1, 0)
    }

    /// Output rows whose unfolded matrix is about a megabyte, so that it stays in the cache
    /// between being written and being multiplied. It depends on sizes alone, never on threads.
    pub(super) fn bands(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let row = (self.depth() * self.out_width).max(1);
        let step = ((1 << 18) / row).clamp(1, self.out_height.max(1));
        let rows = self.out_height;
        (0..rows).step_by(step).map(move |start| start..(start + step).min(rows))
    }

    /// The weight that row `line` of the unfolded matrix belongs to.
    fn kernel_at(&self, line: usize) -> KernelAt {
        let (rest, x) = (line / self.kernel_width, line % self.kernel_width);
        KernelAt { channel: rest / self.kernel_height, y: rest % self.kernel_height, x }
    }

    /// The row of the image, counted over all channels, that output row `y` sees through a weight;
    /// `None` outside the image.
    fn input_row(&self, kernel: &KernelAt, y: usize) -> Option<usize> {
        let row = (y * self.config.stride + kernel.y).checked_sub(self.config.padding)?;
        (row < self.height).then_some(kernel.channel * self.height + row)
    }

    /// Output columns whose input column exists for kernel column `kx`.
    fn columns(&self, kx: usize) -> Range<usize> {
        let Conv2dConfig { stride, padding } = self.config;
        let first = padding.saturating_sub(kx).div_ceil(stride);
        let beyond = (self.width + padding).saturating_sub(kx).div_ceil(stride);
        first.min(self.out_width)..beyond.min(self.out_width)
    }

    /// Writes the unfolded matrix `[depth, rows · W']` of one image, zeros where the kernel reaches
    /// beyond it.
    pub(super) fn unfold<T: Real>(&self, image: &[T], rows: &Range<usize>, matrix: &mut [T]) {
        let Conv2dConfig { stride, padding } = self.config;
        let lines = matrix.chunks_exact_mut((rows.len() * self.out_width).max(1));
        for (line, run) in lines.enumerate() {
            let kernel = self.kernel_at(line);
            let columns = self.columns(kernel.x);
            for (y, target) in rows.clone().zip(run.chunks_exact_mut(self.out_width)) {
                let Some(row) = self.input_row(&kernel, y).filter(|_| !columns.is_empty()) else {
                    target.fill(T::ZERO);
                    continue;
                };
                target[..columns.start].fill(T::ZERO);
                target[columns.end..].fill(T::ZERO);
                let from = row * self.width + columns.start * stride + kernel.x - padding;
                let target = &mut target[columns.clone()];
                if stride == 1 {
                    target.copy_from_slice(&image[from..from + target.len()]);
                } else {
                    let source = image[from..].iter().step_by(stride);
                    target.iter_mut().zip(source).for_each(|(t, s)| *t = *s);
                }
            }
        }
    }

    /// Adds the matrix `[depth, rows · W']` back onto the image it was unfolded from.
    pub(super) fn fold<T: Real + AddAssign>(
        &self,
        matrix: &[T],
        rows: &Range<usize>,
        image: &mut [T],
    ) {
        let Conv2dConfig { stride, padding } = self.config;
        let lines = matrix.chunks_exact((rows.len() * self.out_width).max(1));
        for (line, run) in lines.enumerate() {
            let kernel = self.kernel_at(line);
            let columns = self.columns(kernel.x);
            for (y, source) in rows.clone().zip(run.chunks_exact(self.out_width)) {
                let Some(row) = self.input_row(&kernel, y).filter(|_| !columns.is_empty()) else {
                    continue;
                };
                let to = row * self.width + columns.start * stride + kernel.x - padding;
                let source = &source[columns.clone()];
                if stride == 1 {
                    let target = &mut image[to..to + source.len()];
                    target.iter_mut().zip(source).for_each(|(t, s)| *t += *s);
                } else {
                    let target = image[to..].iter_mut().step_by(stride);
                    target.zip(source).for_each(|(t, s)| *t += *s);
                }
            }
        }
    }
}

/// One weight of a kernel.
struct KernelAt {
    channel: usize,
    y: usize,
    x: usize,
}
