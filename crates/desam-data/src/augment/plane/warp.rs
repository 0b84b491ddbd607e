//! Spatial transforms: sampling coordinates, moved by elastic deformation, rotation and scaling.

use super::sample::{Spline, linear};
use super::{Boundary, Plane};
use crate::{Error, Result};
use desam_core::BinaryMask;

/// Sampling coordinates: for every pixel of the result the position, in pixels, that it is read from.
///
/// Transforms are applied to coordinates about the middle, in the order in which batchgenerators applies
/// them: elastic deformation, rotation, scaling; then the coordinates are moved to the slice's.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingGrid {
    height: usize,
    width: usize,
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl SamplingGrid {
    /// Coordinates of a slice's pixels about the middle of the slice.
    pub fn centred(height: usize, width: usize) -> Self {
        let centred = |index: usize, count: usize| index as f64 - (count as f64 - 1.0) / 2.0;
        let pixels = || (0..height).flat_map(|r| (0..width).map(move |c| (r, c)));
        Self {
            height,
            width,
            rows: pixels().map(|(r, _)| centred(r, height)).collect(),
            columns: pixels().map(|(_, c)| centred(c, width)).collect(),
        }
    }

    /// Coordinates of (row, column) in pixels of the slice, from a file.
    ///
    /// # Errors
    /// When they do not fill `height × width`.
    pub fn new(height: usize, width: usize, rows: Vec<f64>, columns: Vec<f64>) -> Result<Self> {
        for found in [rows.len(), columns.len()] {
            if height.checked_mul(width) != Some(found) {
                return Err(Error::PlaneSize { height, width, found });
            }
        }
        Ok(Self { height, width, rows, columns })
    }

    /// The rows that pixels are read from.
    pub fn rows(&self) -> &[f64] {
        &self.rows
    }

    /// The columns that pixels are read from.
    pub fn columns(&self) -> &[f64] {
        &self.columns
    }

    /// Elastic deformation: displaces rows and columns by `noise` of -1 to 1, blurred by `sigma` with
    /// zeros around it and multiplied by `alpha`. Noise of another size leaves the rest unmoved.
    #[must_use]
    pub fn elastic(mut self, noise: [&Plane; 2], alpha: f64, sigma: f64) -> Self {
        for (coordinates, noise) in [&mut self.rows, &mut self.columns].into_iter().zip(noise) {
            let displacement = noise.gaussian_filter(sigma, Boundary::Zero);
            for (at, moved) in coordinates.iter_mut().zip(displacement.values()) {
                *at += alpha * moved;
            }
        }
        self
    }

    /// Rotates by `angle`, radians.
    #[must_use]
    pub fn rotate(mut self, angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        for (row, column) in self.rows.iter_mut().zip(&mut self.columns) {
            (*row, *column) = (cos * *row + sin * *column, cos * *column - sin * *row);
        }
        self
    }

    /// Scales by `factor`; above 1 the slice shrinks.
    #[must_use]
    pub fn scale(mut self, factor: f64) -> Self {
        self.rows.iter_mut().chain(&mut self.columns).for_each(|at| *at *= factor);
        self
    }

    /// Moves coordinates about the middle to the slice's pixels. The official program puts the middle at
    /// half the size, half a pixel beyond that of the pixels: a warped slice is shifted by that against
    /// one that is not.
    #[must_use]
    pub fn onto_slice(mut self) -> Self {
        let middle = [self.height, self.width].map(|count| count as f64 / 2.0);
        self.rows.iter_mut().for_each(|at| *at += middle[0]);
        self.columns.iter_mut().for_each(|at| *at += middle[1]);
        self
    }

    /// Reads an image by cubic splines, 0 outside.
    pub fn image(&self, image: &Plane) -> Plane {
        let spline = Spline::fit(image);
        self.read(|row, column| spline.value(row, column))
    }

    /// Reads a mask: foreground where linear interpolation gives at least one half, background outside.
    ///
    /// # Errors
    /// When the mask has no pixels.
    pub fn mask(&self, mask: &BinaryMask) -> Result<BinaryMask> {
        let values = mask.data().iter().map(|&v| f64::from(u8::from(v > 0))).collect();
        let plane = Plane::new(mask.height(), mask.width(), values)?;
        let moved = self.read(|row, column| linear(&plane, row, column));
        let moved = moved.values.iter().map(|v| u8::from(*v >= 0.5)).collect();
        Ok(BinaryMask::new(self.height, self.width, moved)?)
    }

    fn read(&self, value: impl Fn(f64, f64) -> f64) -> Plane {
        let values = self.rows.iter().zip(&self.columns).map(|(r, c)| value(*r, *c)).collect();
        Plane { height: self.height, width: self.width, values }
    }
}
