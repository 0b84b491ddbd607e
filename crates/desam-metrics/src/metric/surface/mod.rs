//! Surfaces of two masks and the distances between them.

mod areas;
mod crop;
mod distances;
mod edt;
mod elements;
mod envelope;
mod voxels;

use crop::Crop;
use std::cell::OnceCell;

pub(super) use distances::Distances;

use super::MaskPair;

/// The surfaces of a pair of masks, neither of them empty. What is asked for is computed once.
#[derive(Debug, Default)]
pub(super) struct Surfaces {
    crop: OnceCell<Crop>,
    voxels: OnceCell<Distances>,
    elements: OnceCell<Distances>,
}

impl Surfaces {
    /// Between surface voxels, as medpy has them.
    pub(super) fn voxels(&self, pair: &MaskPair<'_>) -> &Distances {
        self.voxels.get_or_init(|| voxels::distances(self.crop(pair), pair.grid().spacing_mm))
    }

    /// Between surface elements, as surface-distance has them.
    pub(super) fn elements(&self, pair: &MaskPair<'_>) -> &Distances {
        self.elements.get_or_init(|| elements::distances(self.crop(pair), pair.grid().spacing_mm))
    }

    fn crop(&self, pair: &MaskPair<'_>) -> &Crop {
        self.crop.get_or_init(|| Crop::new(pair))
    }
}
