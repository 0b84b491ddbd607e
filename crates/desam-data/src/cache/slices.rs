//! Cached slices as a data set to train on.

use super::{FeatureCache, SliceRef};
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{BinaryMask, Dataset, ImageFeatures};
use std::sync::Arc;

/// One training sample.
#[derive(Debug, Clone)]
pub struct CachedSlice {
    /// The slice's features, `B = 1`, f32.
    pub features: ImageFeatures,
    /// Its ground truth, `M×M`, with some foreground.
    pub mask: BinaryMask,
    /// Index of its case in the cache.
    pub case: usize,
    /// The processed slice.
    pub z: usize,
}

/// The labelled slices of some cases. An item is read from the disk when it is asked for.
#[derive(Debug, Clone)]
pub struct CachedSlices {
    cache: Arc<FeatureCache>,
    slices: Vec<SliceRef>,
    device: Device,
}

impl CachedSlices {
    /// The labelled slices of `cases`, indices into [`FeatureCache::cases`], in the order given;
    /// features are put on `device`.
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
        Ok(Self { cache, slices, device: device.clone() })
    }

    /// Which slices these are.
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
            Ok(CachedSlice {
                features: self.cache.features(slice, &self.device)?,
                mask: self.cache.mask(slice)?,
                case: slice.case,
                z: slice.z,
            })
        };
        read().map_err(desam_core::Error::external)
    }
}
