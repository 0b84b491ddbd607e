//! Whether a data set is fit to be trained on, and how large its features will be.

use crate::Result;
use desam_core::Progress;
pub use desam_data::verify::VerifyReport;
use desam_encoder::VitConfig;
use serde::Serialize;
use std::path::Path;

/// Bytes of a feature in f16, the default of [`crate::embed`].
const F16_BYTES: u64 = 2;

/// A data set that has been looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// What was found.
    #[serde(flatten)]
    pub report: VerifyReport,
    /// Size of the feature cache to come, for each of SAM's encoders.
    pub cache: Vec<CacheSize>,
}

/// Size of a feature cache in f16.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheSize {
    /// The encoder.
    pub encoder: &'static str,
    /// Bytes of the features of labelled slices, the default of [`crate::embed`].
    pub labelled_bytes: u64,
    /// Bytes of the features of all slices.
    pub all_bytes: u64,
}

/// Reads every case of a data set (see [`desam_data::verify::verify`]) and adds what its features
/// will take. Slices are counted as they are cut without resampling; the paper's preprocessing
/// makes about as many for its 3.6 mm.
///
/// # Errors
/// When the layout itself is broken. What is wrong with a case is in the report.
pub fn verify(data: &Path, progress: &dyn Progress) -> Result<Verified> {
    let report = desam_data::verify::verify(data, progress)?;
    let encoders: [(_, fn() -> VitConfig); 3] =
        [("vit-b", VitConfig::vit_b), ("vit-l", VitConfig::vit_l), ("vit-h", VitConfig::vit_h)];
    let cache = encoders.map(|(encoder, config)| {
        let slice = config().spec().feature_elements() as u64 * F16_BYTES;
        let bytes = |slices: usize| slices as u64 * slice;
        CacheSize {
            encoder,
            labelled_bytes: bytes(report.labelled_slices()),
            all_bytes: bytes(report.slices()),
        }
    });
    Ok(Verified { cache: cache.into(), report })
}
