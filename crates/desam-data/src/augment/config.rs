//! Configuration of image augmentation.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Ranges of the random augmentation of a slice; zero disables a change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageAugment {
    /// Probability of a left-right flip.
    pub flip_columns: f64,
    /// Probability of a top-bottom flip.
    pub flip_rows: f64,
    /// Largest rotation either way, in degrees.
    pub rotation_deg: f64,
    /// Largest change of size: the factor is between `1 / (1 + scale)` and `1 + scale`, evenly in
    /// its logarithm.
    pub scale: f64,
    /// Largest shift either way along rows and columns, as a share of the side.
    pub shift: f64,
    /// Intensities `v` in 0..1 become `v^γ`, `ln γ` being at most this either way.
    pub gamma: f64,
    /// Intensities are multiplied by the exponential of a smooth field that is at most this either
    /// way: what an uneven coil does.
    pub bias_field: f64,
    /// Largest standard deviation of added noise, in grey levels of 256.
    pub noise: f64,
}

impl ImageAugment {
    /// No augmentation.
    pub fn none() -> Self {
        Self {
            flip_columns: 0.0,
            flip_rows: 0.0,
            rotation_deg: 0.0,
            scale: 0.0,
            shift: 0.0,
            gamma: 0.0,
            bias_field: 0.0,
            noise: 0.0,
        }
    }

    /// Usual augmentation of axial MR, chosen for this project: the paper names none. A patient is
    /// never flipped upside down.
    pub fn regular() -> Self {
        Self {
            flip_columns: 0.5,
            flip_rows: 0.0,
            rotation_deg: 15.0,
            scale: 0.2,
            shift: 0.06,
            gamma: 0.4,
            bias_field: 0.3,
            noise: 6.0,
        }
    }

    /// Whether image and mask may move.
    pub(super) fn moves(&self) -> bool {
        let spatial =
            [self.flip_columns, self.flip_rows, self.rotation_deg, self.scale, self.shift];
        spatial.iter().any(|range| *range > 0.0)
    }

    /// Validates the settings.
    ///
    /// # Errors
    /// [`Error::AugmentConfig`] naming the field that does not.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("flip_columns", self.flip_columns, 1.0),
            ("flip_rows", self.flip_rows, 1.0),
            ("rotation_deg", self.rotation_deg, 180.0),
            ("scale", self.scale, 4.0),
            ("shift", self.shift, 0.5),
            ("gamma", self.gamma, 3.0),
            ("bias_field", self.bias_field, 3.0),
            ("noise", self.noise, 128.0),
        ];
        match fields.into_iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((field, found, most)) => Err(Error::AugmentConfig { field, found, most }),
            None => Ok(()),
        }
    }
}
