//! Layer norm over channels (`LayerNorm2d`) on the CPU, forward and backward, without transposing to
//! channels-last.
//!
//! Two passes each. The first reduces over the channels of a chunk of pixels to per-pixel statistics.
//! The second processes each plane once, from start to end.

use super::kernels::{PixelChunk, gradient, gradient_means, moments, normalise};
use crate::ops::matmul::{Stored, dense};
use crate::ops::vector::{build, build_pair, f32s};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};

/// Pixels of a chunk: through a few hundred channels it stays in the L2 cache.
const CHUNK: usize = 512;

/// The op `(x, weight, bias) → y`, f32.
pub(super) struct LayerNorm2d {
    pub(super) eps: f64,
}

/// Sizes of the tensor.
#[derive(Clone, Copy)]
struct PlaneSizes {
    images: usize,
    channels: usize,
    pixels: usize,
}

impl PlaneSizes {
    fn new(shape: &Shape) -> Result<Self> {
        let (images, channels, h, w) = shape.dims4()?;
        Ok(Self { images, channels, pixels: h * w })
    }

    /// Chunks of an image.
    fn chunks(&self) -> usize {
        self.pixels.div_ceil(CHUNK)
    }

    /// Per-pixel statistics of all chunks, `[images, chunks, per_pixel, CHUNK]`, short chunks padded. `f`
    /// fills `per_pixel` rows for one chunk: it gets the chunk's first number, its pixels and the rows.
    fn statistics(
        &self,
        per_pixel: usize,
        f: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Vec<f32>> {
        let rows = per_pixel * CHUNK;
        build(self.images * self.chunks() * rows, rows, |i, out| {
            let first = i % self.chunks() * CHUNK;
            let len = CHUNK.min(self.pixels - first);
            let image = i / self.chunks() * self.channels * self.pixels;
            f(image + first, len, out);
            Ok(())
        })
    }

    /// Statistics of chunk `s` of the image that `plane` belongs to, by row.
    fn of<'a, const N: usize>(
        &self,
        all: &'a [f32],
        plane: usize,
        s: usize,
        len: usize,
    ) -> [&'a [f32]; N] {
        let start = (plane / self.channels * self.chunks() + s) * N * CHUNK;
        std::array::from_fn(|row| &all[start + row * CHUNK..][..len])
    }
}

impl CustomOp3 for LayerNorm2d {
    fn name(&self) -> &'static str {
        "desam-layer-norm-2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let stored: [Stored<'_>; 3] = [(x, xl), (weight, wl), (bias, bl)];
        let [x, weight, bias] = [dense(stored[0])?, dense(stored[1])?, dense(stored[2])?];
        let planes = PlaneSizes::new(xl.shape())?;
        let PlaneSizes { channels, pixels, .. } = planes;
        if weight.len() != channels || bias.len() != channels {
            let (w, b) = (weight.len(), bias.len());
            bail!("layer norm: {channels} channels, {w} weights, {b} biases");
        }
        let eps = self.eps as f32;
        let statistics = planes.statistics(2, |from, len, out| {
            moments(PixelChunk { image: &x[from..], pixels }, channels, eps, out_rows(out, len));
        })?;
        let y = build(x.len(), pixels, |plane, y| {
            let c = plane % channels;
            let x = &x[plane * pixels..][..pixels];
            for (s, (x, y)) in x.chunks(CHUNK).zip(y.chunks_mut(CHUNK)).enumerate() {
                let shared = planes.of(&statistics, plane, s, x.len());
                normalise(x, shared, [weight[c], bias[c]], y);
            }
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let ((xs, xl), (ws, wl)) = (x.storage_and_layout(), weight.storage_and_layout());
        let (gs, gl) = grad.storage_and_layout();
        let (all, weight, g) = (f32s(&xs, xl)?, f32s(&ws, wl)?, f32s(&gs, gl)?);
        let planes = PlaneSizes::new(x.shape())?;
        let PlaneSizes { channels, pixels, .. } = planes;
        let eps = self.eps as f32;
        let statistics = planes.statistics(4, |from, len, out| {
            let [x, g] = [all, g].map(|t| PixelChunk { image: &t[from..], pixels });
            let [mean, scale, h, dot] = out_rows(out, len);
            moments(x, channels, eps, [mean, scale]);
            gradient_means([x, g], weight, [mean, scale], [h, dot]);
        })?;
        let each_plane = vec![[pixels, 2]; planes.images * channels];
        let [dx, sums] = build_pair(&each_plane, |plane, [dx, sums]| {
            let w = weight[plane % channels];
            let (x, g) = (&all[plane * pixels..][..pixels], &g[plane * pixels..][..pixels]);
            let chunks = x.chunks(CHUNK).zip(g.chunks(CHUNK));
            for (s, ((x, g), dx)) in chunks.zip(dx.chunks_mut(CHUNK)).enumerate() {
                let part = gradient([x, g], planes.of(&statistics, plane, s, x.len()), w, dx);
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            Ok(())
        })?;
        let total = |which: usize| {
            let mut total = vec![0f32; channels];
            for (plane, sums) in sums.chunks_exact(2).enumerate() {
                total[plane % channels] += sums[which];
            }
            Tensor::from_vec(total, channels, &Device::Cpu)
        };
        let dx = Tensor::from_vec(dx, x.shape(), &Device::Cpu)?;
        Ok((Some(dx), Some(total(0)?), Some(total(1)?)))
    }
}

/// The first `len` numbers of each of `N` rows.
fn out_rows<const N: usize>(out: &mut [f32], len: usize) -> [&mut [f32]; N] {
    let mut rows = out.chunks_exact_mut(CHUNK);
    std::array::from_fn(|_| rows.next().map_or(&mut [][..], |row| &mut row[..len]))
}
