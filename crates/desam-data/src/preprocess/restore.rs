//! Restoring masks and maps to the volume's own grid.

use super::axis::AxisMapping;
use super::linear::{LinearWeights, bilinear};
use super::prepared::PreparedVolume;
use super::slice_geometry::SliceGeometry;
use crate::Result;
use desam_core::{Error as CoreError, LabelMask, LabelVolume, Volume};
use desam_volume::fallible;
use std::borrow::Borrow;

/// Processed slices as far from a slice of the volume as this, in slices, count as equally far. 3 mm
/// resampled to 3.6 mm has such ties in every third slice, and the last digits of a spacing must not
/// decide them: on a prostate they are worth 3 % of the volume.
const TIE: f64 = 1e-5;

desam_core::named! {
    /// Interpolation: how to sample between pixel centres.
    pub enum Interpolation: "interpolation" {
        /// Nearest neighbour.
        Nearest = "nearest",
        /// Linear interpolation of the nearest samples.
        Linear = "linear",
    }
}

impl PreparedVolume {
    /// Labels of all processed slices, `M × M` each, back on the volume's own grid: every voxel takes the
    /// nearest mask pixel, and is background where the crop has cut it off.
    ///
    /// # Errors
    /// When there is not one mask a processed slice, or one is not `M × M`.
    pub fn restore<B: Borrow<LabelMask>>(&self, masks: &[B]) -> Result<LabelVolume> {
        self.geometry().restore(masks)
    }

    /// An empty map of one number a voxel, to be filled slice by slice; 0 where nothing is put.
    ///
    /// # Errors
    /// [`Allocation`](desam_volume::Error::Allocation) when there is no memory for it.
    pub fn map(&self) -> Result<VoxelMap<'_>> {
        let data = fallible::filled(0.0, self.grid().len())?;
        Ok(VoxelMap { geometry: self.geometry(), data })
    }
}

impl SliceGeometry {
    /// As [`PreparedVolume::restore`].
    pub(super) fn restore<B: Borrow<LabelMask>>(&self, masks: &[B]) -> Result<LabelVolume> {
        if masks.len() != self.len() {
            return Err(CoreError::shape("masks to restore", self.len(), masks.len()).into());
        }
        let side = self.mask_side();
        let size = |m: &LabelMask| (m.height(), m.width());
        if let Some(odd) = masks.iter().map(|m| size(m.borrow())).find(|s| *s != (side, side)) {
            return Err(CoreError::shape("mask to restore", (side, side), odd).into());
        }
        let [columns, rows] = self.places(side).map(|places| {
            places.into_iter().map(|p| p.map(|p| nearest(p, side))).collect::<Vec<_>>()
        });
        let mut data = fallible::with_capacity(self.grid().len())?;
        for k in 0..self.dims()[2] {
            let mask = self.processed(k).and_then(|z| masks.get(z)).map(Borrow::borrow);
            for row in &rows {
                let line = mask.zip(*row).and_then(|(m, r)| m.data().get(r * side..(r + 1) * side));
                let line = line.unwrap_or_default();
                let value = |c: &Option<usize>| c.and_then(|c| line.get(c)).copied().unwrap_or(0);
                data.extend(columns.iter().map(value));
            }
        }
        Ok(LabelVolume::new(*self.grid(), self.order().undo(self.grid().dims, data)?)?)
    }

    /// The processed slice that is nearest to slice `k`, in the order in which slices are cut.
    pub(super) fn processed(&self, k: usize) -> Option<usize> {
        self.axes()[2].to_frame(k).map(|z| (z + 0.5 + TIE) as usize)
    }

    /// Sampling coordinates of each column and row of the volume on a plane of `side × side` pixels
    /// that covers the frame, in pixels from its edge; `None` outside the crop.
    pub(super) fn places(&self, side: usize) -> [Vec<Option<f64>>; 2] {
        let place = |axis: AxisMapping| {
            let scale = side as f64 / axis.frame as f64;
            (0..axis.source).map(|s| Some((axis.to_frame(s)? + 0.5) * scale)).collect()
        };
        let [columns, rows, _] = self.axes();
        [place(columns), place(rows)]
    }

    /// Weights with which each column and row of the volume samples such a plane; `None` outside the
    /// crop.
    pub(super) fn sampling(
        &self,
        side: usize,
        interpolation: Interpolation,
    ) -> [Vec<Option<LinearWeights>>; 2] {
        let weights = |place: f64| match interpolation {
            Interpolation::Nearest => LinearWeights::sample(nearest(place, side)),
            Interpolation::Linear => linear(place, side),
        };
        self.places(side).map(|places| places.into_iter().map(|p| p.map(weights)).collect())
    }
}

/// Weights of the two pixels around a place on a plane of `side` pixels, from its edge.
pub(super) fn linear(place: f64, side: usize) -> LinearWeights {
    LinearWeights::new(place - 0.5, side.saturating_sub(1))
}

pub(super) fn nearest(place: f64, side: usize) -> usize {
    (place.max(0.0) as usize).min(side.saturating_sub(1))
}

/// A number for each voxel of a volume, from one plane a processed slice: a probability, a
/// predicted IoU. Planes go in one by one and need not be kept.
#[derive(Debug)]
pub struct VoxelMap<'a> {
    geometry: &'a SliceGeometry,
    /// In the order in which slices are cut.
    data: Vec<f32>,
}

impl VoxelMap<'_> {
    /// Puts the plane of processed slice `z` where masks of that slice go: a square of any side
    /// over the whole frame, row by row. Along slices the nearest plane counts, as it does for
    /// masks.
    ///
    /// # Errors
    /// When there is no such slice, or the plane is no square.
    pub fn put(&mut self, z: usize, plane: &[f32], interpolation: Interpolation) -> Result<()> {
        let geometry = self.geometry;
        if z >= geometry.len() {
            return Err(crate::Error::SliceIndex { index: z, len: geometry.len() });
        }
        let side = plane.len().isqrt();
        if side == 0 || side * side != plane.len() {
            return Err(CoreError::shape("plane to restore", (side, side), plane.len()).into());
        }
        let [columns, rows] = geometry.sampling(side, interpolation);
        let [width, height, depth] = geometry.dims();
        for k in (0..depth).filter(|k| geometry.processed(*k) == Some(z)) {
            let slice = self.data.chunks_exact_mut(width).skip(k * height);
            for (line, row) in slice.zip(&rows) {
                for (cell, column) in line.iter_mut().zip(&columns) {
                    *cell = column.zip(*row).map_or(0.0, |(x, y)| bilinear(plane, side, x, y));
                }
            }
        }
        Ok(())
    }

    /// The map on the volume's own grid.
    ///
    /// # Errors
    /// [`Allocation`](desam_volume::Error::Allocation) when there is no memory for it.
    pub fn finish(self) -> Result<Volume> {
        let grid = *self.geometry.grid();
        Ok(Volume::new(grid, self.geometry.order().undo(grid.dims, self.data)?)?)
    }
}
