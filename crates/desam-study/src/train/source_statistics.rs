//! Statistics of the training cases for the model's record.

use crate::Result;
use desam::model::SourceStatistics;
use desam_data::cache::FeatureCache;
use desam_data::preprocess::IntensityHistogram;

/// Statistics of cases, given as indices into the cache.
pub(super) fn source_statistics(cache: &FeatureCache, cases: &[usize]) -> Result<SourceStatistics> {
    Ok(SourceStatistics::default().with_histogram(histogram(cache, cases)?))
}

/// The levels of all processed slices of the cases; `None` where one of them is in colour.
fn histogram(cache: &FeatureCache, cases: &[usize]) -> Result<Option<IntensityHistogram>> {
    let mut histogram = IntensityHistogram::default();
    for &case in cases {
        for slice in cache.processed_slices(case)? {
            match histogram.add(&cache.image(&slice)?) {
                Err(desam_data::Error::ColorHistogram) => return Ok(None),
                added => added?,
            }
        }
    }
    Ok(Some(histogram))
}
