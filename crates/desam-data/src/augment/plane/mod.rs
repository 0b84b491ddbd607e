//! Transforms of one slice of any intensities, as batchgenerators computes them: Gaussian filters,
//! deformation by cubic splines, brightness, contrast, gamma, low resolution.
//!
//! [`ImageAugment`](super::ImageAugment) changes `u8` slices; these change intensities as a volume has
//! them, before they are normalised.

mod filter;
mod intensity;
mod resolution;
mod sample;
#[cfg(test)]
mod tests;
mod warp;

pub use filter::Boundary;
pub use warp::SamplingGrid;

use crate::{Error, Result};

/// A slice of any intensities, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Plane {
    /// `values`, row by row.
    ///
    /// # Errors
    /// When they do not fill `height × width`, or there are none.
    ///
    /// # Examples
    /// ```
    /// use desam_data::augment::plane::{Boundary, Plane};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let plane = Plane::new(1, 5, vec![0.0, 0.0, 4.0, 0.0, 0.0])?;
    /// let blurred = plane.gaussian_filter(0.5, Boundary::Reflect);
    /// // A Gaussian keeps the sum and spreads the peak to both sides alike.
    /// assert!((blurred.values().iter().sum::<f64>() - 4.0).abs() < 1e-12);
    /// assert_eq!(blurred.values()[1], blurred.values()[3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(height: usize, width: usize, values: Vec<f64>) -> Result<Self> {
        if values.is_empty() || height.checked_mul(width) != Some(values.len()) {
            return Err(Error::PlaneSize { height, width, found: values.len() });
        }
        Ok(Self { height, width, values })
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Consumes `self` and returns the values, row by row.
    pub fn into_values(self) -> Vec<f64> {
        self.values
    }

    /// Flipped left to right.
    #[must_use]
    pub fn flip_columns(mut self) -> Self {
        self.values.chunks_exact_mut(self.width).for_each(<[f64]>::reverse);
        self
    }

    /// Flipped top to bottom.
    #[must_use]
    pub fn flip_rows(self) -> Self {
        let rows = self.values.chunks_exact(self.width).rev();
        Self { values: rows.flatten().copied().collect(), ..self }
    }

    /// Zero padding on the right and below, or cropping there, to a square of `side`.
    #[must_use]
    pub fn pad_or_crop(&self, side: usize) -> Self {
        let side = side.max(1);
        let mut values = vec![0.0; side * side];
        for (to, from) in values.chunks_exact_mut(side).zip(self.values.chunks_exact(self.width)) {
            let count = side.min(self.width);
            to[..count].copy_from_slice(&from[..count]);
        }
        Self { height: side, width: side, values }
    }

    /// The same size with other values, of the same number.
    pub(super) fn with_values(&self, values: Vec<f64>) -> Self {
        Self { height: self.height, width: self.width, values }
    }

    /// Applies `change` to every line along the columns, then along the rows. Lines keep their length.
    fn along_axes(&self, change: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let (height, width) = (self.height, self.width);
        let mut values = self.values.clone();
        for c in 0..width {
            let column: Vec<f64> = values.iter().skip(c).step_by(width).copied().collect();
            for (to, value) in values.iter_mut().skip(c).step_by(width).zip(change(&column)) {
                *to = value;
            }
        }
        for row in values.chunks_exact_mut(width) {
            let changed = change(row);
            row.iter_mut().zip(changed).for_each(|(to, value)| *to = value);
        }
        Self { height, width, values }
    }
}
