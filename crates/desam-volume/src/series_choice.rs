//! The choice of one of several DICOM series.

use std::fmt;
use std::str::FromStr;

/// The anatomical plane that slices are nearest to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// Across the body.
    Axial,
    /// Seen from the front.
    Coronal,
    /// Seen from the side.
    Sagittal,
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        })
    }
}

/// Selection of one of several series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SeriesChoice {
    /// There must be one only.
    #[default]
    Only,
    /// The one with this SeriesInstanceUID.
    Uid(String),
    /// The one whose SeriesDescription holds this text, letters of either case.
    Description(String),
    /// The one whose slices are nearest to this plane.
    Plane(Plane),
}

impl FromStr for SeriesChoice {
    type Err = std::convert::Infallible;

    /// `axial`, `coronal` and `sagittal` are planes, digits with dots a UID, all else a description.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "axial" => Self::Plane(Plane::Axial),
            "coronal" => Self::Plane(Plane::Coronal),
            "sagittal" => Self::Plane(Plane::Sagittal),
            uid if uid.contains('.') && uid.chars().all(|c| c.is_ascii_digit() || c == '.') => {
                Self::Uid(uid.to_owned())
            }
            text => Self::Description(text.to_owned()),
        })
    }
}

impl fmt::Display for SeriesChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("the only one"),
            Self::Uid(uid) => write!(f, "the UID {uid}"),
            Self::Description(text) => write!(f, "a description with {text:?}"),
            Self::Plane(plane) => write!(f, "{plane} slices"),
        }
    }
}
