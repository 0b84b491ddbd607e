//! A case's masks and the truth they are held to, on one grid: the stack of the `M × M` masks under
//! the paper protocol, the label file's voxels under the full one.

use crate::{Error, Result};
use desam_core::{BinaryMask, Progress};
use desam_data::cache::{CacheCase, FeatureCache, SliceRef};
use desam_data::volumes::{ReadOptions, align_labels, hash_with, load_labels_of, load_volume};
use desam_metrics::metric::{MaskPair, VoxelGrid};
use std::path::Path;

/// Prediction and truth of a whole case.
pub(super) struct CasePair {
    prediction: Vec<u8>,
    truth: Vec<u8>,
    pub(super) grid: VoxelGrid,
    /// Volume of a voxel, in ml, where the label file says it.
    pub(super) voxel_ml: Option<f64>,
}

impl CasePair {
    /// Both, to be measured.
    pub(super) fn masks(&self) -> Result<MaskPair<'_>> {
        Ok(MaskPair::new(&self.prediction, &self.truth, self.grid)?)
    }

    /// The masks of some processed slices of a case, stacked where the slices are, beside the
    /// cached truth. Slices that are not scored hold nothing on either side.
    pub(super) fn stacked(
        cache: &FeatureCache,
        (slices, masks): (&[SliceRef], &[BinaryMask]),
        grid: VoxelGrid,
    ) -> Result<Self> {
        let [_, height, width] = grid.shape;
        let (page, voxels) = (height * width, grid.voxels().unwrap_or(0));
        let (mut prediction, mut truth) = (vec![0; voxels], vec![0; voxels]);
        for (slice, mask) in slices.iter().zip(masks) {
            let at = slice.z * page..(slice.z + 1) * page;
            for (stack, mask) in [(&mut prediction, mask), (&mut truth, &cache.mask(slice)?)] {
                let place = stack.get_mut(at.clone()).filter(|p| p.len() == mask.data().len());
                let shape = || desam_core::Error::shape("masks", page, mask.data().len());
                place.ok_or_else(shape)?.copy_from_slice(mask.data());
            }
        }
        Ok(Self { prediction, truth, grid, voxel_ml: None })
    }

    /// The masks of all processed slices of case `index`, back on the volume's own grid, beside its
    /// label file.
    pub(super) fn restored(
        cache: &FeatureCache,
        index: usize,
        case: &CacheCase,
        masks: &[BinaryMask],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let recipe = &cache.header().recipe;
        let options = recipe.read_options();
        let (image, label) = (cache.image_path(index)?, cache.label_path(index)?);
        unchanged(&image, Some(case.image_blake3.as_str()), &options)?;
        unchanged(&label, case.label_blake3.as_deref(), &options)?;
        let image = load_volume(&image, &options)?;
        let truth = load_labels_of(&label, &options, image.value.grid())?;
        let truth = align_labels(&image, truth, &label)?.report(progress);
        let prepared = recipe.preprocess.prepare(&image.report(progress), &recipe.spec)?;
        let predicted = prepared.restore(masks)?;
        let found = *truth.grid();
        Ok(Self {
            prediction: predicted.data().to_vec(),
            truth: truth.data().to_vec(),
            grid: VoxelGrid::from(&found),
            voxel_ml: Some(found.voxel_mm3() / 1000.0),
        })
    }
}

/// The grid of the masks of all processed slices of case `index`. How far apart their pixels are
/// follows from the volume's own spacing, which the cache does not hold: the image file says.
pub(super) fn stack_grid(
    cache: &FeatureCache,
    index: usize,
    case: &CacheCase,
) -> Result<VoxelGrid> {
    let recipe = &cache.header().recipe;
    let image = cache.image_path(index)?;
    let options = recipe.read_options();
    unchanged(&image, Some(case.image_blake3.as_str()), &options)?;
    let side = recipe.spec.mask_side();
    let [x, y, z] =
        recipe.preprocess.mask_spacing(load_volume(&image, &options)?.value.grid(), side)?;
    Ok(VoxelGrid { spacing_mm: [z, y, x], ..pixels(cache, case) })
}

/// The same where nobody asks for millimetres.
pub(super) fn pixels(cache: &FeatureCache, case: &CacheCase) -> VoxelGrid {
    let side = cache.header().recipe.spec.mask_side();
    VoxelGrid { shape: [case.slices, side, side], spacing_mm: [1.0; 3] }
}

/// Refuses a file that is not the one the features were made from.
fn unchanged(path: &Path, blake3: Option<&str>, options: &ReadOptions) -> Result<()> {
    if blake3 == Some(hash_with(path, options)?.as_str()) {
        return Ok(());
    }
    Err(Error::file(path, "it has changed since its features were computed; run embed again"))
}
