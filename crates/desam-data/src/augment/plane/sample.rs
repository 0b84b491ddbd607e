//! Reading of a slice between its pixels: cubic B-spline and linear interpolation.

use super::Plane;
use crate::preprocess::spline::{fit_line, weights};

/// A slice as the coefficients of the cubic B-spline through its pixels.
pub(super) struct Spline(Plane);

impl Spline {
    /// Fits the spline, the slice mirrored at the middles of its edge pixels.
    pub(super) fn fit(plane: &Plane) -> Self {
        Self(plane.along_axes(|line| {
            let mut line = line.to_vec();
            // A single pixel is its own coefficient.
            if line.len() > 1 {
                fit_line(&mut line);
            }
            line
        }))
    }

    /// The value at (row, column); 0 outside the middles of the edge pixels.
    pub(super) fn value(&self, row: f64, column: f64) -> f64 {
        let Plane { height, width, values } = &self.0;
        if !(is_inside(row, *height) && is_inside(column, *width)) {
            return 0.0;
        }
        let (top, left) = (row.floor(), column.floor());
        let (by_row, by_column) = (weights(row - top), weights(column - left));
        let mut sum = 0.0;
        for (r, weight) in by_row.iter().enumerate() {
            let start = mirror(top as isize + r as isize - 1, *height) * width;
            for (c, along) in by_column.iter().enumerate() {
                let index = start + mirror(left as isize + c as isize - 1, *width);
                sum += values.get(index).copied().unwrap_or(0.0) * weight * along;
            }
        }
        sum
    }
}

/// Linear interpolation of a mask's share of foreground at (row, column); 0 outside the middles of the
/// edge pixels.
pub(super) fn linear(plane: &Plane, row: f64, column: f64) -> f64 {
    let Plane { height, width, values } = plane;
    if !(is_inside(row, *height) && is_inside(column, *width)) {
        return 0.0;
    }
    let (top, left) = (row.floor(), column.floor());
    let (y, x) = (row - top, column - left);
    let value = |r: usize, c: usize| {
        // Beyond the last pixel only a weight of 0 reads.
        let index = r.min(height - 1) * width + c.min(width - 1);
        values.get(index).copied().unwrap_or(0.0)
    };
    let (top, left) = (top as usize, left as usize);
    let line = |r| (1.0 - x) * value(r, left) + x * value(r, left + 1);
    (1.0 - y) * line(top) + y * line(top + 1)
}

fn is_inside(at: f64, count: usize) -> bool {
    at >= 0.0 && at <= count.saturating_sub(1) as f64
}

/// Index mirrored at the middles of the first and last pixel, which do not repeat.
fn mirror(index: isize, count: usize) -> usize {
    let last = count.saturating_sub(1) as isize;
    if last == 0 {
        return 0;
    }
    let within = index.rem_euclid(2 * last);
    within.min(2 * last - within) as usize
}
