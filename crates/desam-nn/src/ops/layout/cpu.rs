//! Layout changes on the CPU, on all threads, a cache line at a time.

use crate::ops::matmul::dense;
use crate::ops::vector::build;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};

/// Channels that are written together: a cache line of a token.
const LINE: usize = 16;

/// `[B, H, W, C]` → `[B, C, H, W]`, f32.
pub(super) struct ChannelsFirst;

impl CustomOp1 for ChannelsFirst {
    fn name(&self) -> &'static str {
        "desam-channels-first"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let (x, pixels) = (dense::<f32>((x, layout))?, height * width);
        // The largest number of channels that divides all of them, so that no chunk spans two images.
        let divides = |n: &usize| channels.is_multiple_of(*n);
        let some = [LINE, LINE / 2, LINE / 4, LINE / 8].into_iter().find(divides).unwrap_or(1);
        let y = build(x.len(), some * pixels, |index, y| {
            let first = index * some;
            let (image, channel) = (first / channels, first % channels);
            let x = &x[image * pixels * channels..(image + 1) * pixels * channels];
            // Few tokens at a time: what was read stays in the cache until every channel is written.
            for start in (0..pixels).step_by(LINE) {
                let here = LINE.min(pixels - start);
                for (c, line) in y.chunks_exact_mut(pixels).enumerate() {
                    let from = x[start * channels + channel + c..].iter().step_by(channels);
                    line[start..start + here].iter_mut().zip(from).for_each(|(y, x)| *y = *x);
                }
            }
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), Shape::from((images, channels, height, width))))
    }
}

/// `[B, I, H, W]` → `[B, H / side, W / side, I · side²]`, f32.
pub(super) struct Patches {
    pub(super) side: usize,
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "desam-patches"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, channels, height, width) = layout.shape().dims4()?;
        let (x, side) = (dense::<f32>((x, layout))?, self.side);
        let (down, across, len) = (height / side, width / side, channels * side * side);
        let y = build(images * down * across * len, across * len, |index, y| {
            let (image, row) = (index / down, index % down);
            for (column, patch) in y.chunks_exact_mut(len).enumerate() {
                for (line, to) in patch.chunks_exact_mut(side).enumerate() {
                    let (channel, line) = (line / side, row * side + line % side);
                    let begin = ((image * channels + channel) * height + line) * width;
                    to.copy_from_slice(&x[begin + column * side..][..side]);
                }
            }
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), Shape::from((images, down, across, len))))
    }
}
