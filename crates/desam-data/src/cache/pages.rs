//! The images and masks of one case, all processed slices in one file.

use super::{Entry, Seal, TensorSpec};
use crate::preprocess::SliceImage;
use crate::{Error, Result};
use desam_core::BinaryMask;
use safetensors::Dtype;
use std::path::Path;

/// Channels of a colour image.
const COLORS: usize = 3;

/// An open case file: `images` `[slices, side, side]`, or `[slices, 3, side, side]` in colour, and, where the case has ground truth,
/// `masks` `[slices, M, M]`, both u8.
#[derive(Debug)]
pub(crate) struct CasePages {
    entry: Entry,
    slices: usize,
    side: usize,
    channels: usize,
    mask_side: Option<usize>,
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
    /// Writes images of one side and masks of another, one of each a slice.
    pub(crate) fn write(
        path: &Path,
        seal: &Seal,
        images: &[SliceImage],
        masks: Option<&[BinaryMask]>,
    ) -> Result<()> {
        let side = images.first().map_or(0, |i| i.side);
        let channels = images.first().map_or(1, |i| i.channels().len());
        let pixels = images.iter().flat_map(|i| &i.data).copied().collect();
        let mut tensors = vec![(images_tensor(images.len(), channels, side), pixels)];
        if let Some(masks) = masks {
            let side = masks.first().map_or(0, BinaryMask::height);
            let pixels = masks.iter().flat_map(BinaryMask::data).copied().collect();
            tensors.push((tensor("masks", masks.len(), side), pixels));
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
        expected.extend(mask_side.map(|m| tensor("masks", slices, m)));
        Ok(Self { entry: entry.expect(&expected)?, slices, side, channels, mask_side })
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

    /// The mask of slice `z`; `None` where the case has no ground truth.
    pub(crate) fn mask(&self, z: usize) -> Result<Option<BinaryMask>> {
        let Some(side) = self.mask_side else {
            return Ok(None);
        };
        Ok(Some(BinaryMask::new(side, side, self.page(1, z, side * side)?.to_vec())?))
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
