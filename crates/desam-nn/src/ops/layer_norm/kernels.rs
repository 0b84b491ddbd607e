//! Kernels of `LayerNorm2d` on a chunk of pixels.

use crate::ops::vector::{each, fma, kernel};

/// A chunk of pixels through all channels of an image.
#[derive(Clone, Copy)]
pub(super) struct PixelChunk<'a> {
    /// The image from the chunk's first pixel on.
    pub(super) image: &'a [f32],
    /// Pixels of the whole image: from one channel to the next.
    pub(super) pixels: usize,
}

impl<'a> PixelChunk<'a> {
    fn row(&self, channel: usize, len: usize) -> &'a [f32] {
        &self.image[channel * self.pixels..][..len]
    }
}

kernel! {
    /// Mean over channels and reciprocal standard deviation of each pixel.
    pub(super) fn moments(
        simd: S,
        x: PixelChunk<'a>,
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
    /// Means over channels that the gradient needs: with h = ∂y · weight and n the normalised x, mean(h)
    /// and mean(h · n).
    pub(super) fn gradient_means(
        simd: S,
        inputs: [PixelChunk<'a>; 2],
        weight: &'a [f32],
        moments: [&'a mut [f32]; 2],
        outputs: [&'a mut [f32]; 2],
    ) -> () {
        let ([x, grad], [mean, scale], [sum, dot]) = (inputs, moments, outputs);
        let (mean, scale) = (&*mean, &*scale);
        for (c, w) in weight.iter().enumerate() {
            let (xs, gs, w) = (x.row(c, mean.len()), grad.row(c, mean.len()), simd.splat_f32s(*w));
            each!(simd: S; x in xs, g in gs, m in mean; s in sum, a in dot => {
                let h = simd.mul_f32s(g, w);
                s = simd.add_f32s(s, h);
                a = fma(simd, h, simd.sub_f32s(x, m), a);
            });
        }
        let part = simd.splat_f32s(1.0 / weight.len().max(1) as f32);
        each!(simd: S; r in scale; s in sum, a in dot => {
            s = simd.mul_f32s(s, part);
            a = simd.mul_f32s(simd.mul_f32s(a, part), r);
        });
    }
}

kernel! {
    /// `(x - mean) · scale · weight + bias` for a chunk of a plane.
    pub(super) fn normalise(
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
    /// `∂x` of a chunk of a plane, and the sums of `∂y · n` and `∂y` over it: its part of the gradients
    /// of weight and bias.
    pub(super) fn gradient(
        simd: S,
        inputs: [&'a [f32]; 2],
        shared: [&'a [f32]; 4],
        w: f32,
        dxs: &'a mut [f32],
    ) -> [f32; 2] {
        let ([xs, gs], [mean, scale, h, dot]) = (inputs, shared);
        let w = simd.splat_f32s(w);
        let mut sums = [simd.splat_f32s(0.0); 2];
        each!(simd: S; x in xs, g in gs, m in mean, r in scale, h in h, a in dot; dx in dxs => {
            let normal = simd.mul_f32s(simd.sub_f32s(x, m), r);
            sums[0] = fma(simd, g, normal, sums[0]);
            sums[1] = simd.add_f32s(sums[1], g);
            let rest = simd.sub_f32s(simd.mul_f32s(g, w), h);
            dx = simd.mul_f32s(r, simd.sub_f32s(rest, simd.mul_f32s(normal, a)));
        });
        sums.map(|s| simd.reduce_sum_f32s(s))
    }
}
