//! The block's way forward.

use super::{EPS, GATE, SLOPE};
use crate::ops::gemm_conv::{At, Panels, Planes, Source, Window, product_into};
use crate::ops::instance_norm::{Moments, Part};
use crate::ops::vector::{build, each, fma, kernel};
use candle_core::Result;
use rayon::prelude::*;
use std::borrow::Cow;

pub(super) const SQUARE: Window = Window { side: 3 };
pub(super) const POINT: Window = Window { side: 1 };

/// A convolution's output with the moments of each of its planes.
#[derive(Debug)]
pub(super) struct Map<'a> {
    pub(super) values: Cow<'a, [f32]>,
    pub(super) planes: Planes,
    pub(super) moments: Vec<Moments>,
}

impl<'a> Map<'a> {
    /// Convolves `source`; the moments are taken while a band is still near.
    pub(super) fn convolve(source: &dyn Source, window: Window, weights: &Panels) -> Map<'static> {
        let channels = weights.rows();
        let planes = Planes { channels, ..source.planes() };
        let written = product_into(source, (window, weights), 1, |band| {
            let parts = band.sums.chunks_exact(band.pixels).map(Part::of).collect::<Vec<_>>();
            band.copy();
            parts
        });
        // Bands come image by image, as many of each.
        let each = written.bands.len() / planes.images.max(1);
        let of_plane = |index: usize| {
            let bands = &written.bands[index / channels * each..][..each];
            Moments::join(bands.iter().map(|parts| parts[index % channels]), EPS)
        };
        let moments = (0..planes.images * channels).map(of_plane).collect();
        Map { values: written.values.into(), planes, moments }
    }

    /// A map that was made elsewhere.
    pub(super) fn measure(values: &'a [f32], planes: Planes) -> Self {
        let of_plane = values.par_chunks_exact(planes.pixels().max(1));
        let moments = of_plane.map(|plane| Moments::of(plane, EPS)).collect();
        Self { values: values.into(), planes, moments }
    }

    /// The numbers and moments of one plane.
    pub(super) fn plane(&self, index: usize) -> (&[f32], Moments) {
        let pixels = self.planes.pixels();
        (&self.values[index * pixels..(index + 1) * pixels], self.moments[index])
    }

    /// What the next convolution reads: the map behind its norm and the rectifier.
    pub(super) fn rectified(&self) -> Rectified<'_> {
        Rectified(self)
    }
}

/// A map behind its norm and LeakyReLU, made anew at every reading.
pub(super) struct Rectified<'a>(&'a Map<'a>);

impl Source for Rectified<'_> {
    fn planes(&self) -> Planes {
        self.0.planes
    }

    fn read(&self, at: At, out: &mut [f32]) {
        let planes = self.0.planes;
        let begin = planes.index(at);
        let m = self.0.moments[at.image * planes.channels + at.channel];
        for (out, x) in out.iter_mut().zip(&self.0.values[begin..begin + planes.width]) {
            let normal = (x - m.mean) * m.scale;
            *out = normal.max(normal * SLOPE);
        }
    }
}

/// What is added to the gated branch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shortcut<'a> {
    /// The input itself.
    Input(&'a [f32]),
    /// Its 1×1 convolution, to be normalised.
    Map(&'a Map<'a>),
}

impl Shortcut<'_> {
    /// One plane and what its norm does to it.
    pub(super) fn plane(&self, index: usize, pixels: usize) -> (&[f32], Moments) {
        match self {
            Self::Input(x) => {
                let as_it_is = Moments { mean: 0.0, scale: 1.0 };
                (&x[index * pixels..(index + 1) * pixels], as_it_is)
            }
            Self::Map(map) => map.plane(index),
        }
    }
}

/// `leaky(gate · norm(main) + shortcut)`
pub(super) fn add(main: &Map<'_>, shortcut: Shortcut<'_>) -> Result<Vec<f32>> {
    let pixels = main.planes.pixels();
    build(main.values.len(), pixels, |index, y| {
        let (x, norm) = main.plane(index);
        let (other, other_norm) = shortcut.plane(index, pixels);
        add_plane([x, other], y, [norm, other_norm]);
        Ok(())
    })
}

kernel! {
    /// One plane of [`add`].
    fn add_plane(simd: S, inputs: [&'a [f32]; 2], y: &'a mut [f32], norms: [Moments; 2]) -> () {
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
