//! Reorientation: mapping the stored axes to columns, rows and slices.

use crate::Error;
use desam_core::{Affine, Grid};
use desam_volume::fallible;
use std::ops::Range;

/// Directions closer than this to a tie are one.
const TIE: f64 = 1e-6;

desam_core::named! {
    /// Orientation of the slices that are cut from a volume.
    #[derive(Default)]
    pub enum Orientation: "orientation" {
        /// As stored: columns along `i`, rows along `j`, slices along `k`. What the official program
        /// does, and what a configuration means that does not say.
        #[default]
        Stored = "stored",
        /// Axial by the affine, whatever the order and the directions in which the axes are stored: slices
        /// along the axis nearest to superior, columns along that nearest to the left, rows along that
        /// nearest to posterior (LPS), as axial images are shown and as scanners store them. Axes are
        /// permuted and flipped, nothing is resampled, so that oblique volumes keep their geometry. The
        /// same as [`Orientation::Stored`] for a volume that is stored in LPS.
        Axial = "axial",
    }
}

impl Orientation {
    pub(super) fn is_stored(&self) -> bool {
        *self == Self::Stored
    }

    /// The order for a volume of this affine.
    pub(crate) fn order(self, affine: &Affine) -> AxisOrder {
        match self {
            Self::Stored => AxisOrder { axes: [0, 1, 2], flipped: [false; 3] },
            Self::Axial => axial(affine),
        }
    }
}

/// Prepared axis `a` is stored axis `axes[a]`, flipped where `flipped[a]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AxisOrder {
    axes: [usize; 3],
    flipped: [bool; 3],
}

/// The direction of a voxel axis: how far it goes along R, A and S, 1 in all.
type Direction = [f64; 3];

fn axial(affine: &Affine) -> AxisOrder {
    let spacing = affine.spacing();
    let direction = |axis: usize| -> Direction {
        affine.0.map(|row| if spacing[axis] > 0.0 { row[axis] / spacing[axis] } else { 0.0 })
    };
    let all = [0, 1, 2].map(direction);
    // Where two axes are as near to superior, the one with the thicker slices is cut along, so that
    // the choice does not hang on the order in which they are stored.
    let upright = |a: usize, b: usize| {
        let off = all[a][2].abs() - all[b][2].abs();
        if off.abs() > TIE { off > 0.0 } else { spacing[a] > spacing[b] }
    };
    let slices =
        [1, 2].into_iter().fold(0, |best, axis| if upright(axis, best) { axis } else { best });
    let [p, q] = [(1, 2), (0, 2), (0, 1)].map(|(p, q)| [p, q])[slices];
    let sideways = |a: usize, b: usize| all[a][0].abs() + all[b][1].abs();
    let [columns, rows] = if sideways(p, q) >= sideways(q, p) { [p, q] } else { [q, p] };
    let flipped = [all[columns][0] > 0.0, all[rows][1] > 0.0, all[slices][2] < 0.0];
    AxisOrder { axes: [columns, rows, slices], flipped }
}

impl AxisOrder {
    fn is_stored(&self) -> bool {
        *self == Orientation::Stored.order(&Affine::from_spacing([1.0; 3]))
    }

    /// The reoriented grid: the same voxels at the same positions.
    pub(crate) fn grid(&self, stored: &Grid) -> Grid {
        let mut affine = stored.affine;
        for (to, (&from, flipped)) in self.axes.iter().zip(self.flipped).enumerate() {
            let far = stored.dims[from].saturating_sub(1) as f64;
            for (row, old) in affine.0.iter_mut().zip(stored.affine.0) {
                row[to] = if flipped { -old[from] } else { old[from] };
                row[3] += if flipped { old[from] * far } else { 0.0 };
            }
        }
        Grid { dims: self.axes.map(|a| stored.dims[a]), affine }
    }

    /// Reorients the voxels of a stored grid.
    pub(crate) fn apply<T: Copy>(&self, dims: [usize; 3], stored: &[T]) -> Result<Vec<T>, Error> {
        if self.is_stored() {
            return Ok(fallible::copied(stored)?);
        }
        let values = self.places(dims).filter_map(|at| stored.get(at).copied());
        Ok(fallible::collected(stored.len(), values)?)
    }

    /// Inverse of [`apply`](Self::apply): voxels back in the stored order.
    pub(super) fn undo<T: Copy + Default>(
        &self,
        dims: [usize; 3],
        ordered: Vec<T>,
    ) -> Result<Vec<T>, Error> {
        if self.is_stored() {
            return Ok(ordered);
        }
        let mut out = fallible::filled(T::default(), ordered.len())?;
        for (at, value) in self.places(dims).zip(ordered) {
            if let Some(cell) = out.get_mut(at) {
                *cell = value;
            }
        }
        Ok(out)
    }

    /// The stored axis that becomes that of the slices.
    pub(super) fn slices(&self) -> usize {
        self.axes[2]
    }

    /// The stored axes of columns, rows and slices.
    pub(super) fn stored_axes(&self) -> [usize; 3] {
        self.axes
    }

    /// Whether columns, rows and slices run against their stored axis.
    pub(super) fn flips(&self) -> [bool; 3] {
        self.flipped
    }

    /// Voxel indices of slice `index` in a stored grid of `dims`, row by row; slices are counted as
    /// they are stored.
    pub(super) fn slice(
        &self,
        dims: [usize; 3],
        index: usize,
    ) -> impl Iterator<Item = usize> + use<> {
        let depth = dims[self.axes[2]];
        let k = if self.flipped[2] { depth.saturating_sub(index + 1) } else { index };
        self.places_of(dims, k..k + 1)
    }

    /// Voxel indices of a stored grid of `dims`, in this order.
    fn places(&self, dims: [usize; 3]) -> impl Iterator<Item = usize> + use<> {
        self.places_of(dims, 0..dims[self.axes[2]])
    }

    /// Those of some slices.
    fn places_of(
        &self,
        dims: [usize; 3],
        slices: Range<usize>,
    ) -> impl Iterator<Item = usize> + use<> {
        let strides = [1, dims[0], dims[0] * dims[1]];
        let along = |a: usize| {
            let (axis, flipped) = (self.axes[a], self.flipped[a]);
            let (n, stride) = (dims[axis], strides[axis]);
            move |v: usize| if flipped { (n - 1 - v) * stride } else { v * stride }
        };
        let [width, height, _] = self.axes.map(|a| dims[a]);
        let (column, row, slice) = (along(0), along(1), along(2));
        slices.flat_map(move |k| {
            (0..height).flat_map(move |j| {
                let start = slice(k) + row(j);
                (0..width).map(move |i| start + column(i))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axial_axes_are_found() {
        let order = |rows: [[f64; 3]; 3]| {
            let order = axial(&Affine(rows.map(|[a, b, c]| [a, b, c, 7.0])));
            (order.axes, order.flipped)
        };
        // By hand. Stored as scanners do (LPS), also 40° oblique about the left-right axis.
        let same = ([0, 1, 2], [false; 3]);
        assert_eq!(order([[-0.5, 0.0, 0.0], [0.0, -0.5, 0.0], [0.0, 0.0, 3.0]]), same);
        let (s, c) = 40_f64.to_radians().sin_cos();
        assert_eq!(order([[-1.0, 0.0, 0.0], [0.0, -c, -3.0 * s], [0.0, -s, 3.0 * c]]), same);
        // RAS: rotated by 180° about the slice axis.
        let ras = order([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        assert_eq!(ras, ([0, 1, 2], [true, true, false]));
        // A sagittal series: i to the back, j to the feet, k to the right.
        let sagittal = order([[0.0, 0.0, 3.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]);
        assert_eq!(sagittal, ([2, 0, 1], [true, false, true]));
        // As near to superior one as the other: the thicker slices.
        let h = 0.5_f64.sqrt();
        let tied = order([[-1.0, 0.0, 0.0], [0.0, -h, -3.0 * h], [0.0, -h, 3.0 * h]]);
        assert_eq!(tied, same);
        let tied = order([[-1.0, 0.0, 0.0], [0.0, -3.0 * h, -h], [0.0, 3.0 * h, -h]]);
        assert_eq!(tied.0, [0, 2, 1]);
    }

    #[test]
    fn voxels_stay_where_they_are() {
        let stored = Grid {
            dims: [2, 3, 4],
            affine: Affine([[0.0, 0.1, 3.0, 5.0], [-1.0, 0.0, 0.2, 6.0], [0.3, -2.0, 0.0, 7.0]]),
        };
        let order = Orientation::Axial.order(&stored.affine);
        let grid = order.grid(&stored);
        assert_eq!(grid.dims, [4, 2, 3]);
        let values: Vec<u8> = (0..24).collect();
        let ordered = order.apply(stored.dims, &values).unwrap();
        assert_eq!(order.undo(stored.dims, ordered.clone()).unwrap(), values);
        let place = |g: &Grid, at: usize| {
            let [w, h, _] = g.dims;
            g.affine.apply([at % w, at / w % h, at / (w * h)].map(|v| v as f64))
        };
        for (at, value) in ordered.into_iter().enumerate() {
            let (new, old) = (place(&grid, at), place(&stored, usize::from(value)));
            assert!((0..3).all(|a| (new[a] - old[a]).abs() < 1e-12), "{new:?} {old:?}");
        }
    }
}
