//! Prediction and ground truth of a case on one voxel grid: the stack of the `M × M` masks under the
//! paper protocol, the label file's grid under the full one.

use super::run::SlicePredictions;
use super::{EmptySlices, EvaluateConfig, Protocol};
use crate::{Error, Result};
use desam::predict::{class_map, class_planes};
use desam_core::{ClassTable, Progress};
use desam_data::cache::{CacheCase, FeatureCache, SliceRef};
use desam_data::preprocess::Interpolation;
use desam_metrics::metric::{MaskPair, VoxelGrid};
use desam_volume::volumes::{ReadOptions, align_labels, hash_with, load_labels_of, load_volume};
use std::path::Path;

/// Prediction and ground truth of a whole case, each voxel with its class: 0 is background.
pub(super) struct CasePair {
    prediction: Vec<u8>,
    truth: Vec<u8>,
    pub(super) grid: VoxelGrid,
    /// Volume of a voxel, in ml; only under the full protocol.
    pub(super) voxel_ml: Option<f64>,
    /// Distances between columns, rows and slices of the volume, in mm; only under the full and the native
    /// protocol, and not of a two-dimensional image.
    pub(super) spacing_mm: Option<[f64; 3]>,
    /// The axis that slices are cut along: 0, 1 or 2 for `i`, `j` or `k`; only under the full protocol.
    slice_axis: Option<usize>,
    /// Whether each processed slice is scored, by the ground truth of the volume's slice nearest to it; only
    /// under the native protocol. Under the others all predicted slices are.
    pub(super) scored: Option<Vec<bool>>,
}

impl CasePair {
    /// The foreground of both, as input of metrics.
    pub(super) fn masks(&self) -> Result<MaskPair<'_>> {
        Ok(MaskPair::new(&self.prediction, &self.truth, self.grid)?)
    }

    /// The voxels of one class, from 1, of prediction and ground truth.
    pub(super) fn of_class(&self, class: u8) -> [Vec<u8>; 2] {
        [&self.prediction, &self.truth]
            .map(|voxels| voxels.iter().map(|found| u8::from(*found == class)).collect())
    }

    /// Stacks the masks of some processed slices of a case, and the cached ground truth. Slices that are
    /// not scored are empty on both sides.
    pub(super) fn stacked(
        cache: &FeatureCache,
        slices: &[SliceRef],
        masks: &[SlicePredictions],
        classes: &ClassTable,
        grid: VoxelGrid,
    ) -> Result<Self> {
        let [_, height, width] = grid.shape;
        let (page_len, voxels) = (height * width, grid.voxels().unwrap_or(0));
        let (mut prediction, mut truth) = (vec![0; voxels], vec![0; voxels]);
        for (slice, predicted) in slices.iter().zip(masks) {
            let at = slice.z * page_len..(slice.z + 1) * page_len;
            let found = class_map(predicted)?;
            let expected = cache.class_mask(slice, classes)?;
            for (stack, mask) in [(&mut prediction, found), (&mut truth, expected)] {
                let pixels = mask.map().data();
                let page = stack.get_mut(at.clone()).filter(|p| p.len() == pixels.len());
                let shape = || desam_core::Error::shape("masks", page_len, pixels.len());
                page.ok_or_else(shape)?.copy_from_slice(pixels);
            }
        }
        let (voxel_ml, spacing_mm, slice_axis, scored) = (None, None, None, None);
        Ok(Self { prediction, truth, grid, voxel_ml, spacing_mm, slice_axis, scored })
    }

    /// What was predicted on slices without ground truth; `None` where only slices with ground truth are
    /// compared.
    pub(super) fn empty_slices(&self, classes: usize) -> Option<EmptySlices> {
        let axis = self.slice_axis?;
        let found = EmptySlices::of(&self.prediction, &self.truth, self.grid.shape, axis);
        if classes == 1 {
            return Some(found);
        }
        // The score of a case is the mean of its classes, and so is this.
        let [depth, height, width] = self.grid.shape;
        let mut prediction = self.prediction.clone();
        let dims = [width, height, depth];
        let labelled = labelled_slices(&self.truth, dims, axis);
        clear_unlabelled(&mut prediction, &labelled, dims, axis);
        Some(EmptySlices { labelled_dice: mean_dice(&prediction, &self.truth, classes), ..found })
    }
}

/// A case whose masks are brought to the volume's own grid.
pub(super) struct RestoredCase<'a> {
    /// Index into the cache's cases.
    pub(super) index: usize,
    pub(super) case: &'a CacheCase,
    /// Masks of all processed slices.
    pub(super) masks: &'a [SlicePredictions],
    pub(super) classes: &'a ClassTable,
}

impl RestoredCase<'_> {
    /// The restored masks, with the label file as ground truth.
    pub(super) fn pair(
        &self,
        cache: &FeatureCache,
        config: &EvaluateConfig,
        progress: &dyn Progress,
    ) -> Result<CasePair> {
        let recipe = &cache.header().recipe;
        let options = recipe.read_options(&config.read);
        let (image, label) = (cache.image_path(self.index)?, cache.label_path(self.index)?);
        check_unchanged(&image, Some(self.case.image_blake3.as_str()), &options)?;
        check_unchanged(&label, self.case.label_blake3.as_deref(), &options)?;
        let image = load_volume(&image, &options)?;
        let truth = load_labels_of(&label, &options, image.value.grid())?;
        let truth = align_labels(&image, truth, &label)?.report(progress);
        let prepared = recipe.preprocess.prepare(&image.report(progress), &recipe.spec)?;
        let predicted = match config.interpolation(&recipe.preprocess) {
            Some(Interpolation::Linear) => {
                let mut smooth = prepared.smooth_mask(self.classes.len())?;
                for slice in self.masks {
                    smooth.push(&class_planes(slice))?;
                }
                smooth.finish()?
            }
            Some(Interpolation::Nearest) | None => {
                let map = |slice: &SlicePredictions| Ok(class_map(slice)?.map().clone());
                let masks = self.masks.iter().map(map).collect::<Result<Vec<_>>>()?;
                prepared.restore(&masks)?
            }
        };
        let found = *truth.grid();
        let axis = prepared.slice_axis();
        let mut prediction = predicted.into_data();
        let table = self.classes.table();
        let truth: Vec<u8> =
            truth.into_data().into_iter().map(|label| table[usize::from(label)]).collect();
        let scored = (config.protocol == Protocol::Native).then(|| {
            let labelled = labelled_slices(&truth, found.dims, axis);
            clear_unlabelled(&mut prediction, &labelled, found.dims, axis);
            let is_scored = |z: usize| {
                let slice = prepared.nearest_stored_slice(z);
                slice.and_then(|slice| labelled.get(slice)).is_some_and(|labelled| *labelled)
            };
            (0..prepared.len()).map(is_scored).collect()
        });
        Ok(CasePair {
            prediction,
            truth,
            grid: VoxelGrid::from(&found),
            voxel_ml: Some(found.voxel_mm3() / 1000.0),
            spacing_mm: (!prepared.is_in_pixels()).then(|| prepared.slice_spacing()),
            slice_axis: (config.protocol == Protocol::Full).then_some(axis),
            scored,
        })
    }
}

/// Mean Dice of classes 1 to `classes`, 1 where one is in neither.
fn mean_dice(prediction: &[u8], truth: &[u8], classes: usize) -> f64 {
    let mut sum = 0.0;
    for class in 1..=classes {
        let (mut overlap, mut sizes) = (0_u64, 0_u64);
        for (p, t) in prediction.iter().zip(truth) {
            let [p, t] = [p, t].map(|found| usize::from(*found) == class);
            overlap += u64::from(p && t);
            sizes += u64::from(p) + u64::from(t);
        }
        sum += if sizes == 0 { 1.0 } else { 2.0 * overlap as f64 / sizes as f64 };
    }
    sum / classes.max(1) as f64
}

/// The slice along `axis` that a voxel lies in.
fn slice_of(voxel: usize, [width, height, _]: [usize; 3], axis: usize) -> usize {
    match axis {
        0 => voxel % width,
        1 => voxel / width % height,
        _ => voxel / (width * height),
    }
}

/// Whether each slice along `axis` has ground truth.
fn labelled_slices(truth: &[u8], dims: [usize; 3], axis: usize) -> Vec<bool> {
    let mut labelled = vec![false; dims.get(axis).copied().unwrap_or(0)];
    for (voxel, _) in truth.iter().enumerate().filter(|(_, value)| **value > 0) {
        if let Some(found) = labelled.get_mut(slice_of(voxel, dims, axis)) {
            *found = true;
        }
    }
    labelled
}

/// Clears a prediction on slices along `axis` that are not `labelled`, which the native protocol does not
/// score.
fn clear_unlabelled(prediction: &mut [u8], labelled: &[bool], dims: [usize; 3], axis: usize) {
    for (voxel, value) in prediction.iter_mut().enumerate().filter(|(_, value)| **value > 0) {
        if !labelled.get(slice_of(voxel, dims, axis)).is_some_and(|found| *found) {
            *value = 0;
        }
    }
}

/// The voxel grid of the stacked masks of case `index`, with spacing in mm. The spacing follows from the
/// volume's, which the cache does not hold, so the image file is read.
pub(super) fn stack_grid(
    cache: &FeatureCache,
    index: usize,
    case: &CacheCase,
    read: &ReadOptions,
) -> Result<VoxelGrid> {
    let recipe = &cache.header().recipe;
    let image = cache.image_path(index)?;
    let options = recipe.read_options(read);
    check_unchanged(&image, Some(case.image_blake3.as_str()), &options)?;
    let side = recipe.spec.mask_side();
    let [x, y, z] =
        recipe.preprocess.mask_spacing(load_volume(&image, &options)?.value.grid(), side)?;
    Ok(VoxelGrid { spacing_mm: [z, y, x], ..unit_grid(cache, case) })
}

/// The same grid with a spacing of 1, for metrics that need no spacing.
pub(super) fn unit_grid(cache: &FeatureCache, case: &CacheCase) -> VoxelGrid {
    let side = cache.header().recipe.spec.mask_side();
    VoxelGrid { shape: [case.slices, side, side], spacing_mm: [1.0; 3] }
}

/// Refuses a file that has changed since the features were computed.
fn check_unchanged(path: &Path, blake3: Option<&str>, options: &ReadOptions) -> Result<()> {
    if blake3 == Some(hash_with(path, options)?.as_str()) {
        return Ok(());
    }
    Err(Error::file(path, "it has changed since its features were computed; run embed again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_with_ground_truth_are_scored_by_class() {
        // By hand, three slices of two voxels: class 1 has Dice 2/3 with the empty slice and 1 without,
        // class 2 has 1 in both; merged into one foreground it would be 1 as well.
        let pair = CasePair {
            prediction: vec![1, 2, 1, 0, 0, 0],
            truth: vec![1, 2, 0, 0, 0, 0],
            grid: VoxelGrid { shape: [3, 1, 2], spacing_mm: [1.0; 3] },
            voxel_ml: None,
            spacing_mm: None,
            slice_axis: Some(2),
            scored: None,
        };
        let found = pair.empty_slices(2).unwrap();
        assert_eq!((found.slices, found.with_mask, found.labelled_dice), (2, 1, 1.0));
        // Exchanged classes are wrong although the foreground is right.
        let exchanged = CasePair { prediction: vec![2, 1, 0, 0, 0, 0], ..pair };
        assert_eq!(exchanged.empty_slices(2).unwrap().labelled_dice, 0.0);
        assert_eq!(exchanged.empty_slices(1).unwrap().labelled_dice, 1.0);
    }
}
