//! Forward pass of the residual block.

use super::{EPS, GATE, SLOPE};
use crate::ops::gemm_conv::{ImageDims, ImageSource, PackedLhs, RowIndex, implicit_gemm_with};
use crate::ops::instance_norm::{Moments, PartMoments};
use crate::ops::vector::{build, each, fma, kernel};
use candle_core::Result;
use rayon::prelude::*;
use std::borrow::Cow;

/// A convolution's output with the instance-norm moments of each of its planes.
#[derive(Debug)]
pub(super) struct NormedMap<'a> {
    pub(super) values: Cow<'a, [f32]>,
    pub(super) planes: ImageDims,
    pub(super) moments: Vec<Moments>,
}

impl<'a> NormedMap<'a> {
    /// Convolves `source`. The moments of a strip are computed while it is in the cache, so the norm
    /// needs no separate pass over the output.
    pub(super) fn convolve(source: &dyn ImageSource, weights: &PackedLhs) -> NormedMap<'static> {
        let channels = weights.rows();
        let planes = ImageDims { channels, ..source.planes() };
        let convolved = implicit_gemm_with(source, weights, 1, |strip| {
            let parts =
                strip.sums.chunks_exact(strip.pixels).map(PartMoments::of).collect::<Vec<_>>();
            strip.copy();
            parts
        });
        // Strips come image by image, the same number for each.
        let each = convolved.strips.len() / planes.images.max(1);
        let of_plane = |index: usize| {
            let strips = &convolved.strips[index / channels * each..][..each];
            Moments::join(strips.iter().map(|parts| parts[index % channels]), EPS)
        };
        let moments = (0..planes.images * channels).map(of_plane).collect();
        NormedMap { values: convolved.values.into(), planes, moments }
    }

    /// A map that was computed elsewhere, with its moments.
    pub(super) fn from_values(values: &'a [f32], planes: ImageDims) -> Self {
        let of_plane = values.par_chunks_exact(planes.pixels().max(1));
        let moments = of_plane.map(|plane| Moments::of(plane, EPS)).collect();
        Self { values: values.into(), planes, moments }
    }

    /// The numbers and moments of one plane.
    pub(super) fn plane(&self, index: usize) -> (&[f32], Moments) {
        let pixels = self.planes.pixels();
        (&self.values[index * pixels..(index + 1) * pixels], self.moments[index])
    }

    /// The input of the next convolution: the map after instance norm and LeakyReLU.
    pub(super) fn rectified(&self) -> Rectified<'_> {
        Rectified(self)
    }
}

/// A map after instance norm and LeakyReLU, recomputed whenever it is read: cheaper than a tensor in
/// memory.
pub(super) struct Rectified<'a>(&'a NormedMap<'a>);

impl ImageSource for Rectified<'_> {
    fn planes(&self) -> ImageDims {
        self.0.planes
    }

    fn read(&self, at: RowIndex, out: &mut [f32]) {
        let planes = self.0.planes;
        let begin = planes.index(at);
        let m = self.0.moments[at.image * planes.channels + at.channel];
        for (out, x) in out.iter_mut().zip(&self.0.values[begin..begin + planes.width]) {
            let normal = (x - m.mean) * m.scale;
            *out = normal.max(normal * SLOPE);
        }
    }
}

/// The shortcut, added to the gated branch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shortcut<'a> {
    /// The input itself.
    Input(&'a [f32]),
    /// Its 1×1 convolution, before the norm.
    Map(&'a NormedMap<'a>),
}

impl Shortcut<'_> {
    /// One plane and the moments of its norm.
    pub(super) fn plane(&self, index: usize, pixels: usize) -> (&[f32], Moments) {
        match self {
            Self::Input(x) => {
                let identity = Moments { mean: 0.0, scale: 1.0 };
                (&x[index * pixels..(index + 1) * pixels], identity)
            }
            Self::Map(map) => map.plane(index),
        }
    }
}

/// The block's output `leaky(gate · norm(main) + norm(shortcut))`, in one pass.
pub(super) fn gated_sum(main: &NormedMap<'_>, shortcut: Shortcut<'_>) -> Result<Vec<f32>> {
    let pixels = main.planes.pixels();
    build(main.values.len(), pixels, |index, y| {
        let (x, norm) = main.plane(index);
        let (other, other_norm) = shortcut.plane(index, pixels);
        gated_sum_plane([x, other], y, [norm, other_norm]);
        Ok(())
    })
}

kernel! {
    /// One plane of [`gated_sum`].
    fn gated_sum_plane(simd: S, inputs: [&'a [f32]; 2], y: &'a mut [f32], norms: [Moments; 2]) -> () {
        let [main, other] = norms;
        let (gated, scale) = (simd.splat_f32s(GATE * main.scale), simd.splat_f32s(other.scale));
        let (mean, other_mean) = (simd.splat_f32s(main.mean), simd.splat_f32s(other.mean));
        let slope = simd.splat_f32s(SLOPE);
        let ([xs, os], ys) = (inputs, y);
        each!(simd: S; x in xs, o in os; y in ys => {
            let shortcut = simd.mul_f32s(simd.sub_f32s(o, other_mean), scale);
            let sum = fma(simd, simd.sub_f32s(x, mean), gated, shortcut);
            y = simd.max_f32s(sum, simd.mul_f32s(sum, slope));
        });
    }
}
