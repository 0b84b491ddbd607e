//! Layer norm over channels, plane by plane, forward and backward, without turning the tensor.
//!
//! Two walks each way. The first takes a stretch of pixels through all channels and leaves, for
//! each pixel, what all channels share. The second takes each plane once, from start to end.

use crate::ops::matmul::dense;
use crate::ops::vector::{build, build_pair, each, f32s, fma, kernel};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};

/// Pixels whose statistics are made at once: a stretch through a few hundred channels stays in the
/// second cache.
const STRETCH: usize = 512;

type Stored<'a> = (&'a CpuStorage, &'a Layout);

/// `(x, weight, bias) → y`, f32.
pub(super) struct LayerNorm2d {
    pub(super) eps: f64,
}

/// Sizes of the tensor.
#[derive(Clone, Copy)]
struct Planes {
    images: usize,
    channels: usize,
    pixels: usize,
}

/// A stretch of pixels through all channels of an image.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    /// The image from the stretch's first pixel on.
    image: &'a [f32],
    pixels: usize,
}

impl<'a> Stretch<'a> {
    fn row(&self, channel: usize, len: usize) -> &'a [f32] {
        &self.image[channel * self.pixels..][..len]
    }
}

impl Planes {
    fn new(shape: &Shape) -> Result<Self> {
        let (images, channels, h, w) = shape.dims4()?;
        Ok(Self { images, channels, pixels: h * w })
    }

    /// Stretches of an image.
    fn stretches(&self) -> usize {
        self.pixels.div_ceil(STRETCH)
    }

    /// For `f`, which fills numbers for each pixel of a stretch (`per_pixel` of them, in as many
    /// rows): all of them, `[images, stretches, per_pixel, STRETCH]`, short stretches padded.
    fn statistics(
        &self,
        per_pixel: usize,
        f: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Vec<f32>> {
        let stretch = per_pixel * STRETCH;
        build(self.images * self.stretches() * stretch, stretch, |i, out| {
            let first = i % self.stretches() * STRETCH;
            let len = STRETCH.min(self.pixels - first);
            let image = i / self.stretches() * self.channels * self.pixels;
            f(image + first, len, out);
            Ok(())
        })
    }

    /// Statistics of the stretch `s` of the image that `plane` belongs to, by row.
    fn of<'a, const N: usize>(
        &self,
        all: &'a [f32],
        plane: usize,
        s: usize,
        len: usize,
    ) -> [&'a [f32]; N] {
        let start = (plane / self.channels * self.stretches() + s) * N * STRETCH;
        std::array::from_fn(|row| &all[start + row * STRETCH..][..len])
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
        let planes = Planes::new(xl.shape())?;
        let Planes { channels, pixels, .. } = planes;
        if weight.len() != channels || bias.len() != channels {
            let (w, b) = (weight.len(), bias.len());
            bail!("layer norm: {channels} channels, {w} weights, {b} biases");
        }
        let eps = self.eps as f32;
        let statistics = planes.statistics(2, |from, len, out| {
            moments(Stretch { image: &x[from..], pixels }, channels, eps, out_rows(out, len));
        })?;
        let y = build(x.len(), pixels, |plane, y| {
            let c = plane % channels;
            let x = &x[plane * pixels..][..pixels];
            for (s, (x, y)) in x.chunks(STRETCH).zip(y.chunks_mut(STRETCH)).enumerate() {
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
        let planes = Planes::new(x.shape())?;
        let Planes { channels, pixels, .. } = planes;
        let eps = self.eps as f32;
        let statistics = planes.statistics(4, |from, len, out| {
            let [x, g] = [all, g].map(|t| Stretch { image: &t[from..], pixels });
            let [mean, scale, h, along] = out_rows(out, len);
            moments(x, channels, eps, [mean, scale]);
            shares([x, g], weight, [mean, scale], [h, along]);
        })?;
        let each_plane = vec![[pixels, 2]; planes.images * channels];
        let [dx, sums] = build_pair(&each_plane, |plane, [dx, sums]| {
            let w = weight[plane % channels];
            let (x, g) = (&all[plane * pixels..][..pixels], &g[plane * pixels..][..pixels]);
            let stretches = x.chunks(STRETCH).zip(g.chunks(STRETCH));
            for (s, ((x, g), dx)) in stretches.zip(dx.chunks_mut(STRETCH)).enumerate() {
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
    let mut rows = out.chunks_exact_mut(STRETCH);
    std::array::from_fn(|_| rows.next().map_or(&mut [][..], |row| &mut row[..len]))
}

kernel! {
    /// Mean over channels and reciprocal deviation of each pixel.
    fn moments(
        simd: S,
        x: Stretch<'a>,
        channels: usize,
        eps: f32,
        outputs: [&'a mut [f32]; 2],
    ) -> () {
        let [mean, scale] = outputs;
        let part = simd.splat_f32s(1.0 / channels.max(1) as f32);
        for c in 0..channels {
            let xs = x.row(c, mean.len());
            each!(simd: S; x in xs; m in mean => { m = simd.add_f32s(m, x); });
        }
        each!(simd: S; ; m in mean => { m = simd.mul_f32s(m, part); });
        for c in 0..channels {
            let (xs, mean) = (x.row(c, mean.len()), &*mean);
            each!(simd: S; x in xs, m in mean; v in scale => {
                let off = simd.sub_f32s(x, m);
                v = fma(simd, off, off, v);
            });
        }
        let (one, eps) = (simd.splat_f32s(1.0), simd.splat_f32s(eps));
        each!(simd: S; ; v in scale => {
            v = simd.div_f32s(one, simd.sqrt_f32s(fma(simd, v, part, eps)));
        });
    }
}

kernel! {
    /// With h = ∂y · weight and n the normalised x, over channels: mean(h) and mean(h · n).
    fn shares(
        simd: S,
        inputs: [Stretch<'a>; 2],
        weight: &'a [f32],
        moments: [&'a mut [f32]; 2],
        outputs: [&'a mut [f32]; 2],
    ) -> () {
        let ([x, grad], [mean, scale], [sum, along]) = (inputs, moments, outputs);
        let (mean, scale) = (&*mean, &*scale);
        for (c, w) in weight.iter().enumerate() {
            let (xs, gs, w) = (x.row(c, mean.len()), grad.row(c, mean.len()), simd.splat_f32s(*w));
            each!(simd: S; x in xs, g in gs, m in mean; s in sum, a in along => {
                let h = simd.mul_f32s(g, w);
                s = simd.add_f32s(s, h);
                a = fma(simd, h, simd.sub_f32s(x, m), a);
            });
        }
        let part = simd.splat_f32s(1.0 / weight.len().max(1) as f32);
        each!(simd: S; r in scale; s in sum, a in along => {
            s = simd.mul_f32s(s, part);
            a = simd.mul_f32s(simd.mul_f32s(a, part), r);
        });
    }
}

kernel! {
    fn normalise(
        simd: S,
        xs: &'a [f32],
        shared: [&'a [f32]; 2],
        affine: [f32; 2],
        ys: &'a mut [f32],
    ) -> () {
        let ([mean, scale], [w, b]) = (shared, affine.map(|v| simd.splat_f32s(v)));
        each!(simd: S; x in xs, m in mean, r in scale; y in ys => {
            y = fma(simd, simd.mul_f32s(simd.sub_f32s(x, m), r), w, b);
        });
    }
}

kernel! {
    /// `∂x` of a stretch of a plane, and the sums of `∂y · n` and `∂y` over it.
    fn gradient(
        simd: S,
        inputs: [&'a [f32]; 2],
        shared: [&'a [f32]; 4],
        w: f32,
        dxs: &'a mut [f32],
    ) -> [f32; 2] {
        let ([xs, gs], [mean, scale, h, along]) = (inputs, shared);
        let w = simd.splat_f32s(w);
        let mut sums = [simd.splat_f32s(0.0); 2];
        each!(simd: S; x in xs, g in gs, m in mean, r in scale, h in h, a in along; dx in dxs => {
            let normal = simd.mul_f32s(simd.sub_f32s(x, m), r);
            sums[0] = fma(simd, g, normal, sums[0]);
            sums[1] = simd.add_f32s(sums[1], g);
            let rest = simd.sub_f32s(simd.mul_f32s(g, w), h);
            dx = simd.mul_f32s(r, simd.sub_f32s(rest, simd.mul_f32s(normal, a)));
        });
        sums.map(|s| simd.reduce_sum_f32s(s))
    }
}
