//! Unfolding of windows (im2col) in f32 on the CPU: a task for each row of windows.

use super::STRIDE;
use crate::ops::matmul::dense;
use crate::ops::vector::build;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};

/// The op `x [B, H, W, I]` → `[B, ⌈H / 2⌉, ⌈W / 2⌉, 9 I]`, without a gradient.
pub(super) struct Unfold;

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "desam-unfold-3x3-stride-2"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let x = dense::<f32>((x, layout))?;
        let (rows, columns) = (height.div_ceil(STRIDE), width.div_ceil(STRIDE));
        let (line, run) = (width * channels, 3 * channels);
        let len = images * rows * columns * 3 * run;
        let y = build(len, columns * 3 * run, |index, windows| {
            let (image, row) = (index / rows.max(1), index % rows.max(1));
            for tap in 0..3 {
                // Rows of the padding stay zero.
                let Some(from) = (row * STRIDE + tap).checked_sub(1).filter(|at| *at < height)
                else {
                    continue;
                };
                let from = &x[(image * height + from) * line..][..line];
                for (column, window) in windows.chunks_exact_mut(3 * run).enumerate() {
                    copy_run(from, column * STRIDE, channels, &mut window[tap * run..][..run]);
                }
            }
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), Shape::from((images, rows, columns, 3 * run))))
    }
}

/// Copies the three pixels around pixel `at` of a row; pixels of the padding stay zero.
fn copy_run(row: &[f32], at: usize, channels: usize, to: &mut [f32]) {
    let (skip, begin) = match at.checked_sub(1) {
        Some(left) => (0, left * channels),
        None => (channels, 0),
    };
    let end = ((at + 2) * channels).min(row.len());
    to[skip..][..end - begin].copy_from_slice(&row[begin..end]);
}
