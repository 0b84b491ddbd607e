//! Volumes and label volumes, with the affine from voxel indices to millimetres.
//!
//! One convention for all formats: voxel `(i, j, k)` is stored with `i` fastest, so a slice at
//! constant `k` is a row-major image of `dims[1]` rows (`j`) by `dims[0]` columns (`i`), and the
//! affine takes voxel indices to millimetres in RAS+ (NIfTI's world).

use crate::{Error, Result};
use std::ops::Range;

/// Voxel indices to millimetres, RAS+: rows of the upper 3×4 of a homogeneous matrix.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Affine(pub [[f64; 4]; 3]);

impl Affine {
    /// Axis-aligned, origin at zero, `spacing` in mm.
    pub fn from_spacing(spacing: [f64; 3]) -> Self {
        let [x, y, z] = spacing;
        Self([[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, z, 0.0]])
    }

    /// Voxel `(i, j, k)` in mm.
    pub fn apply(&self, voxel: [f64; 3]) -> [f64; 3] {
        self.0.map(|r| r[0] * voxel[0] + r[1] * voxel[1] + r[2] * voxel[2] + r[3])
    }

    /// Voxel spacing in mm: the lengths of the three columns.
    pub fn spacing(&self) -> [f64; 3] {
        [0, 1, 2].map(|c| self.0.iter().map(|r| r[c] * r[c]).sum::<f64>().sqrt())
    }

    /// Determinant of the 3×3 part, mm³ with the sign of the handedness.
    pub fn determinant(&self) -> f64 {
        let m = &self.0;
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    }

    /// The inverse affine: millimetres to voxel indices.
    ///
    /// # Errors
    /// [`Error::Affine`] when the matrix is singular or has a non-finite entry.
    pub fn inverse(&self) -> Result<Self> {
        let m = &self.0;
        let det = self.determinant();
        if !det.is_finite() || det.abs() < 1e-12 {
            return Err(Error::Affine(self.0));
        }
        let cofactor = |r: usize, c: usize| {
            let (r1, r2) = ((r + 1) % 3, (r + 2) % 3);
            let (c1, c2) = ((c + 1) % 3, (c + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        };
        let mut out = [[0.0; 4]; 3];
        for (r, row) in out.iter_mut().enumerate() {
            for (c, cell) in row.iter_mut().take(3).enumerate() {
                *cell = cofactor(c, r) / det;
            }
            row[3] = -(0..3).map(|c| row[c] * m[c][3]).sum::<f64>();
        }
        Ok(Self(out))
    }
}

/// Grid of a volume: dimensions, and the affine to millimetres.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Voxels along `i`, `j`, `k`.
    pub dims: [usize; 3],
    /// Voxel indices to mm.
    pub affine: Affine,
}

impl Grid {
    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Spacing along `i`, `j`, `k`, in mm.
    pub fn spacing(&self) -> [f64; 3] {
        self.affine.spacing()
    }

    /// Volume of a voxel, in mm³.
    pub fn voxel_mm3(&self) -> f64 {
        self.affine.determinant().abs()
    }

    /// Voxels in a slice at constant `k`.
    pub fn slice_len(&self) -> usize {
        self.dims[0] * self.dims[1]
    }

    /// Index range of slice `k` in the values; `None` where it overflows.
    fn slice_range(&self, k: usize) -> Option<Range<usize>> {
        let start = k.checked_mul(self.slice_len())?;
        Some(start..start.checked_add(self.slice_len())?)
    }

    /// Whether `other` has the same voxels, its corners within `tolerance_mm` of ours. Image and
    /// label files of one case often differ in the last digits of their spacing.
    pub fn matches(&self, other: &Self, tolerance_mm: f64) -> bool {
        let far = self.dims.map(|d| d.saturating_sub(1) as f64);
        let corners = (0..8).map(|b| [0, 1, 2].map(|a| if b >> a & 1 == 1 { far[a] } else { 0.0 }));
        self.dims == other.dims
            && corners.into_iter().all(|v| {
                let (p, q) = (self.affine.apply(v), other.affine.apply(v));
                (0..3).map(|a| (p[a] - q[a]).powi(2)).sum::<f64>().sqrt() <= tolerance_mm
            })
    }
}

/// Weights of red, green and blue in luma, by ITU-R BT.601, as Pillow and OpenCV convert to grey.
pub const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// A volume: intensities on a grid. A colour image has its red, green and blue as well, and its luma
/// as intensities.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    grid: Grid,
    data: Vec<f32>,
    color: Option<Box<[Vec<f32>; 3]>>,
    in_pixels: bool,
}

impl Volume {
    /// A volume from its values, `i` fastest.
    ///
    /// # Errors
    /// When the number of values is not the grid's.
    pub fn new(grid: Grid, data: Vec<f32>) -> Result<Self> {
        if data.len() != grid.len() {
            return Err(Error::shape("voxels", grid.len(), data.len()));
        }
        Ok(Self { grid, data, color: None, in_pixels: false })
    }

    /// A colour volume from red, green and blue on 0 to 255, `i` fastest each. Its intensities are
    /// their luma ([`LUMA`]).
    ///
    /// # Errors
    /// When the number of values of a channel is not the grid's.
    pub fn from_rgb(grid: Grid, channels: [Vec<f32>; 3]) -> Result<Self> {
        if let Some(odd) = channels.iter().find(|values| values.len() != grid.len()) {
            return Err(Error::shape("voxels of a colour channel", grid.len(), odd.len()));
        }
        let [red, green, blue] = &channels;
        let luma = red.iter().zip(green).zip(blue);
        let data = luma.map(|((r, g), b)| LUMA[0] * r + LUMA[1] * g + LUMA[2] * b).collect();
        Ok(Self { color: Some(Box::new(channels)), ..Self::new(grid, data)? })
    }

    /// Marks the grid as one of pixels: spacing and affine stand for no millimetres, as those of a
    /// photograph.
    #[must_use]
    pub fn in_pixels(self) -> Self {
        Self { in_pixels: true, ..self }
    }

    /// Whether the grid is one of pixels, without millimetres.
    pub fn is_in_pixels(&self) -> bool {
        self.in_pixels
    }

    /// The grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The values, `i` fastest; of a colour volume its luma.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Red, green and blue on 0 to 255, `i` fastest; `None` of a volume without colour.
    pub fn color(&self) -> Option<&[Vec<f32>; 3]> {
        self.color.as_deref()
    }

    /// Slice `k`, row by row; `None` beyond the last.
    pub fn slice(&self, k: usize) -> Option<&[f32]> {
        self.data.get(self.grid.slice_range(k)?)
    }
}

/// A label volume (segmentation): `u8` labels on a grid, background 0.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelVolume {
    grid: Grid,
    data: Vec<u8>,
}

impl LabelVolume {
    /// Labels from their values, `i` fastest.
    ///
    /// # Errors
    /// When the number of values is not the grid's.
    pub fn new(grid: Grid, data: Vec<u8>) -> Result<Self> {
        if data.len() != grid.len() {
            return Err(Error::shape("voxels", grid.len(), data.len()));
        }
        Ok(Self { grid, data })
    }

    /// The grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The labels, `i` fastest.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Slice `k`, row by row; `None` beyond the last.
    pub fn slice(&self, k: usize) -> Option<&[u8]> {
        self.data.get(self.grid.slice_range(k)?)
    }

    /// Consumes `self` and returns the labels, `i` fastest.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The labels that occur, rising, without background.
    pub fn labels(&self) -> Vec<u8> {
        let mut found = [false; 256];
        self.data.iter().for_each(|&v| found[usize::from(v)] = true);
        (1..=u8::MAX).filter(|&v| found[usize::from(v)]).collect()
    }

    /// The binary segmentation: every label above zero set to 1.
    #[must_use]
    pub fn binarised(mut self) -> Self {
        self.data.iter_mut().for_each(|v| *v = u8::from(*v > 0));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_volume_has_its_luma_as_intensities() {
        let grid = Grid { dims: [2, 1, 1], affine: Affine::from_spacing([1.0; 3]) };
        let channels = [vec![255.0, 0.0], vec![255.0, 100.0], vec![255.0, 0.0]];
        let volume = Volume::from_rgb(grid, channels.clone()).unwrap();
        // By hand: the weights sum to 1; 0.587 of 100.
        assert!((volume.data()[0] - 255.0).abs() < 1e-3 && (volume.data()[1] - 58.7).abs() < 1e-3);
        assert_eq!(volume.color(), Some(&channels));
        assert!(!volume.is_in_pixels() && volume.in_pixels().is_in_pixels());
        let short = [vec![1.0; 2], vec![1.0], vec![1.0; 2]];
        assert!(Volume::from_rgb(grid, short).is_err());
        assert_eq!(Volume::new(grid, vec![1.0; 2]).unwrap().color(), None);
    }
}
