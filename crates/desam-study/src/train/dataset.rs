//! Train/validation split of the source sites, and the data sets of its two sides.

use super::class_labels::{check_classes, unvalidated_classes};
use super::epoch_order::EpochOrder;
use super::trainer::SliceDataset;
use super::{Augment, TrainConfig, TrainSlices};
use crate::{Error, Result};
use candle_core::Device;
use desam::adapted::PixelEncoder;
use desam::model::image_encoder;
use desam_core::{ClassTable, ImageEncoder, Progress};
use desam_data::cache::{
    CachedSlices, FeatureCache, OnTheFlySlices, PreloadedSlices, SlicePolicy, SliceRef,
};
use desam_data::split::split_cases;
use std::path::Path;
use std::sync::Arc;

/// One side of a split: cases, and their slices.
pub(super) struct SplitSide {
    /// Names of the cases ([`SourceSites::case_name`](desam::model::SourceSites::case_name)).
    pub(super) cases: Vec<String>,
    pub(super) slices: Box<SliceDataset<'static>>,
}

/// Train/validation split of the source sites' cases.
pub(super) struct TrainValSplit {
    pub(super) train: SplitSide,
    /// Its cases, as indices into the cache.
    pub(super) train_cases: Vec<usize>,
    /// A warning about classes that no held-out case holds.
    pub(super) unvalidated: Option<String>,
    /// The style views of both sides, where training draws views.
    pub(super) views: Option<String>,
    /// The training slices of each epoch.
    pub(super) order: EpochOrder,
    pub(super) validation: SplitSide,
    /// Slices of the held-out cases that the finished model is calibrated on: all of them where a presence
    /// threshold is chosen. `None` once taken.
    pub(super) calibration: Option<Box<SliceDataset<'static>>>,
}

impl TrainValSplit {
    /// The split that `config` describes, made within each source site. The image encoder is loaded
    /// from the file `weights` only where it runs during training.
    pub(super) fn new(
        cache: &Arc<FeatureCache>,
        config: &TrainConfig,
        weights: &Path,
        device: &Device,
    ) -> Result<Self> {
        check_stored_slices(cache, config)?;
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for name in config.source.names() {
            let site = site_cases(cache, name)?;
            // Beside other sites, one with a single case is worth training on; they give held-out cases.
            if site.len() == 1 && config.source.single().is_none() {
                train.push(site);
                continue;
            }
            let split = split_cases(site.len(), config.validation_fraction, config.split)?;
            let pick = |picked: &[usize]| picked.iter().map(|&i| site[i]).collect::<Vec<usize>>();
            train.push(pick(&split.train));
            validation.push(pick(&split.validation));
        }
        check_classes(cache, &train.concat(), &config.classes)?;
        let unvalidated = unvalidated_classes(cache, &validation.concat(), &config.classes)?;
        let views = config.augment == Augment::Views;
        if views {
            check_views(cache, &train.concat(), config)?;
        }
        if validation.is_empty() {
            let (cases, fraction) = (train.len(), config.validation_fraction);
            return Err(desam_data::Error::Split { cases, fraction }.into());
        }
        let encoder: Option<Arc<dyn ImageEncoder>> = match (&config.adapter, config.live) {
            // The network takes pixels, and its encoder runs in every step.
            (Some(_), _) => Some(Arc::new(PixelEncoder::new(cache.header().recipe.spec.clone()))),
            (None, true) => Some(image_encoder(weights, device)?),
            (None, false) => None,
        };
        let side = |sites: &[Vec<usize>], slices: &[Vec<SliceRef>], usage: Usage| {
            let name = |&case: &usize| {
                let case = &cache.cases()[case];
                config.source.case_name(&case.site, &case.id)
            };
            let cases = sites.iter().flatten().map(name).collect();
            let slices = dataset(cache, slices.concat(), encoder.as_ref(), usage, config, device)?;
            Ok::<_, Error>(SplitSide { cases, slices })
        };
        let train_slices = side_slices(cache, &train, config.slices, &config.classes)?;
        // In grid points mode a random point of an empty slice says nothing about the mask that the
        // grid finds there: the best epoch is judged by slices with ground truth.
        let validated =
            if config.predicts_presence() { TrainSlices::All } else { TrainSlices::Labelled };
        let validation_slices = side_slices(cache, &validation, validated, &config.classes)?;
        let calibrated =
            if config.calibrates_presence() { TrainSlices::All } else { TrainSlices::Labelled };
        let calibration_slices = side_slices(cache, &validation, calibrated, &config.classes)?;
        let usage = Usage::Calibration { views };
        let calibration =
            dataset(cache, calibration_slices.concat(), encoder.as_ref(), usage, config, device)?;
        Ok(Self {
            order: EpochOrder::new(&train_slices, config.empty_share),
            train: side(&train, &train_slices, Usage::Training(config.augment.clone()))?,
            validation: side(&validation, &validation_slices, Usage::Validation { views })?,
            train_cases: train.concat(),
            unvalidated,
            views: views.then(|| cache.describe_views(&[train, validation].concat().concat())),
            calibration: Some(calibration),
        })
    }

    /// What becomes of the labels of the training cases, where several become one or some are left out.
    pub(super) fn merged_labels(
        &self,
        cache: &FeatureCache,
        classes: &ClassTable,
    ) -> Result<Option<String>> {
        let found = cache.label_values(&self.train_cases)?.unwrap_or_default();
        let words = |labels: &[u8]| {
            let words: Vec<String> = labels.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        if classes.is_foreground() {
            let note = || format!("labels {} are trained as one foreground", words(&found));
            return Ok((found.len() > 1).then(note));
        }
        let unused: Vec<u8> =
            found.iter().copied().filter(|label| classes.class_of(*label) == 0).collect();
        let note = || format!("classes {classes}; labels {} are background", words(&unused));
        Ok(Some(if unused.is_empty() { format!("classes {classes}") } else { note() }))
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
        let (train, validation) = (preload(self.train)?, preload(self.validation)?);
        let split = Self { train, validation, ..self };
        progress.finish("all features are on the device");
        Ok(split)
    }
}

/// Use of a data set, which decides the changes of its slices.
enum Usage {
    /// Training: random changes.
    Training(Augment),
    /// Validation in every epoch: the slices as they are; or alternating between their style views
    /// where training draws views, so that the best epoch is the best for other styles, too.
    Validation { views: bool },
    /// Calibration after training: the slices as they are, or also in every style view.
    Calibration { views: bool },
}

/// The slices of each site's cases that are trained or validated on.
fn side_slices(
    cache: &FeatureCache,
    sites: &[Vec<usize>],
    which: TrainSlices,
    classes: &ClassTable,
) -> Result<Vec<Vec<SliceRef>>> {
    let of_case = |&case: &usize| -> Result<Vec<SliceRef>> {
        let mut slices = cache.class_slices(case, classes)?;
        // Without ground truth a slice is not empty, it is unknown.
        let known = cache.cases().get(case).is_some_and(|c| c.label.is_some());
        slices.retain(|slice| known && (which == TrainSlices::All || slice.labelled));
        Ok(slices)
    };
    let of_site =
        |cases: &Vec<usize>| Ok(cases.iter().map(of_case).collect::<Result<Vec<_>>>()?.concat());
    sites.iter().map(of_site).collect()
}

/// Checks that the cache holds features of the slices that are trained on.
fn check_stored_slices(cache: &FeatureCache, config: &TrainConfig) -> Result<()> {
    let dir = || cache.dir().to_owned();
    match cache.header().recipe.slices {
        _ if config.live => Ok(()),
        SlicePolicy::None => Err(Error::FeaturesMissing { cache: dir() }),
        SlicePolicy::Labelled if config.slices == TrainSlices::All => {
            Err(Error::EmptySlicesMissing { cache: dir() })
        }
        SlicePolicy::Labelled | SlicePolicy::All => Ok(()),
    }
}

/// Checks that the cache holds style views of the cases that are trained on.
fn check_views(cache: &FeatureCache, cases: &[usize], config: &TrainConfig) -> Result<()> {
    for &case in cases {
        if cache.views(case)? == 0 {
            let site = cache.cases().get(case).map(|c| c.site.clone()).unwrap_or_default();
            return Err(Error::ViewsMissing { cache: cache.dir().to_owned(), site });
        }
    }
    let rule = cache.header().views.as_ref().filter(|views| views.augment.moves());
    match rule {
        Some(rule) if config.consistency.is_some() => Err(Error::ViewsMove {
            cache: cache.dir().to_owned(),
            augment: rule.augment.to_string(),
        }),
        _ => Ok(()),
    }
}

/// A data set of slices: encoded on the fly with an `encoder`, else read from the cache.
fn dataset(
    cache: &Arc<FeatureCache>,
    slices: Vec<SliceRef>,
    encoder: Option<&Arc<dyn ImageEncoder>>,
    usage: Usage,
    config: &TrainConfig,
    device: &Device,
) -> Result<Box<SliceDataset<'static>>> {
    let cache = Arc::clone(cache);
    if let Some(encoder) = encoder {
        let live = OnTheFlySlices::of(cache, slices, Arc::clone(encoder), device)?;
        let live = live.with_classes(config.classes.clone());
        return Ok(match usage {
            Usage::Training(Augment::Images(images)) => Box::new(live.augmented(images)?),
            Usage::Training(Augment::Style(style)) => Box::new(live.restyled(style)),
            _ => Box::new(live),
        });
    }
    // A GPU gets whole batches in the stored type, transferred by the training thread; for the CPU the
    // values are widened as they are read.
    let cached = CachedSlices::of(cache, slices, &Device::Cpu);
    let cached = cached.with_classes(config.classes.clone());
    let cached = if device.is_cpu() { cached } else { cached.as_stored() };
    Ok(match usage {
        Usage::Training(Augment::Features(features)) => Box::new(cached.augmented(features)?),
        Usage::Training(Augment::Views) => Box::new(cached.with_views()),
        Usage::Validation { views: true } => Box::new(cached.in_alternating_views()?),
        Usage::Calibration { views: true } => Box::new(cached.in_every_view()?),
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
