//! Parsed header fields.

use crate::Result;
use crate::voxels::{HeaderText, Scalar, list_dimension, numbers, wrong};
use std::path::Path;

/// Magic bytes of a header; a digit for the version follows.
pub(crate) const MAGIC: &[u8] = b"NRRD000";

/// The field that names the data files, in both spellings.
const DATA_FILE: [&str; 2] = ["data file", "datafile"];

/// The encoding of the voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw,
    Gzip,
    Bzip2,
    Hex,
    Text,
}

/// A parsed header.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    /// The first line.
    pub(super) magic: String,
    lines: Vec<(String, String)>,
    /// The lines behind `data file: LIST`: the names of data files.
    pub(super) listed: Vec<String>,
    /// Offset in the file of the first byte after the header.
    pub(super) bytes: u64,
}

impl Fields {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = HeaderText::read(path, |b| b.starts_with(MAGIC), str::is_empty)?;
        let Some(text) = text else {
            return Err(wrong(path, "magic", "something else", "NRRD000 and a digit"));
        };
        let magic = text.lines.first().cloned().unwrap_or_default();
        // `key:=value` is free metadata; `#` starts a comment.
        let pair = |line: &str| {
            let (key, value) = line.split_once(": ").filter(|_| !line.starts_with('#'))?;
            Some((key.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        let mut lines = Vec::new();
        let mut rest = text.lines.iter().skip(1);
        for line in rest.by_ref() {
            let Some((key, value)) = pair(line) else { continue };
            let list = DATA_FILE.contains(&key.as_str()) && list_dimension(&value).is_some();
            lines.push((key, value));
            if list {
                break;
            }
        }
        let listed = rest.map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
        let fields = Self { magic, lines, listed, bytes: text.bytes };
        if !text.ended && fields.data_file().is_none() {
            return Err(text.cut(path));
        }
        Ok(fields)
    }

    /// The lines of these fields, as they were written.
    pub(super) fn kept<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        let kept = |(k, _): &&(String, String)| names.contains(&k.as_str());
        self.lines.iter().filter(kept).map(|(k, v)| format!("{k}: {v}"))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Value of `data file`, the location of the voxels, if not behind the header.
    pub(super) fn data_file(&self) -> Option<&str> {
        DATA_FILE.iter().find_map(|name| self.text(name))
    }

    /// Finite numbers, or `NaN` where the header has that.
    pub(super) fn numbers(&self, path: &Path, name: &'static str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let bad = || wrong(path, name, format!("{value:?}"), "numbers");
        numbers(value).map(Some).ok_or_else(bad)
    }

    /// A whole number, 0 where the header is silent.
    pub(super) fn skip(&self, path: &Path, names: [&'static str; 2]) -> Result<i64> {
        let found = names.iter().find_map(|n| self.text(n).map(|v| (*n, v)));
        let Some((name, value)) = found else {
            return Ok(0);
        };
        let expected = "a whole number, 0 or more (a byte skip may be -1)";
        value.parse().map_err(|_| wrong(path, name, format!("{value:?}"), expected))
    }

    /// Type of the voxels.
    pub(super) fn scalar(&self, path: &Path) -> Result<Scalar> {
        let value = self.text("type").unwrap_or_default();
        Ok(match value.to_ascii_lowercase().as_str() {
            "signed char" | "int8" | "int8_t" => Scalar::I8,
            "uchar" | "unsigned char" | "uint8" | "uint8_t" => Scalar::U8,
            "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => {
                Scalar::I16
            }
            "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => {
                Scalar::U16
            }
            "int" | "signed int" | "int32" | "int32_t" => Scalar::I32,
            "uint" | "unsigned int" | "uint32" | "uint32_t" => Scalar::U32,
            "longlong"
            | "long long"
            | "long long int"
            | "signed long long"
            | "signed long long int"
            | "int64"
            | "int64_t" => Scalar::I64,
            "ulonglong"
            | "unsigned long long"
            | "unsigned long long int"
            | "uint64"
            | "uint64_t" => Scalar::U64,
            "float" => Scalar::F32,
            "double" => Scalar::F64,
            _ => {
                let expected = "the name of a whole or floating-point type, such as int16 or float";
                return Err(wrong(path, "type", format!("{value:?}"), expected));
            }
        })
    }

    /// The encoding of the voxels.
    pub(super) fn encoding(&self, path: &Path) -> Result<Encoding> {
        let value = self.text("encoding").unwrap_or_default();
        Ok(match value.to_ascii_lowercase().as_str() {
            "raw" => Encoding::Raw,
            "gzip" | "gz" => Encoding::Gzip,
            "bzip2" | "bz2" => Encoding::Bzip2,
            "hex" => Encoding::Hex,
            "txt" | "text" | "ascii" => Encoding::Text,
            _ => {
                let expected = "raw, gzip, bzip2, hex or text";
                return Err(wrong(path, "encoding", format!("{value:?}"), expected));
            }
        })
    }

    /// Byte order of voxels of `scalar`; it must be said where there is more than one byte.
    pub(super) fn big_endian(&self, path: &Path, scalar: Scalar) -> Result<bool> {
        match self.text("endian").map(str::to_ascii_lowercase).as_deref() {
            Some("little") => Ok(false),
            Some("big") => Ok(true),
            None if scalar.bytes() == 1 => Ok(false),
            other => {
                let found = other.map_or_else(|| "absent".to_owned(), |o| format!("{o:?}"));
                Err(wrong(path, "endian", found, "little or big"))
            }
        }
    }
}
