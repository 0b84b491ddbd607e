//! Alignment of labels with the grid of their image.

use super::Loaded;
use crate::Result;
use crate::same_grid::expect_same_grid;
use desam_core::{Grid, LabelVolume, Volume};
use std::path::Path;

/// Puts labels on the grid of their image.
///
/// Image and label files of one case often differ in the last digits of their spacing; closer than
/// half a voxel they are on one grid. A NIfTI file without orientation codes is read by the standard,
/// which takes its axes as RAS; ITK takes them as LPS, and writes labels of such an image with codes
/// that say so. Where the two lie on one grid by ITK's reading, the labels are moved onto the image's
/// and a warning says so.
///
/// # Errors
/// [`crate::Error::GridMismatch`] when they lie on two grids by either reading.
pub fn align_labels(
    image: &Loaded<Volume>,
    labels: Loaded<LabelVolume>,
    label_path: &Path,
) -> Result<Loaded<LabelVolume>> {
    let (own, other) = (*image.value.grid(), *labels.value.grid());
    let apart = match expect_same_grid(&own, &other) {
        Ok(()) => return Ok(labels),
        Err(apart) => apart,
    };
    let by_itk = |grid: Grid, affine| Grid { affine, ..grid };
    let image_by_itk = image.itk_affine.map_or(own, |affine| by_itk(own, affine));
    let labels_by_itk = labels.itk_affine.map_or(other, |affine| by_itk(other, affine));
    if expect_same_grid(&image_by_itk, &labels_by_itk).is_err() {
        return Err(apart);
    }
    let silent = if image.itk_affine.is_some() { "image" } else { "label" };
    let mut aligned = labels.map(|labels| (labels.into_data(), own));
    aligned.warnings.push(format!(
        "{}: the header of this case's {silent} states no orientation (no sform, no qform); ITK's \
         reading of it puts image and label on one grid, so the label is taken to lie on the image's",
        label_path.display()
    ));
    let (warnings, details) = (aligned.warnings, aligned.details);
    let (data, grid) = aligned.value;
    let mut moved = Loaded::new(LabelVolume::new(grid, data)?);
    (moved.warnings, moved.details) = (warnings, details);
    Ok(moved)
}
