//! Random changes of training slices.

use crate::{Error, Result};
use desam_data::augment::{FeatureAugment, ImageAugment};
use serde::{Deserialize, Serialize};

/// What is changed of a training slice, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Nothing: as the paper and the official program, whose features are made once.
    #[default]
    None,
    /// The features.
    Features(FeatureAugment),
    /// The image that the encoder sees: the encoder must run while the decoder is trained.
    Images(ImageAugment),
}

impl Augment {
    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Whether the settings make sense; `live` says that the encoder runs.
    pub(super) fn validate(&self, live: bool) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Features(features) if !live => Ok(features.validate()?),
            Self::Features(_) => Err(Error::Invalid(
                "training: changes of features are for features from the cache; with an encoder \
                 that runs, change images"
                    .into(),
            )),
            Self::Images(images) if live => Ok(images.validate()?),
            Self::Images(_) => Err(Error::Invalid(
                "training: changed images have no features in the cache; let the encoder run \
                 (--no-cache)"
                    .into(),
            )),
        }
    }
}

impl std::fmt::Display for Augment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Features(_) => "features",
            Self::Images(_) => "images",
        })
    }
}

impl std::str::FromStr for Augment {
    type Err = String;

    /// Each by its name, with the regular ranges.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "features" => Ok(Self::Features(FeatureAugment::regular())),
            "images" => Ok(Self::Images(ImageAugment::regular())),
            other => Err(format!("augmentation {other:?}: expected none, features or images")),
        }
    }
}
