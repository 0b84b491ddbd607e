//! Data set verification: is it fit for training, and how large will its features be?

use crate::Result;
use desam_core::Progress;
use desam_data::preprocess::PreprocessConfig;
use desam_data::verify::VerifyOptions;
pub use desam_data::verify::VerifyReport;
use desam_encoder::VitConfig;
use desam_volume::volumes::ReadOptions;
use serde::Serialize;
use std::path::Path;

/// Border of the official program, in pixels of a mask of side [`PAPER_SIDE`].
const PAPER_BORDER: usize = 50;
/// Side of the official program's masks.
const PAPER_SIDE: usize = 256;

/// Border that the paper protocol zeroes in predicted masks of side `mask_side`, in their pixels:
/// the official program's 50 of 256, in proportion for another side.
pub fn paper_border(mask_side: usize) -> usize {
    (PAPER_BORDER.saturating_mul(mask_side).saturating_add(PAPER_SIDE / 2)) / PAPER_SIDE
}

/// Bytes of a feature in f16, the default of [`embed`](crate::embed::embed).
const F16_BYTES: u64 = 2;

/// Request of [`verify`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VerifyRequest<'a> {
    /// The data set: a folder, or a table of cases.
    pub data: &'a Path,
    /// Preprocessing: how volumes will become slices.
    pub preprocess: PreprocessConfig,
    /// Side of the masks, in pixels.
    pub mask_side: usize,
    /// Options for reading volumes.
    pub read: ReadOptions,
}

impl<'a> VerifyRequest<'a> {
    /// Side of the masks over SAM's encoders.
    pub const SAM_MASK_SIDE: usize = 256;

    /// The default preprocessing of [`embed`](crate::embed::embed), for one of SAM's encoders.
    pub fn new(data: &'a Path) -> Self {
        let (preprocess, read) = (PreprocessConfig::paper(), ReadOptions::default());
        Self { data, preprocess, mask_side: Self::SAM_MASK_SIDE, read }
    }

    /// Sets [`preprocess`](Self::preprocess).
    #[must_use]
    pub fn with_preprocess(self, preprocess: PreprocessConfig) -> Self {
        Self { preprocess, ..self }
    }

    /// Sets [`mask_side`](Self::mask_side).
    #[must_use]
    pub fn with_mask_side(self, mask_side: usize) -> Self {
        Self { mask_side, ..self }
    }

    /// Sets [`read`](Self::read).
    #[must_use]
    pub fn with_read(self, read: ReadOptions) -> Self {
        Self { read, ..self }
    }
}

/// A verified data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VerifyOutcome {
    /// The report on the data set.
    #[serde(flatten)]
    pub report: VerifyReport,
    /// Size of the feature cache, for each of SAM's encoders.
    pub cache: Vec<CacheSize>,
}

/// Size of a feature cache in f16.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheSize {
    /// The encoder.
    pub encoder: &'static str,
    /// Bytes of the features of labelled slices, the default of [`embed`](crate::embed::embed).
    pub labelled_bytes: u64,
    /// Bytes of the features of all slices.
    pub all_bytes: u64,
}

/// Reads every case of a data set (see [`desam_data::verify::verify_with`]) and adds what its features
/// will take, what its labels lose on the way to masks, and what the border of the paper's protocol
/// would cut off them. Slices are counted as they are cut without resampling; the paper's
/// preprocessing makes about as many for its 3.6 mm.
///
/// # Errors
/// When no case is found. Problems of a case or of the layout are in the report.
pub fn verify(request: &VerifyRequest<'_>, progress: &dyn Progress) -> Result<VerifyOutcome> {
    let mask_side = request.mask_side;
    let (preprocess, border_px) = (request.preprocess.clone(), paper_border(mask_side));
    let read = request.read.clone();
    let options = VerifyOptions { preprocess, mask_side, border_px, read };
    let report = desam_data::verify::verify_with(request.data, &options, progress)?;
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
    Ok(VerifyOutcome { cache: cache.into(), report })
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_core::{Affine, Grid, LabelVolume, Quiet, Volume};
    use desam_volume::{nifti, volumes};

    #[test]
    fn the_size_of_the_cache_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("A");
        std::fs::create_dir(&site).unwrap();
        let grid = Grid { dims: [4, 4, 5], affine: Affine::from_spacing([1.0, 1.0, 3.0]) };
        let image = Volume::new(grid, (0..80_u8).map(f32::from).collect()).unwrap();
        // Foreground on three of five slices.
        let label = LabelVolume::new(grid, (0..80).map(|v| u8::from(v >= 32)).collect()).unwrap();
        nifti::write_volume(&site.join("a.nii"), &image).unwrap();
        volumes::write_labels(&site.join("a_segmentation.nii"), &label).unwrap();
        let verified = verify(&VerifyRequest::new(dir.path()), &Quiet).unwrap();
        assert!(verified.report.is_fit(), "{verified:#?}");
        // A slice takes 20, 26 and 32 MiB in f16: three taps of 64 × 64 × (768, 1024, 1280) and the
        // embedding's 64 × 64 × 256 numbers of two bytes.
        let sizes = verified.cache.iter().map(|c| (c.encoder, c.labelled_bytes, c.all_bytes));
        let mib = |slices: u64, each: u64| (slices * each) << 20;
        let expected = [("vit-b", 20), ("vit-l", 26), ("vit-h", 32)];
        let expected = expected.map(|(name, each)| (name, mib(3, each), mib(5, each)));
        assert_eq!(sizes.collect::<Vec<_>>(), expected);
    }
}
