//! Features of slices whose intensities are matched to the training volumes'.

use crate::{Error, Result};
use candle_core::Device;
use desam::Model;
use desam_core::{ImageEncoder, ImageFeatures};
use desam_data::cache::{FeatureCache, SliceRef};
use desam_data::preprocess::{IntensityHistogram, MatchingTable};

/// The image encoder at work on the cache's images, since features of matched images are not stored.
#[derive(Clone, Copy)]
pub(super) struct MatchedFeatures<'a> {
    encoder: &'a dyn ImageEncoder,
    device: &'a Device,
    source: &'a IntensityHistogram,
}

impl<'a> MatchedFeatures<'a> {
    /// By the model's own encoder, whose weights are those that the cache was made with.
    pub(super) fn new(model: &'a Model) -> Result<Self> {
        let encoder = model.encoder().as_ref();
        let source = model.record().source_histogram().map_err(Error::Desam)?;
        Ok(Self { encoder, device: model.device(), source })
    }

    /// The table of a case, from the histogram of all its processed slices.
    pub(super) fn table(&self, cache: &FeatureCache, case: usize) -> Result<MatchingTable> {
        let slices = cache.processed_slices(case)?;
        let own = IntensityHistogram::of(slices.iter().map(|slice| cache.image(slice)))?;
        Ok(MatchingTable::new(&own, self.source))
    }

    /// Features of a slice, matched by the table of its case.
    pub(super) fn encode(
        &self,
        cache: &FeatureCache,
        slice: &SliceRef,
        table: &MatchingTable,
    ) -> Result<ImageFeatures> {
        let mut image = cache.image(slice)?;
        table.apply(&mut image);
        let pixels = image.pixels(self.encoder.spec().input_side, self.device)?;
        Ok(self.encoder.encode(&pixels)?)
    }
}
