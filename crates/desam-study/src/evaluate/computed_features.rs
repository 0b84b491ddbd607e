//! Features that are not the cache's: of matched intensities, or the pixels of a network with adapters.

use crate::{Error, Result};
use candle_core::Device;
use desam::Model;
use desam_core::{ImageEncoder, ImageFeatures};
use desam_data::cache::{FeatureCache, SliceRef};
use desam_data::preprocess::{IntensityHistogram, MatchingTable};

/// The image encoder at work on the cache's images: features of matched images are not stored, nor those
/// of an encoder with trained adapters.
#[derive(Clone, Copy)]
pub(crate) struct ComputedFeatures<'a> {
    encoder: &'a dyn ImageEncoder,
    device: &'a Device,
    /// What intensities are matched to.
    source: Option<&'a IntensityHistogram>,
}

impl<'a> ComputedFeatures<'a> {
    /// By the model's own encoder, whose weights are those that the cache was made with; `None` where the
    /// cache's features are those that the model takes.
    pub(crate) fn needed(model: &'a Model, match_source: bool) -> Result<Option<Self>> {
        if !match_source && model.record().adapter.is_none() {
            return Ok(None);
        }
        let source = match_source.then(|| model.record().source_histogram());
        let (encoder, device) = (model.encoder().as_ref(), model.device());
        Ok(Some(Self { encoder, device, source: source.transpose().map_err(Error::Desam)? }))
    }

    /// The table of a case, from the histogram of all its processed slices; `None` where intensities are
    /// not matched.
    pub(crate) fn table(&self, cache: &FeatureCache, case: usize) -> Result<Option<MatchingTable>> {
        let Some(source) = self.source else { return Ok(None) };
        let slices = cache.processed_slices(case)?;
        let own = IntensityHistogram::of(slices.iter().map(|slice| cache.image(slice)))?;
        Ok(Some(MatchingTable::new(&own, source)))
    }

    /// Features of a slice, matched by the table of its case if there is one.
    pub(crate) fn encode(
        &self,
        cache: &FeatureCache,
        slice: &SliceRef,
        table: Option<&MatchingTable>,
    ) -> Result<ImageFeatures> {
        let mut image = cache.image(slice)?;
        if let Some(table) = table {
            table.apply(&mut image);
        }
        let pixels = image.pixels(self.encoder.spec().input_side, self.device)?;
        Ok(self.encoder.encode(&pixels)?)
    }
}
