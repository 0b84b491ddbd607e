//! Exclusive writer of a cache, by an advisory lock.

use super::run::{CacheAccess, EmbedRun};
use super::{EmbedOptions, EmbedSummary, Part, PartSummary, assemble};
use crate::Result;
use candle_core::Device;
use desam_core::{ImageEncoder, Progress};

/// A whole cache that no other process writes to until this is dropped: what belongs into its folder
/// beside the features is written before that.
pub struct CacheWriter<'a> {
    run: EmbedRun<'a>,
}

impl std::fmt::Debug for CacheWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheWriter").field("dir", &self.run.options().dir).finish_non_exhaustive()
    }
}

impl<'a> CacheWriter<'a> {
    /// Locks the folder; it is made if it is not there.
    ///
    /// # Errors
    /// [`Error::InUse`](crate::Error::InUse) when another process writes to the folder, and
    /// [`Error::CacheMismatch`](crate::Error::CacheMismatch) when it holds a cache of another recipe.
    pub fn new(
        options: &'a EmbedOptions,
        encoder: &'a dyn ImageEncoder,
        device: &'a Device,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        Ok(Self { run: EmbedRun::new(options, encoder, device, progress, CacheAccess::Whole)? })
    }

    /// See [`embed`](super::embed()).
    ///
    /// # Errors
    /// As there.
    pub fn embed(&self) -> Result<EmbedSummary> {
        let cases: Vec<_> = self.run.options().cases.iter().collect();
        let prepared = self.run.prepare_cases(&cases)?;
        self.run.expect_slices(&prepared)?;
        // Until all views are there the cache is one without: a run that is interrupted while it adds
        // views leaves the plain features usable.
        prepared.header.without_views().write(self.run.paths())?;
        let summary = self.run.encode_cases(&prepared)?;
        prepared.header.write(self.run.paths())?;
        Ok(summary)
    }

    /// See [`finish_parts`](super::finish_parts).
    ///
    /// # Errors
    /// As there.
    pub fn finish_parts(&self, of: usize) -> Result<()> {
        assemble::finish(&self.run, of)
    }
}

/// A part of a cache that no other process writes to until this is dropped. Other parts of the same
/// settings and data may be written at the same time.
pub struct PartWriter<'a> {
    run: EmbedRun<'a>,
    part: Part,
}

impl std::fmt::Debug for PartWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("PartWriter");
        out.field("dir", &self.run.options().dir).field("part", &self.part).finish_non_exhaustive()
    }
}

impl<'a> PartWriter<'a> {
    /// Locks the part; the folder is made if it is not there.
    ///
    /// # Errors
    /// As [`CacheWriter::new`], when another process writes the same part, or
    /// ([`Error::InUseOtherwise`](crate::Error::InUseOtherwise)) parts of other settings or data.
    pub fn new(
        options: &'a EmbedOptions,
        part: Part,
        encoder: &'a dyn ImageEncoder,
        device: &'a Device,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let run = EmbedRun::new(options, encoder, device, progress, CacheAccess::Part(part))?;
        Ok(Self { run, part })
    }

    /// See [`embed_part`](super::embed_part).
    ///
    /// # Errors
    /// As there.
    pub fn embed(&self) -> Result<PartSummary> {
        let (run, part) = (&self.run, self.part);
        assemble::forget(run, part)?;
        assemble::check_others(run, part)?;
        let mine = part.cases(&run.options().cases, &run.options().read)?;
        let prepared = run.prepare_cases(&mine)?;
        let own = run.encode_cases(&prepared)?;
        let waiting_for = assemble::hand_in(run, part, &prepared.header)?;
        Ok(PartSummary { part, own, waiting_for })
    }
}
