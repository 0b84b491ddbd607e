//! JSON and text files, read whole and written atomically.

use crate::{Error, Result};
use desam_core::files::read_regular_to_string;
use desam_volume::atomic::write_atomic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write;
use std::path::Path;

/// Reads a JSON file.
///
/// # Errors
/// When it cannot be read, or is not what `T` expects; the error names the field.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_regular_to_string(path).map_err(Error::io("read", path))?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, field) = (path.to_owned(), error.path().to_string());
        let source = error.into_inner();
        // `.` and `?` stand for the whole file.
        match field.as_str() {
            "." | "?" => Error::Json { path, source },
            _ => Error::JsonField { path, field, source },
        }
    })?;
    reader.end().map_err(|source| Error::Json { path: path.to_owned(), source })?;
    Ok(read)
}

/// Writes a JSON file, indented, with a final newline.
///
/// # Errors
/// When it cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| Error::Json { path: path.to_owned(), source })?;
    write_text(path, &format!("{text}\n"))
}

/// Writes a text file.
///
/// # Errors
/// When it cannot be written.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(write_atomic(path, |out| out.write_all(text.as_bytes()))?)
}

/// Creates a folder and its parents.
///
/// # Errors
/// When it cannot be created.
pub fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::io("create", path))
}
