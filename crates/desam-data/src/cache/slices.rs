//! Dataset of cached slices for training.

use super::{FeatureCache, SliceRef};
use crate::augment::FeatureAugment;
use crate::{Error, Result};
use candle_core::{DType, Device};
use desam_core::{BinaryMask, Dataset, ImageFeatures};
use rand::RngCore;
use std::sync::Arc;

/// One training sample.
#[derive(Debug, Clone)]
pub struct CachedSlice {
    /// The slice's features, `B = 1`, in f32 or in the type that they are stored in.
    pub features: ImageFeatures,
    /// Its ground truth, `M×M`. Empty where the slice is not labelled.
    pub mask: BinaryMask,
    /// Index of its case in the cache.
    pub case: usize,
    /// The processed slice.
    pub z: usize,
}

/// Slices of some cases, with stored features. An item is read from the disk at every access.
#[derive(Debug, Clone)]
pub struct CachedSlices {
    cache: Arc<FeatureCache>,
    slices: Vec<SliceRef>,
    device: Device,
    augment: FeatureAugment,
    as_stored: bool,
}

impl CachedSlices {
    /// The labelled slices of `cases`, indices into [`FeatureCache::cases`], in the order given;
    /// features are put on `device`, in f32.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn new(cache: Arc<FeatureCache>, cases: &[usize], device: &Device) -> Result<Self> {
        let len = cache.cases().len();
        let mut slices = Vec::new();
        for &index in cases {
            if index >= len {
                return Err(Error::CaseIndex { index, len });
            }
            slices.extend(cache.case_slices(index).iter().filter(|s| s.labelled));
        }
        Ok(Self::of(cache, slices, device))
    }

    /// The given slices, whose features must be stored, in the order given; features are put on
    /// `device`, in f32.
    pub fn of(cache: Arc<FeatureCache>, slices: Vec<SliceRef>, device: &Device) -> Self {
        let augment = FeatureAugment::none();
        Self { cache, slices, device: device.clone(), augment, as_stored: false }
    }

    /// Items in the type that features are stored in: for f16 half the bytes to move, and the same
    /// values. Augmented features come in f32.
    #[must_use]
    pub fn as_stored(mut self) -> Self {
        self.as_stored = true;
        self
    }

    /// Adds random augmentation of the features drawn for training.
    ///
    /// # Errors
    /// When a setting makes no sense.
    pub fn augmented(mut self, augment: FeatureAugment) -> Result<Self> {
        augment.validate()?;
        self.augment = augment;
        Ok(self)
    }

    /// References to these slices.
    pub fn slices(&self) -> &[SliceRef] {
        &self.slices
    }
}

impl Dataset for CachedSlices {
    type Item = CachedSlice;

    fn len(&self) -> usize {
        self.slices.len()
    }

    fn get(&self, index: usize) -> desam_core::Result<CachedSlice> {
        let slice = self.slices.get(index).ok_or_else(|| {
            desam_core::Error::external(Error::SliceIndex { index, len: self.slices.len() })
        })?;
        let read = || -> Result<CachedSlice> {
            let features = if self.as_stored {
                self.cache.stored_features(slice, &self.device)?
            } else {
                self.cache.features(slice, &self.device)?
            };
            Ok(CachedSlice {
                features,
                mask: self.cache.mask(slice)?,
                case: slice.case,
                z: slice.z,
            })
        };
        read().map_err(desam_core::Error::external)
    }

    fn draw(&self, index: usize, mut rng: &mut dyn RngCore) -> desam_core::Result<CachedSlice> {
        let CachedSlice { features, mask, case, z } = self.get(index)?;
        if self.augment == FeatureAugment::none() {
            return Ok(CachedSlice { features, mask, case, z });
        }
        let features = features.to_dtype(DType::F32)?;
        let changed = self.augment.apply(&features, &mask, &mut rng);
        let (features, mask) = changed.map_err(desam_core::Error::external)?;
        Ok(CachedSlice { features, mask, case, z })
    }
}
