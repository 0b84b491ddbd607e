//! Dataset of slices whose features are preloaded into (GPU) memory.

use super::CachedSlice;
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{Dataset, Progress};

/// Slices whose features were all loaded once onto a device, in the type that they were given in. An
/// item shares the tensor's memory.
#[derive(Debug, Clone)]
pub struct PreloadedSlices {
    slices: Vec<CachedSlice>,
}

impl PreloadedSlices {
    /// Reads all of `slices` as they are ([`Dataset::get`]) and puts their features on `device`;
    /// `progress` advances for each.
    ///
    /// # Errors
    /// When a slice cannot be read, or the device has no room for it.
    pub fn new(
        slices: &(impl Dataset<Item = CachedSlice> + ?Sized),
        device: &Device,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let keep = |index: usize| {
            progress.check_cancelled()?;
            let slice = slices.get(index)?;
            let features = slice.features.to_device(device)?;
            progress.advance(1, &format!("slice {}", index + 1));
            Ok(CachedSlice { features, ..slice })
        };
        Ok(Self { slices: (0..slices.len()).map(keep).collect::<Result<_>>()? })
    }
}

impl Dataset for PreloadedSlices {
    type Item = CachedSlice;

    fn len(&self) -> usize {
        self.slices.len()
    }

    fn get(&self, index: usize) -> desam_core::Result<CachedSlice> {
        let len = self.slices.len();
        let slice = self.slices.get(index).cloned();
        slice.ok_or_else(|| desam_core::Error::external(Error::SliceIndex { index, len }))
    }
}
