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

/// Surface distances of a pair of masks, neither of them empty, computed lazily and once.
#[derive(Debug, Default)]
pub(super) struct Surfaces {
    crop: OnceCell<Crop>,
    voxels: OnceCell<Distances>,
    elements: OnceCell<Distances>,
}

impl Surfaces {
    /// Distances between surface voxels, as in medpy.
    pub(super) fn voxels(&self, pair: &MaskPair<'_>) -> &Distances {
        self.voxels.get_or_init(|| voxels::distances(self.crop(pair), pair.grid().spacing_mm))
    }

    /// Distances between surface elements, as in surface-distance.
    pub(super) fn elements(&self, pair: &MaskPair<'_>) -> &Distances {
        self.elements.get_or_init(|| elements::distances(self.crop(pair), pair.grid().spacing_mm))
    }

    fn crop(&self, pair: &MaskPair<'_>) -> &Crop {
        self.crop.get_or_init(|| Crop::new(pair))
    }
}
