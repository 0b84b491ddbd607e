//! Configuration of preprocessing.

use super::{Interpolation, Orientation, PreparedVolume};
use crate::{Error, Result};
use desam_core::{EncoderSpec, Volume};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Spacings that volumes can be resampled to, in mm. A voxel of more swallows an organ, and one of
/// less makes thousands of slices of it.
pub const SPACING_MM: RangeInclusive<f64> = 0.01..=100.0;

/// Square region of interest of a slice: stretching, or resampling with a centre crop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Frame {
    /// The whole slice, stretched to the side `M` of the decoder's masks (256 for SAM) by cubic
    /// splines with smoothing before shrinking, as the official program does.
    MaskSide,
    /// The whole slice, stretched to the side `S` of the encoder's input (1024 for SAM) in the same way:
    /// an image of a thousand pixels keeps its detail.
    InputSide,
    /// The middle of the slice, cropped or padded with zeros, unscaled.
    Crop {
        /// Side of the image, in (resampled) pixels.
        side: usize,
    },
}

desam_core::named! {
    /// Downsampling of the ground truth to the `M × M` grid of the masks.
    pub enum LabelRule: "label rule" {
        /// The nearest pixel: labels keep their volume.
        Nearest = "nearest",
        /// The nearest pixel of a mask that has first lost its rim; for parity with the official program
        /// alone, since a model that is trained on such masks draws less than the organ. The official
        /// program smooths the whole-numbered mask before shrinking it, and cutting off the decimals
        /// leaves only pixels that are foreground as far as the Gaussian reaches: `int(4σ + 0.5)` pixels
        /// with `σ = (factor - 1) / 2`. That is one pixel for 384 → 256, nothing where a slice is
        /// enlarged, but ten pixels for 384 → 64.
        Eroded = "eroded",
    }
}

/// Preprocessing configuration of volumes. Part of the feature cache's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessConfig {
    /// Percentile clipping: percentiles of all voxels of a volume that become 0 and 255; values beyond
    /// are clipped. Not applied to colour.
    pub percentiles: [f64; 2],
    /// Whether voxels that are exactly 0 stay 0 whatever the percentiles (matters where there are
    /// negative intensities).
    pub keep_zeros: bool,
    /// Spacing along columns, rows and slices to resample to, in mm; `None` keeps the volume's own.
    /// About the volume's middle, whose directions stay, so that oblique volumes stay oblique
    /// ([`PreparedVolume::frame_grid`]). Images are resampled linearly; labels, and masks on their
    /// way back, take the nearest.
    pub spacing_mm: Option<[f64; 3]>,
    /// Square frame of a slice.
    pub frame: Frame,
    /// Rule for downsampling the ground truth to the masks' grid.
    pub labels: LabelRule,
    /// Slice orientation: the axes that become columns, rows and slices. [`Orientation::Stored`] is
    /// not serialised, so that configurations of older versions keep their key.
    #[serde(default, skip_serializing_if = "Orientation::is_stored")]
    pub orientation: Orientation,
}

impl PreprocessConfig {
    /// The paper, and the default of this program: 0.625 × 0.625 × 3.6 mm, the middle 288 × 288
    /// pixels, intensities in \[0, 1\]; labels keep their volume ([`LabelRule::Nearest`]).
    /// The paper does not say how they get there: by the volume's minimum and maximum after the
    /// official program's clip to the 0.5th and 99.5th percentile, in 255 steps for SAM's input.
    pub fn paper() -> Self {
        Self {
            percentiles: [0.5, 99.5],
            keep_zeros: false,
            spacing_mm: Some([0.625, 0.625, 3.6]),
            frame: Frame::Crop { side: 288 },
            labels: LabelRule::Nearest,
            orientation: Orientation::Axial,
        }
    }

    /// The official program: the volume's own spacing, the 0.5th and 99.5th percentile of all its
    /// voxels to 0 and 255 with the decimals cut off, zeros kept, slices stretched to `M × M`. For
    /// parity, and for checkpoints of that program: its label rule erodes masks that are made smaller
    /// ([`LabelRule::Eroded`]). It cuts slices as they are stored, which for its own data (LPS) is what
    /// [`Orientation::Axial`] gives; [`stored`](Self::stored) holds to it for every file.
    pub fn official() -> Self {
        Self {
            percentiles: [0.5, 99.5],
            keep_zeros: true,
            spacing_mm: None,
            frame: Frame::MaskSide,
            labels: LabelRule::Eroded,
            orientation: Orientation::Axial,
        }
    }

    /// The default for two-dimensional images, which have no millimetres: the whole image, stretched to
    /// the encoder's input. Colour is taken as it is; grey is clipped to its percentiles, as the slices
    /// of volumes are.
    pub fn image() -> Self {
        Self { spacing_mm: None, frame: Frame::InputSide, ..Self::paper() }
    }

    /// The same with slices cut as they are stored, whatever the affine says.
    #[must_use]
    pub fn stored(self) -> Self {
        Self { orientation: Orientation::Stored, ..self }
    }

    /// How masks come back to the volume's own grid unless the caller says otherwise: the nearest pixel
    /// for the official program's preprocessing, as in that program, else linear interpolation of the
    /// logits ([`SmoothMask`](super::SmoothMask)).
    pub fn mask_interpolation(&self) -> Interpolation {
        let official = Self::official();
        if *self == official || *self == official.stored() {
            Interpolation::Nearest
        } else {
            Interpolation::Linear
        }
    }

    /// Short description of the configuration: the name of the preset, or all of its fields as JSON.
    pub fn summary(&self) -> String {
        let presets =
            [("paper", Self::paper()), ("official", Self::official()), ("image", Self::image())];
        let preset = presets.iter().find(|(_, preset)| preset == self);
        let json = || serde_json::to_string(self).unwrap_or_else(|_| format!("{self:?}"));
        preset.map_or_else(json, |(name, _)| (*name).to_owned())
    }

    /// Validates the fields.
    ///
    /// # Errors
    /// [`Error::PreprocessConfig`] naming the field that does not.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field, found: String, expected| {
            Err(Error::PreprocessConfig { field, found, expected })
        };
        let [low, high] = self.percentiles;
        if !(0.0 <= low && low < high && high <= 100.0) {
            let found = format!("{:?}", self.percentiles);
            return refuse("percentiles", found, "0 <= low < high <= 100");
        }
        if let Some(spacing) = self.spacing_mm
            && spacing.iter().any(|s| !SPACING_MM.contains(s))
        {
            return refuse(
                "spacing_mm",
                format!("{spacing:?}"),
                "three lengths from 0.01 to 100 mm",
            );
        }
        if let Frame::Crop { side } = self.frame
            && !(1..=8192).contains(&side)
        {
            return refuse("frame.crop.side", side.to_string(), "a side from 1 to 8192");
        }
        Ok(())
    }

    /// Prepares a volume for the encoder that `spec` describes. Done once a volume; its slices
    /// are then made on demand. Needs a few times the volume's own memory.
    ///
    /// # Errors
    /// When the configuration or `spec` makes no sense, when a voxel is not finite
    /// ([`Error::NotFinite`]), or when the spacing is such that resampling is out of the question
    /// ([`Error::Geometry`]).
    pub fn prepare(&self, volume: &Volume, spec: &EncoderSpec) -> Result<PreparedVolume> {
        PreparedVolume::new(self, volume, spec)
    }
}
