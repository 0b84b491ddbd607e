//! Dataset of cached slices for training.

use super::{FeatureCache, SliceRef};
use crate::augment::FeatureAugment;
use crate::{Error, Result};
use candle_core::{DType, Device};
use desam_core::{ClassMask, ClassTable, Dataset, ImageFeatures};
use rand::{Rng, RngCore};
use std::sync::Arc;

/// One training sample.
#[derive(Debug, Clone)]
pub struct CachedSlice {
    /// The slice's features, `B = 1`, in f32 or in the type that they are stored in.
    pub features: ImageFeatures,
    /// Its ground truth, `M×M`. Empty where the slice is not labelled.
    pub mask: ClassMask,
    /// Index of its case in the cache.
    pub case: usize,
    /// The processed slice.
    pub z: usize,
    /// The style view, from 1; 0 is the slice as it is, or as random changes have left it.
    pub view: usize,
}

/// Slices of some cases, with stored features. An item is read from the disk at every access.
#[derive(Debug, Clone)]
pub struct CachedSlices {
    cache: Arc<FeatureCache>,
    /// Slices, and the view that each is in unless one is drawn.
    items: Vec<(SliceRef, usize)>,
    device: Device,
    augment: FeatureAugment,
    as_stored: bool,
    draw_views: bool,
    classes: ClassTable,
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
        let items = slices.into_iter().map(|slice| (slice, 0)).collect();
        let device = device.clone();
        let classes = ClassTable::default();
        Self { cache, items, device, augment, as_stored: false, draw_views: false, classes }
    }

    /// Tells these classes apart in the ground truth. The default is one foreground.
    #[must_use]
    pub fn with_classes(mut self, classes: ClassTable) -> Self {
        self.classes = classes;
        self
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

    /// Draws a style view for training where the cache holds some: the slice as it is or one of its
    /// views, all equally likely.
    #[must_use]
    pub fn with_views(mut self) -> Self {
        self.draw_views = true;
        self
    }

    /// Slices that alternate between what they are and their style views: the first as it is, the next in
    /// its first view, and so on. As many items as before, for scores in every epoch that count other
    /// styles, too.
    ///
    /// # Errors
    /// When a slice's case does not exist.
    pub fn in_alternating_views(mut self) -> Result<Self> {
        for (n, (slice, view)) in self.items.iter_mut().enumerate() {
            *view = n % (self.cache.views(slice.case)? + 1);
        }
        Ok(self)
    }

    /// Each slice as it is and in all of its style views, as separate items.
    ///
    /// # Errors
    /// When a slice's case does not exist.
    pub fn in_every_view(mut self) -> Result<Self> {
        let mut items = Vec::with_capacity(self.items.len());
        for (slice, _) in self.items {
            items.extend((0..=self.cache.views(slice.case)?).map(|view| (slice, view)));
        }
        self.items = items;
        Ok(self)
    }
}

impl CachedSlices {
    /// Item `index`, in another view if `choose` names one.
    fn read(
        &self,
        index: usize,
        choose: impl FnOnce(&SliceRef) -> Result<Option<usize>>,
    ) -> Result<CachedSlice> {
        let len = self.items.len();
        let (slice, view) = self.items.get(index).ok_or(Error::SliceIndex { index, len })?;
        let view = choose(slice)?.unwrap_or(*view);
        let (mut stored, mut mask) =
            (view, self.cache.view_class_mask(slice, view, &self.classes)?);
        // A view in which the structure has moved out of sight would teach that there is none.
        if view > 0 && slice.labelled && mask.is_empty() {
            (stored, mask) = (0, self.cache.class_mask(slice, &self.classes)?);
        }
        let features = if self.as_stored {
            self.cache.stored_view_features(slice, stored, &self.device)?
        } else {
            self.cache.view_features(slice, stored, &self.device)?
        };
        Ok(CachedSlice { features, mask, case: slice.case, z: slice.z, view })
    }
}

impl Dataset for CachedSlices {
    type Item = CachedSlice;

    fn len(&self) -> usize {
        self.items.len()
    }

    fn get(&self, index: usize) -> desam_core::Result<CachedSlice> {
        self.read(index, |_| Ok(None)).map_err(desam_core::Error::external)
    }

    fn draw(&self, index: usize, mut rng: &mut dyn RngCore) -> desam_core::Result<CachedSlice> {
        let view = |slice: &SliceRef| {
            if !self.draw_views {
                return Ok(None);
            }
            Ok(Some(rng.random_range(0..=self.cache.views(slice.case)? as u64) as usize))
        };
        let drawn = self.read(index, view).map_err(desam_core::Error::external)?;
        if self.augment == FeatureAugment::none() {
            return Ok(drawn);
        }
        let features = drawn.features.to_dtype(DType::F32)?;
        let changed = self.augment.apply(&features, drawn.mask.map(), &mut rng);
        let (features, map) = changed.map_err(desam_core::Error::external)?;
        let mask = drawn.mask.with_map(map)?;
        Ok(CachedSlice { features, mask, ..drawn })
    }
}
