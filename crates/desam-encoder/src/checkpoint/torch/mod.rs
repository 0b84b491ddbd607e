//! PyTorch checkpoints (`.pth`) since PyTorch 1.6: a zip with one pickle and an entry for each storage.

mod archive;
mod state_dicts;
mod tensor;

use super::entry::{ElementType, Entry};
use crate::{Error, Result};
use archive::Archive;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tensor::View;

/// Limit on how many times the views of a storage may repeat its elements. Overlapping views are rare,
/// and each is copied to a separate tensor: without a limit a small file could exhaust memory.
const MAX_OVERLAP: u64 = 8;

/// An open PyTorch checkpoint.
pub(super) struct TorchFile {
    path: PathBuf,
    archive: Archive,
    entries: Vec<Entry>,
    views: Vec<View>,
}

impl TorchFile {
    /// Opens the file and reads the descriptions of its tensors.
    ///
    /// # Errors
    /// When it is damaged, or no dictionary in it holds a tensor.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut archive = Archive::open(path)?;
        let pickle = archive.pickle()?;
        let found = state_dicts::named_tensors(path, &pickle)?;
        let (mut entries, mut views) = (Vec::new(), Vec::new());
        for tensor in found {
            entries.push(Entry {
                name: tensor.name,
                container: tensor.container,
                element: tensor.description.element,
                shape: tensor.description.view.shape.clone(),
            });
            views.push(tensor.description.view);
        }
        Ok(Self { path: path.to_owned(), archive, entries, views })
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Loads entries by index, one storage at a time, and calls `put` with each index and tensor. A view
    /// that several names share becomes one tensor.
    pub(super) fn load(
        &mut self,
        wanted: &[usize],
        put: &mut dyn FnMut(usize, Tensor) -> Result<()>,
    ) -> Result<()> {
        // Each storage is read once and dropped before the next, however many tensors are views of
        // it.
        let mut by_storage: BTreeMap<&str, BTreeMap<&View, Vec<usize>>> = BTreeMap::new();
        for index in wanted {
            if let Some(view) = self.views.get(*index) {
                by_storage.entry(&view.storage).or_default().entry(view).or_default().push(*index);
            }
        }
        for (key, views) in by_storage {
            let names = views.values().flatten().filter_map(|i| self.entries.get(*i));
            let name = names.map(|e| e.name.as_str()).next().unwrap_or_default();
            check_overlap(
                &self.path,
                name,
                views.keys().copied(),
                self.archive.storage_length(key)?,
            )?;
            let storage = self.archive.storage(key)?;
            for (view, indices) in views {
                let first = indices.first().and_then(|i| self.entries.get(*i));
                let Some(Entry { name, element: ElementType::Float(float), .. }) = first else {
                    continue;
                };
                let Some(numbers) = view.gather(*float, &storage) else {
                    let reason = format!(
                        "tensor {name} of shape {:?} does not fit its storage of {} {}-byte \
                         numbers; get the file again",
                        view.shape,
                        storage.len() / float.size(),
                        float.size()
                    );
                    return Err(Error::checkpoint(&self.path, reason));
                };
                let tensor = Tensor::from_vec(numbers, view.shape.as_slice(), &Device::Cpu)?;
                for index in indices {
                    put(index, tensor.clone())?;
                }
            }
        }
        Ok(())
    }
}

/// Refuses views that repeat their storage too many times.
fn check_overlap<'a>(
    path: &Path,
    name: &str,
    views: impl Iterator<Item = &'a View>,
    bytes: u64,
) -> Result<()> {
    let counts = views.map(|v| v.count().map_or(u64::MAX, |n| n as u64));
    let total = counts.fold(0u64, u64::saturating_add);
    // The smallest element has two bytes.
    if total > (bytes / 2).saturating_mul(MAX_OVERLAP) {
        let reason = format!(
            "tensors of {total} numbers in all, {name} among them, do not fit their storage of \
             {bytes} bytes; get the file again"
        );
        return Err(Error::checkpoint(path, reason));
    }
    Ok(())
}
