//! Data augmentation: random changes of training slices.

use crate::{Error, Result};
use desam_data::augment::{FeatureAugment, ImageAugment, StyleAugment, StyleStep};
use serde::{Deserialize, Serialize};

/// Data augmentation of training slices. Validation slices are never augmented.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// None, as in the paper and the official program, which compute features once.
    #[default]
    None,
    /// Augmentation of the cached features.
    Features(FeatureAugment),
    /// Augmentation of the image before the encoder, which must therefore run during training.
    Images(ImageAugment),
    /// Random changes of the image's style before the encoder, which must therefore run during
    /// training.
    Style(StyleAugment),
    /// The style views in the cache: in each epoch a slice as it is or one of its views.
    Views,
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
            Self::Views if !live => Ok(()),
            Self::Views => Err(Error::Invalid(
                "training: views are features from the cache; with an encoder that runs, change the \
                 style of images"
                    .into(),
            )),
            Self::Images(images) if live => Ok(images.validate()?),
            Self::Style(_) if live => Ok(()),
            Self::Images(_) | Self::Style(_) => Err(Error::EncoderMustRun),
        }
    }
}

impl std::fmt::Display for Augment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Features(_) => f.write_str("features"),
            Self::Images(_) => f.write_str("images"),
            Self::Style(style) => style.fmt(f),
            Self::Views => f.write_str("views"),
        }
    }
}

impl std::str::FromStr for Augment {
    type Err = String;

    /// By name, with the regular ranges; or a list of changes of style.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "features" => Ok(Self::Features(FeatureAugment::regular())),
            "images" => Ok(Self::Images(ImageAugment::regular())),
            "views" => Ok(Self::Views),
            list => list.parse().map(Self::Style).map_err(|_: desam_data::Error| {
                format!(
                    "augmentation {list:?}: expected none, features, images, views, or a list of {}",
                    StyleStep::NAMES.join(", ")
                )
            }),
        }
    }
}
