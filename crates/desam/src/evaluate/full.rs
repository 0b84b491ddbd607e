//! One case under the full protocol: masks back on the volume's own grid, against its label file.

use crate::{Error, Result};
use desam_core::BinaryMask;
use desam_data::cache::{CacheCase, FeatureCache};
use desam_data::volumes::{self, read_labels, read_volume};
use desam_metrics::metric::Confusion;
use std::path::Path;

/// Counts of a whole volume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VolumeCounts {
    pub(super) counts: Confusion,
    /// Volume of a voxel, in ml.
    pub(super) voxel_ml: f64,
}

/// Compares the masks of all processed slices of case `index` with its label file.
pub(super) fn count(
    cache: &FeatureCache,
    index: usize,
    case: &CacheCase,
    masks: &[BinaryMask],
) -> Result<VolumeCounts> {
    let recipe = &cache.header().recipe;
    let (image, label) = (cache.image_path(index)?, cache.label_path(index)?);
    unchanged(&image, Some(case.image_blake3.as_str()))?;
    unchanged(&label, case.label_blake3.as_deref())?;
    let prepared = recipe.preprocess.prepare(&read_volume(&image)?, &recipe.spec)?;
    let predicted = prepared.restore(masks)?;
    let truth = read_labels(&label)?;
    let (expected, found) = (*predicted.grid(), *truth.grid());
    // The tolerance of preprocessing: closer than that, every label falls on its own voxel.
    let smallest = expected.spacing().into_iter().fold(f64::INFINITY, f64::min);
    if !expected.matches(&found, 0.5 * smallest) {
        let (expected, found) = (Box::new(expected), Box::new(found));
        return Err(desam_data::Error::GridMismatch { expected, found }.into());
    }
    Ok(VolumeCounts {
        counts: Confusion::count(predicted.data(), truth.data())?,
        voxel_ml: found.voxel_mm3() / 1000.0,
    })
}

/// Refuses a file that is not the one the features were made from.
fn unchanged(path: &Path, blake3: Option<&str>) -> Result<()> {
    if blake3 == Some(volumes::hash(path)?.as_str()) {
        return Ok(());
    }
    Err(Error::file(path, "it has changed since its features were computed; run embed again"))
}
