//! Voxel maps of probabilities and predicted IoUs, filled slice by slice.

use super::{PredictOptions, SliceEvidence};
use crate::Result;
use desam_core::Volume;
use desam_data::preprocess::{Interpolation, PreparedVolume, VoxelMap};

/// The maps that the options ask for.
pub(super) struct Maps<'a> {
    probability: Option<VoxelMap<'a>>,
    iou: Option<VoxelMap<'a>>,
}

impl<'a> Maps<'a> {
    pub(super) fn new(options: &PredictOptions, prepared: &'a PreparedVolume) -> Result<Self> {
        let map = |wanted: bool| wanted.then(|| prepared.map()).transpose();
        Ok(Self { probability: map(options.probability)?, iou: map(options.iou_map)? })
    }

    pub(super) fn put(&mut self, z: usize, evidence: &SliceEvidence) -> Result<()> {
        if let Some(map) = &mut self.probability
            && !evidence.logits.is_empty()
        {
            map.put(z, &evidence.probabilities(), Interpolation::Linear)?;
        }
        if let Some(map) = &mut self.iou {
            map.put(z, &evidence.ious, Interpolation::Nearest)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(Option<Volume>, Option<Volume>)> {
        let probability = self.probability.map(VoxelMap::finish).transpose()?;
        Ok((probability, self.iou.map(VoxelMap::finish).transpose()?))
    }
}
