//! Bilinear interpolation on the CPU, forward and backward.

use crate::ops::matmul::{Real, dense};
use crate::ops::vector::{build, build_pair, dispatch, parts};
use candle_core::{CpuStorage, Layout, Result, bail};

/// Output rows of a strip, one task.
const STRIP_ROWS: usize = 64;

/// Planes and their sides before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub(super) count: usize,
    pub(super) from: (usize, usize),
    pub(super) to: (usize, usize),
}

/// The two input positions of an output position, and their interpolation weights.
#[derive(Debug, Clone, Copy)]
struct Tap<T> {
    at: [usize; 2],
    weights: [T; 2],
}

/// The taps of all output positions along one axis.
pub(super) struct Axis<T>(Vec<Tap<T>>);

impl<T: Real> Axis<T> {
    /// Taps of `to` positions over `from` ones, both at least 1, in the arithmetic of PyTorch's
    /// `upsample_bilinear2d`: clamped at the low edge before the weights and at the high edge after.
    pub(super) fn new(from: usize, to: usize) -> Self {
        let (half, zero) = (T::from_f64(0.5), T::ZERO);
        let scale = T::from_f64(from as f64) / T::from_f64(to as f64);
        let tap = |position: usize| {
            let source = scale * (T::from_f64(position as f64) + half) - half;
            let source = if source > zero { source } else { zero };
            let lower = (source.to_f64() as usize).min(from - 1);
            let upper = source - T::from_f64(lower as f64);
            let upper = if upper > T::ONE { T::ONE } else { upper };
            Tap { at: [lower, (lower + 1).min(from - 1)], weights: [T::ONE - upper, upper] }
        };
        Self((0..to).map(tap).collect())
    }

    /// The interpolation matrix `[to, from]`.
    pub(super) fn matrix(&self, from: usize) -> Vec<T> {
        let mut matrix = vec![T::ZERO; self.0.len() * from];
        for (row, tap) in matrix.chunks_exact_mut(from).zip(&self.0) {
            row[tap.at[0]] += tap.weights[0];
            row[tap.at[1]] += tap.weights[1];
        }
        matrix
    }
}

impl Planes {
    pub(super) fn forward(&self, x: (&CpuStorage, &Layout)) -> Result<CpuStorage> {
        match x.0 {
            CpuStorage::F32(_) => Ok(CpuStorage::F32(self.interpolate(dense::<f32>(x)?)?)),
            CpuStorage::F64(_) => Ok(CpuStorage::F64(self.interpolate(dense::<f64>(x)?)?)),
            _ => bail!("bilinear: expected f32 or f64"),
        }
    }

    pub(super) fn backward(&self, grad: (&CpuStorage, &Layout)) -> Result<CpuStorage> {
        match grad.0 {
            CpuStorage::F32(_) => {
                Ok(CpuStorage::F32(self.transpose_interpolate(dense::<f32>(grad)?)?))
            }
            CpuStorage::F64(_) => {
                Ok(CpuStorage::F64(self.transpose_interpolate(dense::<f64>(grad)?)?))
            }
            _ => bail!("bilinear: expected f32 or f64"),
        }
    }

    /// Interpolates, a strip of rows of a plane at a time.
    fn interpolate<T: Real>(&self, x: &[T]) -> Result<Vec<T>> {
        let ((h, w), (height, width)) = (self.from, self.to);
        let (rows, columns) = (Axis::<T>::new(h, height), Axis::<T>::new(w, width));
        let strips: Vec<_> = (0..self.count)
            .flat_map(|plane| parts(height, STRIP_ROWS).map(move |rows| (plane, rows)))
            .collect();
        let lens: Vec<_> = strips.iter().map(|(_, (_, n))| [n * width, 0]).collect();
        let [y, _] = build_pair(&lens, |i, [y, _]| {
            let (plane, (from, len)) = strips[i];
            let plane = &x[plane * h * w..][..h * w];
            // The last two input rows, interpolated to the output's width: reused by the next rows.
            let mut wide = [None, None].map(|row| Wide { row, numbers: vec![T::ZERO; width] });
            for (y, tap) in y.chunks_exact_mut(width).zip(&rows.0[from..from + len]) {
                if wide[1].row == Some(tap.at[0]) {
                    wide.swap(0, 1);
                }
                for (wide, row) in wide.iter_mut().zip(tap.at) {
                    wide.fill(row, &plane[row * w..][..w], &columns);
                }
                let [a, b] = &wide;
                dispatch(|| {
                    for ((y, a), b) in y.iter_mut().zip(&a.numbers).zip(&b.numbers) {
                        *y = *a * tap.weights[0] + *b * tap.weights[1];
                    }
                });
            }
            Ok(())
        })?;
        Ok(y)
    }

    /// Gradient of the interpolation (its transpose), a plane at a time.
    fn transpose_interpolate<T: Real>(&self, grad: &[T]) -> Result<Vec<T>> {
        let ((h, w), (height, width)) = (self.from, self.to);
        let (rows, columns) = (Axis::<T>::new(h, height), Axis::<T>::new(w, width));
        build(self.count * h * w, h * w, |plane, dx| {
            let grad = &grad[plane * height * width..][..height * width];
            let mut wide = vec![T::ZERO; h * width];
            for (g, tap) in grad.chunks_exact(width).zip(&rows.0) {
                for (row, weight) in tap.at.into_iter().zip(tap.weights) {
                    let wide = &mut wide[row * width..][..width];
                    dispatch(|| {
                        for (wide, g) in wide.iter_mut().zip(g) {
                            *wide += *g * weight;
                        }
                    });
                }
            }
            for (dx, wide) in dx.chunks_exact_mut(w).zip(wide.chunks_exact(width)) {
                for (g, tap) in wide.iter().zip(&columns.0) {
                    for (column, weight) in tap.at.into_iter().zip(tap.weights) {
                        dx[column] += *g * weight;
                    }
                }
            }
            Ok(())
        })
    }
}

/// An input row interpolated to the output's width.
struct Wide<T> {
    row: Option<usize>,
    numbers: Vec<T>,
}

impl<T: Real> Wide<T> {
    fn fill(&mut self, row: usize, numbers: &[T], columns: &Axis<T>) {
        if self.row == Some(row) {
            return;
        }
        self.row = Some(row);
        for (wide, tap) in self.numbers.iter_mut().zip(&columns.0) {
            *wide = numbers[tap.at[0]] * tap.weights[0] + numbers[tap.at[1]] * tap.weights[1];
        }
    }
}
