//! Encoding the slices of a case.
//!
//! On a CPU one after the other. With a batch, and wherever the encoder is on a GPU, three stages run at
//! once ([`three_stage`]): the slices of the next batch are enlarged, one batch is encoded and fetched,
//! the files of the one before are written. At most three batches are in memory.

use super::run::EmbedRun;
use super::stored;
use crate::Result;
use crate::augment::{StyleAugment, ViewSeed};
use crate::cache::{
    CacheCase, CacheHeader, Entry, FeatureFile, Seal, TensorSpec, ViewRecipe, not_finite,
};
use crate::preprocess::{PreparedVolume, normalised};
use candle_core::Tensor;
use desam_core::pipeline::three_stage;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Result of encoding a case.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CaseDone {
    /// Size of its slices' files.
    pub(super) bytes: u64,
    /// Slices that were there.
    pub(super) reused: usize,
}

/// A slice, or a view of one, whose features are to be computed.
#[derive(Debug)]
struct MissingSlice {
    file: FeatureFile,
    path: PathBuf,
    seal: Seal,
    /// The change of a view; `None`: the slice as it is.
    style: Option<SliceStyle>,
}

/// The change of style that makes one view.
#[derive(Debug)]
struct SliceStyle {
    augment: StyleAugment,
    seed: ViewSeed,
}

impl SliceStyle {
    fn of(views: &ViewRecipe, case: &CacheCase, file: FeatureFile) -> Option<Self> {
        let seed = views.view_seed(&case.image_blake3, file.z, file.view);
        (file.view > 0).then(|| Self { augment: views.augment.clone(), seed })
    }
}

/// Some slices and what has been made of them: their pixels, then their features.
struct Batch<'a, T> {
    slices: &'a [MissingSlice],
    made: T,
}

/// Stored bytes: for each slice those of its tensors.
type Bytes = Vec<Vec<Vec<u8>>>;

impl EmbedRun<'_> {
    /// Encodes what is missing of a case.
    pub(super) fn encode_case(&self, header: &CacheHeader, case: &CacheCase) -> Result<CaseDone> {
        let tensors = self.recipe.feature_tensors();
        let note = |file, verb| format!("{}/{} {file} {verb}", case.site, case.id);
        let (mut done, mut missing) = (CaseDone::default(), Vec::new());
        for file in FeatureFile::of_case(case) {
            self.progress.check_cancelled()?;
            let path = self.paths.features(&case.site, &case.id, file);
            let seal = header.features_seal(case, file);
            let open = Entry::open(&path, &seal).and_then(|e| e.expect(&tensors));
            let right = |entry: Entry| -> Result<Option<u64>> {
                entry.verify()?;
                let odd = not_finite(&entry, &tensors, self.recipe.dtype)?;
                Ok(odd.is_none().then(|| entry.len()))
            };
            match open.and_then(right) {
                Ok(Some(length)) => {
                    done.reused += 1;
                    done.bytes += length;
                    self.slice_finished(&note(file, "kept"));
                }
                // Any unreadable entry is simply regenerated.
                Ok(None) | Err(_) => missing.push(MissingSlice {
                    file,
                    path,
                    seal,
                    style: header
                        .views
                        .as_ref()
                        .and_then(|views| SliceStyle::of(views, case, file)),
                }),
            }
        }
        if missing.is_empty() {
            return Ok(done);
        }
        let volume = self.prepare_volume(&self.data_root.join(&case.image))?;
        let enlarge = |slices| self.enlarge(&volume, slices);
        let encode = |batch| self.encode(batch);
        let mut written = 0;
        let write = |batch: Batch<'_, Bytes>| -> Result<()> {
            for (slice, values) in batch.slices.iter().zip(batch.made) {
                let MissingSlice { file, path, seal, .. } = slice;
                let named: Vec<_> = tensors.iter().cloned().zip(values).collect();
                Entry::write(path, seal, &named)?;
                written += self.written(path, seal, &tensors)?;
                self.slice_finished(&note(*file, "embedded"));
            }
            Ok(())
        };
        let batches = missing.chunks(self.options.batch.max(1));
        if self.options.batch <= 1 && self.device.is_cpu() {
            // Two more threads would only compete with the encoder's.
            let (mut batches, mut write) = (batches, write);
            batches.try_for_each(|slices| write(encode(enlarge(slices)?)?))?;
        } else {
            three_stage(batches, enlarge, encode, write)?;
        }
        done.bytes += written;
        Ok(done)
    }

    /// Counts a slice that is in place.
    fn slice_finished(&self, note: &str) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.progress.advance(1, note);
    }

    /// Slices enlarged to the input side: levels `[B, 1, S, S]` in the CPU's memory.
    fn enlarge<'a>(
        &self,
        volume: &PreparedVolume,
        slices: &'a [MissingSlice],
    ) -> Result<Batch<'a, Tensor>> {
        let enlarged = |slice: &MissingSlice| match &slice.style {
            None => volume.enlarged(slice.file.z),
            Some(SliceStyle { augment, seed }) => {
                let image = augment.image(&volume.image(slice.file.z)?, *seed);
                image.enlarged(volume.input_side())
            }
        };
        let made = Tensor::cat(&slices.iter().map(enlarged).collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Batch { slices, made })
    }

    /// Features as stored bytes. All GPU work is submitted here, from one thread.
    fn encode<'a>(&self, batch: Batch<'a, Tensor>) -> Result<Batch<'a, Bytes>> {
        self.progress.check_cancelled()?;
        let Batch { slices, made: levels } = batch;
        let features = self.encoder.encode(&normalised(&levels, self.device)?)?;
        let zs: Vec<usize> = slices.iter().map(|s| s.file.z).collect();
        Ok(Batch { slices, made: stored::bytes(&self.recipe, &zs, &features)? })
    }

    /// Size of a file that was written, after its header has been checked.
    fn written(&self, path: &std::path::Path, seal: &Seal, tensors: &[TensorSpec]) -> Result<u64> {
        Ok(Entry::open(path, seal)?.expect(tensors)?.len())
    }
}
