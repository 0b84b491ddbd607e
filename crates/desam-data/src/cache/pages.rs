//! The images and masks of one case, all processed slices in one file.

use super::{Entry, Seal, TensorSpec};
use crate::preprocess::SliceImage;
use crate::{Error, Result};
use desam_core::LabelMask;
use safetensors::Dtype;
use std::path::Path;

/// Names of the ground truth: as labels, and as foreground alone.
const LABELS: &str = "labels";
const MASKS: &str = "masks";

/// Channels of a colour image.
const COLORS: usize = 3;

/// An open case file: `images` `[slices, side, side]`, or `[slices, 3, side, side]` in colour, and, where the case has ground truth,
/// `labels` `[slices, M, M]`, both u8. Files of older versions have `masks` instead, the foreground as
/// 0 and 1.
#[derive(Debug)]
pub(crate) struct CasePages {
    entry: Entry,
    slices: usize,
    side: usize,
    channels: usize,
    mask_side: Option<usize>,
    /// Whether the file keeps labels apart.
    has_labels: bool,
}

fn tensor(name: &str, slices: usize, side: usize) -> TensorSpec {
    TensorSpec { name: name.into(), dtype: Dtype::U8, shape: vec![slices, side, side] }
}

fn images_tensor(slices: usize, channels: usize, side: usize) -> TensorSpec {
    let grey = tensor("images", slices, side);
    match channels {
        COLORS => TensorSpec { shape: vec![slices, COLORS, side, side], ..grey },
        _ => grey,
    }
}

impl CasePages {
    /// Writes images of one side and labels of another, one of each a slice.
    pub(crate) fn write(
        path: &Path,
        seal: &Seal,
        images: &[SliceImage],
        labels: Option<&[LabelMask]>,
    ) -> Result<()> {
        let side = images.first().map_or(0, |i| i.side);
        let channels = images.first().map_or(1, |i| i.channels().len());
        let pixels = images.iter().flat_map(|i| &i.data).copied().collect();
        let mut tensors = vec![(images_tensor(images.len(), channels, side), pixels)];
        if let Some(labels) = labels {
            let side = labels.first().map_or(0, LabelMask::height);
            let pixels = labels.iter().flat_map(LabelMask::data).copied().collect();
            tensors.push((tensor(LABELS, labels.len(), side), pixels));
        }
        Entry::write(path, seal, &tensors)
    }

    /// Opens a case file whose masks, where `labelled`, should be `mask_side` wide.
    pub(crate) fn open(path: &Path, seal: &Seal, mask_side: Option<usize>) -> Result<Self> {
        let entry = Entry::open(path, seal)?;
        let (slices, channels, side) = match entry.shape("images") {
            Some(&[slices, side, _]) => (slices, 1, side),
            Some(&[slices, COLORS, side, _]) => (slices, COLORS, side),
            _ => {
                let problem = "it holds no images of three dimensions, or four in colour";
                return Err(entry.corrupt(problem.into()));
            }
        };
        let mut expected = vec![images_tensor(slices, channels, side)];
        let has_labels = entry.shape(MASKS).is_none();
        let truth = if has_labels { LABELS } else { MASKS };
        expected.extend(mask_side.map(|m| tensor(truth, slices, m)));
        let entry = entry.expect(&expected)?;
        Ok(Self { entry, slices, side, channels, mask_side, has_labels })
    }

    pub(crate) fn slices(&self) -> usize {
        self.slices
    }

    pub(crate) fn side(&self) -> usize {
        self.side
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    pub(crate) fn image(&self, z: usize) -> Result<SliceImage> {
        let pixels = self.channels * self.side * self.side;
        Ok(SliceImage { side: self.side, data: self.page(0, z, pixels)?.to_vec() })
    }

    /// Whether the file keeps labels apart, and has not merged them into one foreground.
    pub(crate) fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// The labels of slice `z`; `None` where the case has no ground truth.
    pub(crate) fn labels(&self, z: usize) -> Result<Option<LabelMask>> {
        let Some(side) = self.mask_side else {
            return Ok(None);
        };
        Ok(Some(LabelMask::new(side, side, self.page(1, z, side * side)?.to_vec())?))
    }

    /// The labels that occur, rising.
    pub(crate) fn label_values(&self) -> Result<Vec<u8>> {
        let mut values = std::collections::BTreeSet::new();
        for z in 0..self.slices {
            values.extend(self.labels(z)?.iter().flat_map(LabelMask::labels));
        }
        Ok(values.into_iter().collect())
    }

    /// Slices whose mask has foreground, rising; none without ground truth.
    pub(crate) fn labelled(&self) -> Result<Vec<usize>> {
        let mut labelled = Vec::new();
        if let Some(side) = self.mask_side {
            for z in 0..self.slices {
                if self.page(1, z, side * side)?.iter().any(|&v| v > 0) {
                    labelled.push(z);
                }
            }
        }
        Ok(labelled)
    }

    /// The values of slice `z` in a tensor of so many a slice.
    fn page(&self, tensor: usize, z: usize, length: usize) -> Result<&[u8]> {
        if z >= self.slices {
            return Err(Error::SliceIndex { index: z, len: self.slices });
        }
        self.entry
            .bytes(tensor)?
            .get(z * length..(z + 1) * length)
            .ok_or_else(|| self.entry.corrupt(format!("slice {z} is not there")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_older_versions_hold_one_foreground() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old.safetensors"), dir.path().join("new.safetensors"));
        let seal = Seal { key: "key".into(), source: "source".into() };
        let images = vec![SliceImage { side: 2, data: vec![9; 4] }; 2];
        let labels =
            [[0, 3, 3, 1], [0, 0, 0, 0]].map(|l| LabelMask::new(2, 2, l.to_vec()).unwrap());
        CasePages::write(&new, &seal, &images, Some(&labels)).unwrap();
        let pages = CasePages::open(&new, &seal, Some(2)).unwrap();
        assert!(pages.has_labels());
        assert_eq!(pages.labels(0).unwrap().as_ref(), Some(&labels[0]));
        assert_eq!(
            (pages.label_values().unwrap(), pages.labelled().unwrap()),
            (vec![1, 3], vec![0])
        );

        // As the version before wrote it: the foreground, under another name.
        let pixels = images.iter().flat_map(|i| &i.data).copied().collect();
        let masks = vec![0, 1, 1, 1, 0, 0, 0, 0];
        let tensors = [(images_tensor(2, 1, 2), pixels), (tensor(MASKS, 2, 2), masks)];
        Entry::write(&old, &seal, &tensors).unwrap();
        let pages = CasePages::open(&old, &seal, Some(2)).unwrap();
        assert!(!pages.has_labels());
        assert_eq!(pages.labels(0).unwrap().unwrap().data(), [0, 1, 1, 1]);
        assert_eq!(pages.labelled().unwrap(), [0]);
    }
}
