//! Statistics of the training cases for the model's record.

use crate::{Error, Result};
use desam::model::{SourceStatistics, VolumeMeasurements};
use desam_core::{ClassTable, Progress};
use desam_data::cache::FeatureCache;
use desam_data::preprocess::IntensityHistogram;
use desam_volume::volumes::{ReadOptions, VolumeFormat, hash_with, load_labels};

/// Statistics of cases, given as indices into the cache; the structure is all `classes` together. Label files that have moved since they were
/// embedded leave only their part out.
pub(super) fn source_statistics(
    cache: &FeatureCache,
    cases: &[usize],
    classes: &ClassTable,
    progress: &dyn Progress,
) -> Result<SourceStatistics> {
    let statistics = SourceStatistics::default().with_histogram(histogram(cache, cases)?);
    let measured: Result<Option<Vec<VolumeMeasurements>>> =
        cases.iter().map(|case| measurements(cache, *case, classes)).collect();
    Ok(match measured {
        Ok(Some(measured)) => statistics.with_ranges(&measured),
        Ok(None) => statistics,
        Err(error) => {
            progress.detail(&format!(
                "the model will not know the range of the training cases' volumes: {error}"
            ));
            statistics
        }
    })
}

/// The levels of all processed slices of the cases; `None` where one of them is in colour.
fn histogram(cache: &FeatureCache, cases: &[usize]) -> Result<Option<IntensityHistogram>> {
    let slices = cases.iter().map(|&case| cache.processed_slices(case));
    let slices = slices.collect::<Result<Vec<_>, _>>()?.concat();
    match IntensityHistogram::of(slices.iter().map(|slice| cache.image(slice))) {
        Err(desam_data::Error::ColorHistogram) => Ok(None),
        histogram => Ok(Some(histogram?)),
    }
}

/// Structure and spacing of a case by its label file; `None` of a two-dimensional image, which has no
/// millimetres.
fn measurements(
    cache: &FeatureCache,
    index: usize,
    classes: &ClassTable,
) -> Result<Option<VolumeMeasurements>> {
    let (path, image) = (cache.label_path(index)?, cache.image_path(index)?);
    if VolumeFormat::of_name(&image).is_some_and(VolumeFormat::is_two_dimensional) {
        return Ok(None);
    }
    let recipe = &cache.header().recipe;
    let options = recipe.read_options(&ReadOptions::default());
    let embedded = cache.cases().get(index).and_then(|case| case.label_blake3.as_deref());
    if embedded != Some(hash_with(&path, &options)?.as_str()) {
        return Err(Error::file(&path, "it has changed since it was embedded"));
    }
    let labels = load_labels(&path, &options)?.value;
    let voxels = labels.data().iter().filter(|label| classes.class_of(**label) > 0).count();
    Ok(Some(VolumeMeasurements {
        structure_ml: voxels as f64 * labels.grid().voxel_mm3() / 1000.0,
        spacing_mm: recipe.preprocess.slice_spacing(labels.grid()),
    }))
}
