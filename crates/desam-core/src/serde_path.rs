//! Paths in JSON, for `#[serde(with = "desam_core::serde_path")]`.
//!
//! Serde refuses a path that is not UTF-8. Here it is written as [`path_text`] has it, from which it
//! is read back byte for byte; a path that is UTF-8 stays as it was.

use crate::text::{path_from_text, path_text};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;

/// A field that holds paths: one, perhaps one, or several.
pub trait PathField: Sized {
    /// What takes its place in a file.
    type Text: Serialize + for<'de> Deserialize<'de>;

    /// The paths as text.
    fn to_text(&self) -> Self::Text;

    /// The paths that `text` stands for.
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
