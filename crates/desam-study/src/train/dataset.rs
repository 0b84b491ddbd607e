//! Train/validation split of the source site, and the data sets of its two sides.

use super::trainer::SliceDataset;
use super::{Augment, TrainConfig};
use crate::{Error, Result};
use candle_core::Device;
use desam::model::image_encoder;
use desam_core::{ImageEncoder, Progress};
use desam_data::cache::{CachedSlices, FeatureCache, OnTheFlySlices, PreloadedSlices, SlicePolicy};
use desam_data::split::split_cases;
use std::path::Path;
use std::sync::Arc;

/// One side of a split: cases, and their labelled slices.
pub(super) struct SplitSide {
    pub(super) cases: Vec<String>,
    pub(super) slices: Box<SliceDataset<'static>>,
}

/// Train/validation split of the source site's cases.
pub(super) struct TrainValSplit {
    pub(super) train: SplitSide,
    pub(super) validation: SplitSide,
}

impl TrainValSplit {
    /// The split that `config` describes. The image encoder is loaded from the file `weights` only
    /// where it runs during training.
    pub(super) fn new(
        cache: &Arc<FeatureCache>,
        config: &TrainConfig,
        weights: &Path,
        device: &Device,
    ) -> Result<Self> {
        if !config.live && cache.header().recipe.slices == SlicePolicy::None {
            return Err(Error::FeaturesMissing { cache: cache.dir().to_owned() });
        }
        let site = site_cases(cache, &config.source)?;
        let split = split_cases(site.len(), config.validation_fraction, config.split)?;
        let encoder = config.live.then(|| image_encoder(weights, device)).transpose()?;
        let side = |picked: &[usize], augment: Augment| -> Result<SplitSide> {
            let picked: Vec<usize> = picked.iter().map(|&i| site[i]).collect();
            let cases = picked.iter().map(|&c| cache.cases()[c].id.clone()).collect();
            let slices = dataset(cache, &picked, encoder.as_ref(), augment, device)?;
            Ok(SplitSide { cases, slices })
        };
        Ok(Self {
            train: side(&split.train, config.augment)?,
            validation: side(&split.validation, Augment::None)?,
        })
    }

    /// Bytes of the stored features of both sides.
    pub(super) fn feature_bytes(&self, cache: &FeatureCache) -> u64 {
        cache.header().recipe.estimate(self.train.slices.len() + self.validation.slices.len())
    }

    /// Reads all features onto `device`, in the type they are stored in.
    pub(super) fn preloaded(self, device: &Device, progress: &dyn Progress) -> Result<Self> {
        let count = self.train.slices.len() + self.validation.slices.len();
        progress.begin("reading features", count as u64);
        let preload = |side: SplitSide| {
            let slices = PreloadedSlices::new(&*side.slices, device, progress)?;
            Ok::<_, Error>(SplitSide { slices: Box::new(slices), ..side })
        };
        let split = Self { train: preload(self.train)?, validation: preload(self.validation)? };
        progress.finish("all features are on the device");
        Ok(split)
    }
}

/// The labelled slices of some cases: encoded on the fly with an `encoder`, else read from the cache.
fn dataset(
    cache: &Arc<FeatureCache>,
    cases: &[usize],
    encoder: Option<&Arc<dyn ImageEncoder>>,
    augment: Augment,
    device: &Device,
) -> Result<Box<SliceDataset<'static>>> {
    let cache = Arc::clone(cache);
    if let Some(encoder) = encoder {
        let live = OnTheFlySlices::new(cache, cases, Arc::clone(encoder), device)?;
        return Ok(match augment {
            Augment::Images(images) => Box::new(live.augmented(images)?),
            _ => Box::new(live),
        });
    }
    // A GPU gets whole batches in the stored type, transferred by the training thread; for the CPU the
    // values are widened as they are read.
    let cached = CachedSlices::new(cache, cases, &Device::Cpu)?;
    let cached = if device.is_cpu() { cached } else { cached.as_stored() };
    Ok(match augment {
        Augment::Features(features) => Box::new(cached.augmented(features)?),
        _ => Box::new(cached),
    })
}

/// The cases of a site, as indices into the cache.
fn site_cases(cache: &FeatureCache, site: &str) -> Result<Vec<usize>> {
    let cases = cache.site_cases(site);
    if cases.is_empty() {
        return Err(Error::unknown_site(site, &cache.sites()));
    }
    Ok(cases)
}
