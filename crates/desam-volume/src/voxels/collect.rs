//! Collecting decoded voxels without trusting the number that the header promises.

use super::channels::Channel;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The values of one channel as they are decoded. Memory grows with them, never beyond `count`, and a
/// failed allocation is an error.
pub(super) struct Collector<T, F> {
    path: PathBuf,
    values: Vec<T>,
    /// Values there should be in the end.
    count: usize,
    channel: Channel,
    /// Values of all channels seen so far.
    seen: u64,
    slope: f64,
    intercept: f64,
    convert: F,
}

impl<T, F: FnMut(usize, f64) -> Result<T>> Collector<T, F> {
    pub(super) fn new(path: &Path, count: usize, channel: Channel, convert: F) -> Self {
        let (path, values) = (path.to_path_buf(), Vec::new());
        Self { path, values, count, channel, seen: 0, slope: 1.0, intercept: 0.0, convert }
    }

    /// Applies a slope and an intercept before the conversion.
    pub(super) fn scaled(self, slope: f64, intercept: f64) -> Self {
        Self { slope, intercept, ..self }
    }

    /// Reserves memory for `more` values, or for all remaining ones if they are fewer.
    pub(super) fn reserve(&mut self, more: usize) -> Result<()> {
        let length = self.values.len();
        let needed = length.saturating_add(more).min(self.count);
        let capacity = self.values.capacity();
        if needed <= capacity {
            return Ok(());
        }
        // Doubled each time, so that values are rarely moved.
        let target = capacity.saturating_mul(2).clamp(needed, self.count);
        let reserved = self.values.try_reserve_exact(target - length);
        reserved.map_err(|_| Error::OutOfMemory {
            path: self.path.clone(),
            bytes: (target as u64).saturating_mul(size_of::<T>() as u64),
        })
    }

    /// Takes the next value of the file.
    pub(super) fn push(&mut self, value: f64) -> Result<()> {
        let wanted = self.channel.holds(self.seen);
        self.seen += 1;
        if wanted && self.values.len() < self.count {
            let value = value * self.slope + self.intercept;
            self.values.push((self.convert)(self.values.len(), value)?);
        }
        Ok(())
    }

    pub(super) fn into_values(self) -> Vec<T> {
        self.values
    }
}
