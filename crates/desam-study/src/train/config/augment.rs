//! Data augmentation: random changes of training slices.

use crate::{Error, Result};
use desam_data::augment::{FeatureAugment, ImageAugment};
use serde::{Deserialize, Serialize};

/// Data augmentation of training slices. Validation slices are never augmented.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// None, as in the paper and the official program, which compute features once.
    #[default]
    None,
    /// Augmentation of the cached features.
    Features(FeatureAugment),
    /// Augmentation of the image before the encoder, which must therefore run during training.
    Images(ImageAugment),
}

impl Augment {
    /// Whether there is no augmentation.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Checks the settings; `live` says that the encoder runs during training.
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
            Self::Images(_) => Err(Error::EncoderMustRun),
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

impl Augment {
    /// The names that [`FromStr`](std::str::FromStr) takes.
    pub const NAMES: [&'static str; 3] = ["none", "features", "images"];
}

impl std::str::FromStr for Augment {
    type Err = String;

    /// By name, with the regular ranges.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "features" => Ok(Self::Features(FeatureAugment::regular())),
            "images" => Ok(Self::Images(ImageAugment::regular())),
            other => Err(format!("augmentation {other:?}: expected none, features or images")),
        }
    }
}
