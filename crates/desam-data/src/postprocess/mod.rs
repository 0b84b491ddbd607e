//! Postprocessing of a mask on its volume's own grid: largest connected component, hole filling. Off by
//! default: the mask is then the model's output.

mod connected_components;
mod holes;
#[cfg(test)]
mod tests;

use crate::{Error, Result};
use connected_components::{ConnectedComponents, Connectivity};
use desam_core::LabelVolume;
use serde::{Deserialize, Serialize};

/// Postprocessing steps, applied in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostprocessConfig {
    /// Keeps the largest connected component and drops the others. Voxels that share a face, an edge or
    /// a corner are connected (26 neighbours). Of components of equal size the one that is stored first
    /// stays.
    pub largest_component: bool,
    /// Fills what the foreground encloses.
    pub fill_holes: Option<Holes>,
}

desam_core::named! {
    /// Definition of a hole in the background.
    pub enum Holes: "holes" {
        /// Hole in 3-D: background not 6-connected to the border of the volume (a cavity). An axis
        /// of one voxel has no border.
        Volume = "volume",
        /// Hole in 2-D: background not 4-connected to the border of its slice, which includes
        /// tunnels from slice to slice. Slices are those that the model sees.
        Slices = "slices",
    }
}

impl PostprocessConfig {
    /// Whether masks stay as they are.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// Applies the steps to each label of a mask; a hole is filled with the label around it, and keeps what
    /// it holds of other labels. `slice_axis` is the axis that slices are cut along
    /// ([`PreparedVolume::slice_axis`](crate::preprocess::PreparedVolume::slice_axis)).
    ///
    /// # Errors
    /// When there is no such axis.
    pub fn apply(&self, mask: LabelVolume, slice_axis: usize) -> Result<LabelVolume> {
        if slice_axis > 2 {
            let found = format!("axis {slice_axis}");
            let choices = "0, 1, 2";
            return Err(Error::Choice { what: "axis of the slices", found, choices });
        }
        if self.is_off() {
            return Ok(mask);
        }
        let grid = *mask.grid();
        let labels = mask.labels();
        let mut data = mask.into_data();
        for label in labels {
            let mut plane: Vec<u8> = data.iter().map(|&v| u8::from(v == label)).collect();
            self.apply_to_plane(&mut plane, grid.dims, slice_axis);
            for (value, inside) in data.iter_mut().zip(plane) {
                match (*value == label, inside > 0) {
                    (true, false) => *value = 0,
                    (false, true) if *value == 0 => *value = label,
                    _ => {}
                }
            }
        }
        Ok(LabelVolume::new(grid, data)?)
    }

    /// The steps on a volume of 0 and 1.
    fn apply_to_plane(&self, data: &mut [u8], dims: [usize; 3], slice_axis: usize) {
        if self.largest_component {
            let parts = ConnectedComponents::of(data, dims, 1, Connectivity::All);
            let largest = parts.largest();
            parts.paint(data, 0, |part| Some(part) != largest);
        }
        match self.fill_holes {
            None => {}
            Some(Holes::Volume) => holes::fill(data, dims),
            Some(Holes::Slices) => holes::fill_slices(data, dims, slice_axis),
        }
    }
}
