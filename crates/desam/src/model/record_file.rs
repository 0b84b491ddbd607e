//! The header of a model's safetensors file: reading it without the tensors, and replacing its
//! metadata.

use crate::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Longest header of a safetensors file, in bytes: the limit of the safetensors crate.
const LONGEST_HEADER: u64 = 100_000_000;

/// Tensors begin at a multiple of this, in bytes; headers are padded with spaces (safetensors format).
const ALIGNMENT: usize = 8;

/// The error for a file whose header cannot be used.
pub(super) fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::file(path, format!("is no safetensors file, or a damaged one: {error}"))
}

/// Reads the header, JSON text, and leaves the file at the first tensor.
pub(super) fn read_header(path: &Path) -> Result<(Vec<u8>, File)> {
    let mut file = desam_core::files::open_regular(path).map_err(Error::io("read", path))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|e| damaged(path, &e))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(damaged(path, &format!("its header is {length} bytes long")));
    }
    let mut text = Vec::new();
    Read::by_ref(&mut file).take(length).read_to_end(&mut text).map_err(Error::io("read", path))?;
    Ok((text, file))
}

/// Replaces the file by one with other metadata. Positions of tensors are relative to the end of the
/// header, so the tensors are copied as they are.
pub(super) fn replace_metadata(path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    let (text, mut tensors) = read_header(path)?;
    let mut header: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|e| damaged(path, &e))?;
    let metadata = metadata.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
    header.insert("__metadata__".to_owned(), Value::Object(metadata));
    let mut text = serde_json::to_vec(&header).map_err(|e| damaged(path, &e))?;
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    Ok(desam_volume::atomic::write_atomic(path, |file| {
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(&text)?;
        std::io::copy(&mut tensors, file)?;
        Ok(())
    })?)
}
