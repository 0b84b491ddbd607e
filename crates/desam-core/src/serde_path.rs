//! Lossless paths in JSON, for `#[serde(with = "desam_core::serde_path")]`.
//!
//! Serde refuses paths that are not UTF-8. Here they are escaped by [`path_text`], and read back byte
//! for byte; UTF-8 paths are unchanged.

use crate::text::{path_from_text, path_text};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;

/// A field of paths: one, an optional one, or several.
pub trait PathField: Sized {
    /// Its serialized form.
    type Text: Serialize + for<'de> Deserialize<'de>;

    /// The paths as text.
    fn to_text(&self) -> Self::Text;

    /// The paths from their text.
    fn from_text(text: Self::Text) -> Self;
}

impl PathField for PathBuf {
    type Text = String;

    fn to_text(&self) -> String {
        path_text(self).into_owned()
    }

    fn from_text(text: String) -> Self {
        path_from_text(&text)
    }
}

impl<T: PathField> PathField for Option<T> {
    type Text = Option<T::Text>;

    fn to_text(&self) -> Self::Text {
        self.as_ref().map(PathField::to_text)
    }

    fn from_text(text: Self::Text) -> Self {
        text.map(T::from_text)
    }
}

impl<T: PathField> PathField for Vec<T> {
    type Text = Vec<T::Text>;

    fn to_text(&self) -> Self::Text {
        self.iter().map(PathField::to_text).collect()
    }

    fn from_text(text: Self::Text) -> Self {
        text.into_iter().map(T::from_text).collect()
    }
}

/// Writes a field.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<T: PathField, S: Serializer>(paths: &T, serializer: S) -> Result<S::Ok, S::Error> {
    paths.to_text().serialize(serializer)
}

/// Reads a field.
///
/// # Errors
/// Those of `deserializer`.
pub fn deserialize<'de, T: PathField, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::Text::deserialize(deserializer).map(T::from_text)
}
