//! Options of prediction: postprocessing, and files written next to a mask.

use crate::{Error, Result};
use desam_data::postprocess::PostprocessConfig;
use desam_data::preprocess::Interpolation;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Options of prediction: postprocessing of the mask, and extra files. All off by default.
///
/// Files next to a mask are named after it: `t2.nii.gz` gets `t2.probability.nii.gz`,
/// `t2.iou.nii.gz`, `t2.slice012.png` and `t2.json`. Maps are NIfTI whatever the mask's format; next to a
/// mask that is a two-dimensional image they are TIFF of f32 (`photo.probability.tif`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PredictOptions {
    /// Postprocessing of the mask on the volume's own grid, before it is written and measured.
    pub postprocess: PostprocessConfig,
    /// Interpolation of the mask on the volume's own grid. `None` is that of the model's preprocessing:
    /// linear, of the logits before they are thresholded, or the nearest pixel for the official
    /// program's ([`PreprocessConfig::mask_interpolation`]).
    ///
    /// [`PreprocessConfig::mask_interpolation`]: desam_data::preprocess::PreprocessConfig::mask_interpolation
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_interpolation: Option<Interpolation>,
    /// Matches the intensities of each volume to those of the training volumes, by histogram
    /// ([`MatchingTable`](desam_data::preprocess::MatchingTable)).
    pub match_source: bool,
    /// Probability map, f32 from 0 to 1: the sigmoid of the logits of each slice's selected mask,
    /// linearly interpolated; 0 on slices without a mask and outside a crop. Small regions are not
    /// removed here, and `postprocess` is not applied.
    pub probability: bool,
    /// Map of predicted IoUs, f32: each voxel has that of the grid point whose cell it lies in (of the
    /// one box in whole box mode), PRIM's output without a sigmoid; 0 outside a crop.
    pub iou_map: bool,
    /// Agreement of grid points: that of five other points with the selected one
    /// on each slice, which takes as many more masks to decode
    /// ([`Segmentation::agreement`](super::Segmentation::agreement)).
    pub agreement: bool,
    /// PNG overlays: slices with the outline of the mask.
    pub overlay: Option<SliceChoice>,
    /// A JSON report about the volume: see [`VolumeReport`](super::VolumeReport).
    pub json: bool,
}

impl PredictOptions {
    /// Sets [`postprocess`](Self::postprocess).
    #[must_use]
    pub fn with_postprocess(self, postprocess: PostprocessConfig) -> Self {
        Self { postprocess, ..self }
    }

    /// Sets [`mask_interpolation`](Self::mask_interpolation).
    #[must_use]
    pub fn with_mask_interpolation(self, mask_interpolation: Option<Interpolation>) -> Self {
        Self { mask_interpolation, ..self }
    }

    /// Sets [`match_source`](Self::match_source).
    #[must_use]
    pub fn with_match_source(self, match_source: bool) -> Self {
        Self { match_source, ..self }
    }

    /// Sets [`probability`](Self::probability).
    #[must_use]
    pub fn with_probability(self, probability: bool) -> Self {
        Self { probability, ..self }
    }

    /// Sets [`iou_map`](Self::iou_map).
    #[must_use]
    pub fn with_iou_map(self, iou_map: bool) -> Self {
        Self { iou_map, ..self }
    }

    /// Sets [`agreement`](Self::agreement).
    #[must_use]
    pub fn with_agreement(self, agreement: bool) -> Self {
        Self { agreement, ..self }
    }

    /// Sets [`overlay`](Self::overlay).
    #[must_use]
    pub fn with_overlay(self, overlay: Option<SliceChoice>) -> Self {
        Self { overlay, ..self }
    }

    /// Sets [`json`](Self::json).
    #[must_use]
    pub fn with_json(self, json: bool) -> Self {
        Self { json, ..self }
    }

    /// Checks every option.
    ///
    /// # Errors
    /// When the overlay's list of slices is empty.
    pub fn validate(&self) -> Result<()> {
        match &self.overlay {
            Some(SliceChoice::Listed(slices)) if slices.is_empty() => {
                Err(Error::Invalid("an overlay of chosen slices needs at least one slice".into()))
            }
            _ => Ok(()),
        }
    }
}

/// Slices of a volume, counted from 0 along the axis they are cut along, as the file is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceChoice {
    /// All of them.
    All,
    /// The middle one of those with a mask; the volume's middle slice if there is none.
    Middle,
    /// Slices with these indices.
    #[serde(rename = "these")]
    Listed(Vec<usize>),
}

impl FromStr for SliceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => return Ok(Self::All),
            "middle" => return Ok(Self::Middle),
            _ => {}
        }
        let numbers: Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
        numbers.map(Self::Listed).map_err(|_| {
            let expected = "all, middle, or slices counted from 0 such as 3,7,12";
            Error::Invalid(format!("slices {text:?}: expected {expected}"))
        })
    }
}

impl SliceChoice {
    /// Checks that a volume of `slices` slices has the chosen ones.
    ///
    /// # Errors
    /// Naming the first that it lacks.
    pub(super) fn check(&self, slices: usize) -> Result<()> {
        let Self::Listed(listed) = self else {
            return Ok(());
        };
        match listed.iter().find(|n| **n >= slices) {
            None => Ok(()),
            Some(n) => Err(Error::Invalid(format!(
                "an overlay of slice {n} is requested; the volume's slices are 0 to {}",
                slices.saturating_sub(1)
            ))),
        }
    }

    /// The slices, in rising order, of a volume that has a mask on slices `with_mask` of `slices`.
    pub(super) fn of(&self, slices: usize, with_mask: &[usize]) -> Vec<usize> {
        match self {
            Self::All => (0..slices).collect(),
            Self::Middle => {
                vec![with_mask.get(with_mask.len() / 2).copied().unwrap_or(slices / 2)]
            }
            Self::Listed(listed) => {
                let mut listed = listed.clone();
                listed.sort_unstable();
                listed.dedup();
                listed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_chosen() {
        let read = |text: &str| text.parse::<SliceChoice>().unwrap();
        assert_eq!(read("all").of(3, &[]), [0, 1, 2]);
        assert_eq!(read("middle").of(9, &[2, 3, 4]), [3]);
        assert_eq!(read("middle").of(9, &[]), [4]);
        assert_eq!(read("12, 3,7,3").of(20, &[1]), [3, 7, 12]);
        for wrong in ["", "some", "3,", "-1", "3-7"] {
            assert!(wrong.parse::<SliceChoice>().is_err(), "{wrong}");
        }
        let refused = read("3,19").check(19).unwrap_err().to_string();
        assert!(refused.contains("slice 19") && refused.contains("0 to 18"), "{refused}");
        assert!(read("3,18").check(19).is_ok() && read("all").check(0).is_ok());
        let none = Some(SliceChoice::Listed(Vec::new()));
        assert!(PredictOptions { overlay: none, ..PredictOptions::default() }.validate().is_err());
    }

    #[test]
    fn options_read_as_written_and_may_be_left_out() {
        let options = PredictOptions {
            overlay: Some(SliceChoice::Listed(vec![3])),
            json: true,
            ..PredictOptions::default()
        };
        let text = serde_json::to_string(&options).unwrap();
        assert!(text.contains(r#""overlay":{"these":[3]}"#), "{text}");
        assert_eq!(serde_json::from_str::<PredictOptions>(&text).unwrap(), options);
        let read = |text| serde_json::from_str::<PredictOptions>(text);
        assert_eq!(read("{}").unwrap(), PredictOptions::default());
        assert_eq!(read(r#"{"overlay":"all"}"#).unwrap().overlay, Some(SliceChoice::All));
        assert!(read(r#"{"overlays":"all"}"#).is_err());
    }
}
