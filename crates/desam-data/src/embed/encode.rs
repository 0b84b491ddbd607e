//! A case's slices through the encoder.
//!
//! On a CPU one after the other. With a batch, and wherever the encoder is on a GPU, three things go on
//! at once: the slices of the next batch are enlarged, one batch is encoded and fetched, the files of the
//! one before are written. Each hands over to the next in person, so three batches are in memory.

use super::run::Run;
use super::stored;
use crate::cache::{CacheCase, CacheHeader, Entry, Seal, TensorSpec, not_finite};
use crate::preprocess::{PreparedVolume, normalised};
use crate::{Error, Result};
use candle_core::Tensor;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What was done for a case.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CaseDone {
    /// Size of its slices' files.
    pub(super) bytes: u64,
    /// Slices that were there.
    pub(super) reused: usize,
}

/// A slice that is to be made.
#[derive(Debug)]
struct Missing {
    z: usize,
    path: PathBuf,
    seal: Seal,
}

/// Slices on their way, `T` being what there is of them.
struct Batch<'a, T> {
    slices: &'a [Missing],
    made: Result<T>,
}

/// Stored bytes: for each slice those of its tensors.
type Bytes = Vec<Vec<Vec<u8>>>;

impl Run<'_> {
    /// Encodes what is missing of a case.
    pub(super) fn encode_case(&self, header: &CacheHeader, case: &CacheCase) -> Result<CaseDone> {
        let tensors = self.recipe.feature_tensors();
        let note = |z: usize, verb| format!("{}/{} slice {z} {verb}", case.site, case.id);
        let (mut done, mut missing) = (CaseDone::default(), Vec::new());
        for &z in &case.stored {
            self.progress.check_cancelled()?;
            let path = self.paths.slice(&case.site, &case.id, z);
            let seal = header.slice_seal(case, z);
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
                    self.slice_finished(&note(z, "kept"));
                }
                // Whatever is wrong with a file that is there, making it anew is the cure.
                Ok(None) | Err(_) => missing.push(Missing { z, path, seal }),
            }
        }
        if missing.is_empty() {
            return Ok(done);
        }
        let volume = self.prepare_volume(&self.data_root.join(&case.image))?;
        let write = |batch: Batch<'_, Bytes>| -> Result<u64> {
            let mut bytes = 0;
            for (Missing { z, path, seal }, values) in batch.slices.iter().zip(batch.made?) {
                let named: Vec<_> = tensors.iter().cloned().zip(values).collect();
                Entry::write(path, seal, &named)?;
                bytes += self.written(path, seal, &tensors)?;
                self.slice_finished(&note(*z, "embedded"));
            }
            Ok(bytes)
        };
        let batch = self.options.batch.max(1);
        if batch == 1 && self.device.is_cpu() {
            for slices in missing.chunks(1) {
                let made = self.enlarged(&volume, slices).and_then(|l| self.encode(slices, &l));
                done.bytes += write(Batch { slices, made })?;
            }
            return Ok(done);
        }
        done.bytes += thread::scope(|scope| {
            // Where one side has failed, the others find their channel closed and end.
            let (to_encode, prepared) = sync_channel(0);
            let (to_write, encoded) = sync_channel(0);
            let (volume, missing) = (&volume, &missing);
            scope.spawn(move || {
                for slices in missing.chunks(batch) {
                    let made = self.enlarged(volume, slices);
                    if !hand_over(&to_encode, slices, made) {
                        return;
                    }
                }
            });
            let writer = scope.spawn(move || write_all(&encoded, write));
            for Batch { slices, made } in prepared {
                let made = made.and_then(|levels| self.encode(slices, &levels));
                if !hand_over(&to_write, slices, made) {
                    break;
                }
            }
            drop(to_write);
            writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(done)
    }

    /// Counts a slice that is in place.
    fn slice_finished(&self, note: &str) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.progress.advance(1, note);
    }

    /// Some slices enlarged, levels `[B, 1, S, S]` in the CPU's memory.
    fn enlarged(&self, volume: &PreparedVolume, slices: &[Missing]) -> Result<Tensor> {
        let each = slices.iter().map(|s| volume.enlarged(s.z));
        Ok(Tensor::cat(&each.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// All that a GPU does is given to it here, by one thread.
    fn encode(&self, slices: &[Missing], levels: &Tensor) -> Result<Bytes> {
        self.progress.check_cancelled()?;
        let features = self.encoder.encode(&normalised(levels, self.device)?)?;
        let zs: Vec<usize> = slices.iter().map(|s| s.z).collect();
        stored::bytes(&self.recipe, &zs, &features)
    }

    /// Size of a file that was written, once it has been looked at.
    fn written(&self, path: &std::path::Path, seal: &Seal, tensors: &[TensorSpec]) -> Result<u64> {
        Ok(Entry::open(path, seal)?.expect(tensors)?.len())
    }
}

/// Whether there is more to hand over.
fn hand_over<'a, T>(to: &SyncSender<Batch<'a, T>>, slices: &'a [Missing], made: Result<T>) -> bool {
    let well = made.is_ok();
    to.send(Batch { slices, made }).is_ok() && well
}

/// Bytes that were written, or the first failure of anyone.
fn write_all<'a>(
    encoded: &Receiver<Batch<'a, Bytes>>,
    write: impl Fn(Batch<'a, Bytes>) -> Result<u64>,
) -> Result<u64, Error> {
    let mut bytes = 0;
    for batch in encoded {
        bytes += write(batch)?;
    }
    Ok(bytes)
}
