//! Conversions between volumes and masks and the types of other crates.

#[cfg(feature = "image")]
mod image;
#[cfg(feature = "ndarray")]
mod ndarray;

use crate::{Affine, Grid, Result, Volume};

impl Volume {
    /// A volume from voxels in memory: `dims` voxels along `i`, `j`, `k`, stored with `i` fastest, and
    /// the affine from voxel indices to mm (RAS+).
    ///
    /// ```
    /// use desam_core::{Affine, Volume};
    ///
    /// let voxels = vec![0.0; 4 * 3 * 2];
    /// let volume = Volume::from_parts([4, 3, 2], Affine::from_spacing([0.6, 0.6, 3.0]), voxels)?;
    /// assert_eq!(volume.slice(1).map(<[f32]>::len), Some(12));
    /// # Ok::<_, desam_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are not `dims[0] · dims[1] · dims[2]` voxels.
    pub fn from_parts(dims: [usize; 3], affine: Affine, voxels: Vec<f32>) -> Result<Self> {
        Self::new(Grid { dims, affine }, voxels)
    }
}
