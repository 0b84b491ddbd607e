//! The slices that are trained on, and those that are held out.

use super::trainer::Slices;
use super::{Augment, TrainConfig};
use crate::model::image_encoder;
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{ImageEncoder, Progress};
use desam_data::cache::{CachedSlices, FeatureCache, OnTheFlySlices, PreloadedSlices, SlicePolicy};
use desam_data::split::split_cases;
use std::path::Path;
use std::sync::Arc;

/// Cases of a site, and their labelled slices.
pub(super) struct Side {
    pub(super) cases: Vec<String>,
    pub(super) slices: Box<Slices<'static>>,
}

/// The source site's two sides.
pub(super) struct Sides {
    pub(super) train: Side,
    pub(super) validation: Side,
}

impl Sides {
    /// As `config` says; `weights` is the file that holds the image encoder, which is built only where
    /// it is to run.
    pub(super) fn new(
        cache: &Arc<FeatureCache>,
        config: &TrainConfig,
        (weights, device): (&Path, &Device),
    ) -> Result<Self> {
        if !config.live && cache.header().recipe.slices == SlicePolicy::None {
            let reason = "holds images and masks alone: train with --no-cache, or make features \
                          with `desam embed --slices labelled` in another folder";
            return Err(Error::file(cache.dir(), reason));
        }
        let site = site_cases(cache, &config.source)?;
        let split = split_cases(site.len(), config.validation_fraction, config.split)?;
        let encoder = config.live.then(|| image_encoder(weights, device)).transpose()?;
        let side = |picked: &[usize], augment: Augment| -> Result<Side> {
            let picked: Vec<usize> = picked.iter().map(|&i| site[i]).collect();
            let cases = picked.iter().map(|&c| cache.cases()[c].id.clone()).collect();
            let slices = slices(cache, &picked, (encoder.as_ref(), augment), device)?;
            Ok(Side { cases, slices })
        };
        Ok(Self {
            train: side(&split.train, config.augment)?,
            validation: side(&split.validation, Augment::None)?,
        })
    }
}

impl Sides {
    /// Bytes of the features of both sides as they are stored.
    pub(super) fn feature_bytes(&self, cache: &FeatureCache) -> u64 {
        cache.header().recipe.estimate(self.train.slices.len() + self.validation.slices.len())
    }

    /// The same with all features on `device`, read now, in the type that they are stored in.
    pub(super) fn kept(self, device: &Device, progress: &dyn Progress) -> Result<Self> {
        let count = self.train.slices.len() + self.validation.slices.len();
        progress.begin("reading features", count as u64);
        let keep = |side: Side| {
            let slices = PreloadedSlices::new(&*side.slices, device, progress)?;
            Ok::<_, Error>(Side { slices: Box::new(slices), ..side })
        };
        let sides = Self { train: keep(self.train)?, validation: keep(self.validation)? };
        progress.finish("all features are on the device");
        Ok(sides)
    }
}

fn slices(
    cache: &Arc<FeatureCache>,
    cases: &[usize],
    (encoder, augment): (Option<&Arc<dyn ImageEncoder>>, Augment),
    device: &Device,
) -> Result<Box<Slices<'static>>> {
    let cache = Arc::clone(cache);
    Ok(match encoder {
        Some(encoder) => {
            let live = OnTheFlySlices::new(cache, cases, Arc::clone(encoder), device)?;
            match augment {
                Augment::Images(images) => Box::new(live.augmented(images)?),
                _ => Box::new(live),
            }
        }
        None => {
            // A batch goes to the device as one, by whoever computes on it; for the CPU itself
            // numbers are widened while they are read.
            let cached = CachedSlices::new(cache, cases, &Device::Cpu)?;
            let cached = if device.is_cpu() { cached } else { cached.as_stored() };
            match augment {
                Augment::Features(features) => Box::new(cached.augmented(features)?),
                _ => Box::new(cached),
            }
        }
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
