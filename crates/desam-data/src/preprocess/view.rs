//! A volume's own slices, to look at.

use super::prepared::PreparedVolume;
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume};
use desam_volume::expect_same_grid;

/// A slice of a volume on its own grid with its mask, lying as the prepared slices lie: with axial
/// cuts the patient's right is left, anterior is up.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceView {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Millimetres from column to column and from row to row.
    pub spacing_mm: [f64; 2],
    /// Grey values, row by row: the intensity window that the model's input was made with.
    pub image: Vec<u8>,
    /// The mask, 0 and 1, row by row.
    pub mask: Vec<u8>,
}

impl PreparedVolume {
    /// The stored axis that slices are cut along: 0, 1 or 2 for `i`, `j` or `k`.
    pub fn slice_axis(&self) -> usize {
        self.geometry().order().slices()
    }

    /// Slice `index` of `volume` and of `mask`, counted from 0 along
    /// [`slice_axis`](Self::slice_axis) as the file is stored. `volume` is the one that was
    /// prepared.
    ///
    /// # Errors
    /// [`Error::SliceIndex`] beyond the last slice, [`GridMismatch`](desam_volume::Error::GridMismatch) when volume or mask lie
    /// on another grid.
    pub fn view(&self, volume: &Volume, mask: &LabelVolume, index: usize) -> Result<SliceView> {
        expect_same_grid(self.grid(), volume.grid())?;
        expect_same_grid(self.grid(), mask.grid())?;
        let order = self.geometry().order();
        let [width, height, depth] = self.geometry().dims();
        if index >= depth {
            return Err(Error::SliceIndex { index, len: depth });
        }
        let [column_mm, row_mm, _] = order.grid(self.grid()).spacing();
        let (mut image, mut labels) = (Vec::new(), Vec::new());
        for at in order.slice(self.grid().dims, index) {
            let level = volume.data().get(at).map_or(0.0, |v| self.window().scale(*v));
            image.push((level + 0.5) as u8);
            labels.push(mask.data().get(at).map_or(0, |v| u8::from(*v > 0)));
        }
        let spacing_mm = [column_mm, row_mm];
        Ok(SliceView { width, height, spacing_mm, image, mask: labels })
    }
}
