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
    /// Grey values, row by row, in the intensity window that the model's input was made with; of a colour
    /// image those of red, then of green, then of blue.
    pub image: Vec<u8>,
    /// The labels of the mask, row by row.
    pub mask: Vec<u8>,
}

impl PreparedVolume {
    /// The stored axis that slices are cut along: 0, 1 or 2 for `i`, `j` or `k`.
    pub fn slice_axis(&self) -> usize {
        self.geometry().order().slices()
    }

    /// The slice of the volume, counted from 0 along [`slice_axis`](Self::slice_axis) as the file is stored,
    /// that is nearest to processed slice `z`; `None` beyond the last one.
    pub fn nearest_stored_slice(&self, z: usize) -> Option<usize> {
        let [_, _, slices] = self.geometry().axes();
        let nearest = (z < self.len()).then(|| slices.nearest(z)).flatten()?;
        let [_, _, flipped] = self.geometry().order().flips();
        if flipped { slices.source.checked_sub(nearest + 1) } else { Some(nearest) }
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
        let places = || order.slice(self.grid().dims, index);
        let channels: Vec<&[f32]> = match volume.color() {
            None => vec![volume.data()],
            Some(color) => color.iter().map(Vec::as_slice).collect(),
        };
        let level = |v: Option<&f32>| v.map_or(0.0, |v| self.window().scale(*v));
        let rounded = |c: &[f32], at: usize| (level(c.get(at)) + 0.5) as u8;
        let image = channels.iter().flat_map(|c| places().map(|at| rounded(c, at))).collect();
        let labels = places().map(|at| mask.data().get(at).copied().unwrap_or(0)).collect();
        let spacing_mm = [column_mm, row_mm];
        Ok(SliceView { width, height, spacing_mm, image, mask: labels })
    }
}
