//! Metrics in millimetres of two-dimensional images, which have none.

use desam_data::cache::CacheCase;
use desam_volume::volumes::VolumeFormat;

/// A warning where metrics in millimetres are computed of two-dimensional images; `None` where none of
/// the cases is one.
pub(super) fn warning<'a>(cases: impl IntoIterator<Item = &'a CacheCase>) -> Option<String> {
    let is_image = |case: &&CacheCase| {
        VolumeFormat::of_name(&case.image).is_some_and(VolumeFormat::is_two_dimensional)
    };
    let first = cases.into_iter().find(is_image)?;
    Some(format!(
        "{}/{} is a two-dimensional image, which has no millimetres: distances are in its pixels, and \
         1 ml stands for 1000 square pixels",
        first.site, first.id
    ))
}
