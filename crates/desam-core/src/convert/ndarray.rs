//! Conversions from and to `ndarray`.
//!
//! Arrays have the axes `[k, j, i]` (slice, row, column), as NumPy arrays of SimpleITK have: then an
//! array in standard layout and a volume have the same order in memory, and a view copies nothing.

use crate::{Affine, BinaryMask, Error, Grid, LabelVolume, Result, Volume};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, aview1, aview2};

/// Dimensions `[i, j, k]` of an array with the axes `[k, j, i]`.
fn dims(shape: (usize, usize, usize)) -> [usize; 3] {
    let (slices, rows, columns) = shape;
    [columns, rows, slices]
}

impl Volume {
    /// A volume from an array with the axes `[k, j, i]`, of any memory layout, and the affine from
    /// voxel indices `(i, j, k)` to mm.
    ///
    /// ```
    /// use desam_core::{Affine, Volume};
    /// use ndarray::{Array3, ArrayView3};
    ///
    /// // 24 slices of 32 rows and 40 columns.
    /// let array = Array3::<f32>::zeros((24, 32, 40));
    /// let volume = Volume::from_array(array.view(), Affine::from_spacing([0.6, 0.6, 3.0]))?;
    /// assert_eq!(volume.grid().dims, [40, 32, 24]);
    /// let view = ArrayView3::from(&volume);
    /// assert_eq!(view, array);
    /// # Ok::<_, desam_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// None at present: an array has as many elements as its shape says.
    pub fn from_array(array: ArrayView3<'_, f32>, affine: Affine) -> Result<Self> {
        Self::from_parts(dims(array.dim()), affine, array.iter().copied().collect())
    }
}

/// Axes `[k, j, i]`; the voxels are cubes of 1 mm. [`Volume::from_array`] takes an affine.
impl TryFrom<ArrayView3<'_, f32>> for Volume {
    type Error = Error;

    fn try_from(array: ArrayView3<'_, f32>) -> Result<Self> {
        Self::from_array(array, Affine::from_spacing([1.0; 3]))
    }
}

/// A view with the axes `[k, j, i]`; nothing is copied.
impl<'a> From<&'a Volume> for ArrayView3<'a, f32> {
    fn from(volume: &'a Volume) -> Self {
        view(volume.grid(), volume.data())
    }
}

/// A view with the axes `[k, j, i]`; nothing is copied.
impl<'a> From<&'a LabelVolume> for ArrayView3<'a, u8> {
    fn from(labels: &'a LabelVolume) -> Self {
        view(labels.grid(), labels.data())
    }
}

/// An array with the axes `[k, j, i]`.
impl From<&LabelVolume> for Array3<u8> {
    fn from(labels: &LabelVolume) -> Self {
        ArrayView3::from(labels).to_owned()
    }
}

impl LabelVolume {
    /// Labels from an array with the axes `[k, j, i]`, of any memory layout, on `grid`.
    ///
    /// # Errors
    /// When the array's shape is not the grid's.
    pub fn from_array(array: ArrayView3<'_, u8>, grid: Grid) -> Result<Self> {
        let found = dims(array.dim());
        if found != grid.dims {
            return Err(Error::shape("array of labels, as [i, j, k]", grid.dims, found));
        }
        Self::new(grid, array.iter().copied().collect())
    }
}

/// A view with the axes `[row, column]`; nothing is copied.
impl<'a> From<&'a BinaryMask> for ArrayView2<'a, u8> {
    fn from(mask: &'a BinaryMask) -> Self {
        let view = ArrayView2::from_shape((mask.height(), mask.width()), mask.data());
        // Never fails: a mask has height × width values.
        view.unwrap_or_else(|_| aview2::<u8, 0>(&[]))
    }
}

/// An array with the axes `[row, column]`.
impl From<&BinaryMask> for Array2<u8> {
    fn from(mask: &BinaryMask) -> Self {
        ArrayView2::from(mask).to_owned()
    }
}

/// Axes `[row, column]`; every value above 0 is foreground.
impl TryFrom<ArrayView2<'_, u8>> for BinaryMask {
    type Error = Error;

    fn try_from(array: ArrayView2<'_, u8>) -> Result<Self> {
        let (height, width) = array.dim();
        Self::new(height, width, array.iter().copied().collect())
    }
}

fn view<'a, T>(grid: &Grid, data: &'a [T]) -> ArrayView3<'a, T> {
    let [columns, rows, slices] = grid.dims;
    let view = ArrayView3::from_shape((slices, rows, columns), data);
    // Never fails: a volume has as many values as its grid.
    view.unwrap_or_else(|_| aview1(&[]).insert_axis(Axis(0)).insert_axis(Axis(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `100 k + 10 j + i`, 2 slices of 3 rows and 4 columns.
    fn array() -> Array3<f32> {
        Array3::from_shape_fn((2, 3, 4), |(k, j, i)| (100 * k + 10 * j + i) as f32)
    }

    #[test]
    fn columns_are_fastest_whatever_the_layout() {
        let volume = Volume::try_from(array().view()).unwrap();
        assert_eq!(volume.grid().dims, [4, 3, 2]);
        assert_eq!(volume.data()[..6], [0.0, 1.0, 2.0, 3.0, 10.0, 11.0]);
        assert_eq!(volume.slice(1).unwrap()[..2], [100.0, 101.0]);
        // Fortran order in memory, the same array.
        let fortran = array().reversed_axes().as_standard_layout().reversed_axes().to_owned();
        assert!(!fortran.is_standard_layout());
        assert_eq!(Volume::try_from(fortran.view()).unwrap(), volume);
    }

    #[test]
    fn views_share_memory_and_arrays_round_trip() {
        let volume = Volume::try_from(array().view()).unwrap();
        let view = ArrayView3::from(&volume);
        assert_eq!(view, array());
        assert_eq!(view.as_ptr(), volume.data().as_ptr());

        let labels = array().mapv(|v| v as u8);
        let found = LabelVolume::from_array(labels.view(), *volume.grid()).unwrap();
        assert_eq!(Array3::from(&found), labels);
        let other = Grid { dims: [3, 4, 2], ..*volume.grid() };
        assert!(LabelVolume::from_array(labels.view(), other).is_err());

        let mask = BinaryMask::new(2, 3, vec![0, 1, 0, 1, 1, 0]).unwrap();
        let array = Array2::from(&mask);
        assert_eq!(array[[1, 0]], 1);
        assert_eq!(BinaryMask::try_from(array.view()).unwrap(), mask);
        assert_eq!(ArrayView2::from(&BinaryMask::empty(0, 4)).dim(), (0, 4));
    }
}
