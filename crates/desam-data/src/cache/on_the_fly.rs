//! Dataset of slices that are encoded on the fly.

use super::{CachedSlice, FeatureCache, SliceRef};
use crate::augment::{ImageAugment, StyleAugment};
use crate::preprocess::SliceImage;
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{ClassMask, ClassTable, Dataset, ImageEncoder, LabelMask};
use rand::RngCore;
use std::sync::Arc;

/// Slices of some cases, encoded at every access, so that the image can be augmented
/// before. Of the cache it needs only images and masks ([`SlicePolicy::None`](super::SlicePolicy::None)
/// is enough).
#[derive(Clone)]
pub struct OnTheFlySlices {
    cache: Arc<FeatureCache>,
    slices: Vec<SliceRef>,
    encoder: Arc<dyn ImageEncoder>,
    device: Device,
    augment: ImageAugment,
    style: Option<StyleAugment>,
    classes: ClassTable,
}

impl std::fmt::Debug for OnTheFlySlices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("OnTheFlySlices");
        out.field("slices", &self.slices.len())
            .field("augment", &self.augment)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

impl OnTheFlySlices {
    /// The labelled slices of `cases`, indices into [`FeatureCache::cases`], in the order given, by an
    /// encoder that lies on `device`.
    ///
    /// # Errors
    /// When there is no such case, or the encoder is of other sizes than the one that the cache was
    /// made for.
    pub fn new(
        cache: Arc<FeatureCache>,
        cases: &[usize],
        encoder: Arc<dyn ImageEncoder>,
        device: &Device,
    ) -> Result<Self> {
        let len = cache.cases().len();
        let mut slices = Vec::new();
        for &case in cases {
            let record = cache.cases().get(case).ok_or(Error::CaseIndex { index: case, len })?;
            slices.extend(record.labelled.iter().map(|&z| SliceRef { case, z, labelled: true }));
        }
        Self::of(cache, slices, encoder, device)
    }

    /// The given slices, in the order given, by an encoder that lies on `device`.
    ///
    /// # Errors
    /// When the encoder is of other sizes than the one that the cache was made for.
    pub fn of(
        cache: Arc<FeatureCache>,
        slices: Vec<SliceRef>,
        encoder: Arc<dyn ImageEncoder>,
        device: &Device,
    ) -> Result<Self> {
        let spec = &cache.header().recipe.spec;
        if encoder.spec() != spec {
            let (expected, found) = (format!("{spec:?}"), format!("{:?}", encoder.spec()));
            return Err(desam_core::Error::shape("the encoder", expected, found).into());
        }
        let augment = ImageAugment::none();
        let (device, classes) = (device.clone(), ClassTable::default());
        Ok(Self { cache, slices, encoder, device, augment, style: None, classes })
    }

    /// Tells these classes apart in the ground truth. The default is one foreground.
    #[must_use]
    pub fn with_classes(mut self, classes: ClassTable) -> Self {
        self.classes = classes;
        self
    }

    /// Adds random augmentation of the images drawn for training.
    ///
    /// # Errors
    /// When a setting makes no sense.
    pub fn augmented(mut self, augment: ImageAugment) -> Result<Self> {
        augment.validate()?;
        self.augment = augment;
        Ok(self)
    }

    /// Adds random changes of style to the images drawn for training, after the augmentation.
    #[must_use]
    pub fn restyled(mut self, style: StyleAugment) -> Self {
        self.style = Some(style);
        self
    }

    fn read(&self, index: usize) -> Result<(SliceRef, SliceImage, LabelMask)> {
        let len = self.slices.len();
        let slice = *self.slices.get(index).ok_or(Error::SliceIndex { index, len })?;
        let truth = self.cache.class_mask(&slice, &self.classes)?;
        Ok((slice, self.cache.image(&slice)?, truth.map().clone()))
    }

    fn encoded(
        &self,
        slice: SliceRef,
        image: &SliceImage,
        classes: LabelMask,
    ) -> Result<CachedSlice> {
        let pixels = image.pixels(self.encoder.spec().input_side, &self.device)?;
        let features = self.encoder.encode(&pixels)?;
        let mask = ClassMask::new(classes, self.classes.len())?;
        Ok(CachedSlice { features, mask, case: slice.case, z: slice.z, view: 0 })
    }
}

impl Dataset for OnTheFlySlices {
    type Item = CachedSlice;

    fn len(&self) -> usize {
        self.slices.len()
    }

    fn get(&self, index: usize) -> desam_core::Result<CachedSlice> {
        let encode = || {
            let (slice, image, mask) = self.read(index)?;
            self.encoded(slice, &image, mask)
        };
        encode().map_err(desam_core::Error::external)
    }

    fn draw(&self, index: usize, mut rng: &mut dyn RngCore) -> desam_core::Result<CachedSlice> {
        let mut encode = || {
            let (slice, image, mask) = self.read(index)?;
            let (mut image, mut mask) = self.augment.apply(&image, &mask, &mut rng)?;
            if let Some(style) = &self.style {
                (image, mask) = style.apply(&image, &mask, &mut rng);
            }
            self.encoded(slice, &image, mask)
        };
        encode().map_err(desam_core::Error::external)
    }
}
