//! Text headers, read line by line.

use super::truncated;
use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_core::text::bytes_text;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Maximum length of a text header, bytes.
const LONGEST: u64 = 1 << 20;

/// The lines of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderText {
    /// Its lines, without their ends; what is not UTF-8 as [`bytes_text`] has it.
    pub(crate) lines: Vec<String>,
    /// Offset in the file of the first byte after it.
    pub(crate) bytes: u64,
    /// Whether its last line was met.
    pub(crate) ended: bool,
}

impl HeaderText {
    /// Reads lines until one is the last, or the file ends. The first `magic` bytes must be what
    /// `is_magic` accepts, so that not more than these are read of a file of another kind.
    pub(crate) fn read(
        path: &Path,
        start: impl Fn(&[u8]) -> bool,
        is_last: impl Fn(&str) -> bool,
    ) -> Result<Option<Self>> {
        let fail = || Error::io("read", path);
        let file = open_regular(path).map_err(fail())?;
        let mut reader = BufReader::with_capacity(1 << 13, file).take(LONGEST);
        if !start(reader.fill_buf().map_err(fail())?) {
            return Ok(None);
        }
        let mut header = Self { lines: Vec::new(), bytes: 0, ended: false };
        let mut line = Vec::new();
        while !header.ended {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(fail())?;
            if read == 0 {
                break;
            }
            header.bytes += read as u64;
            let text = bytes_text(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            header.ended = is_last(text);
            header.lines.push(text.to_owned());
        }
        if !header.ended && header.bytes == LONGEST {
            let expected = "at most a megabyte of text before the voxels";
            return Err(wrong(path, "header", "longer than that", expected));
        }
        Ok(Some(header))
    }

    /// An [`Error::Truncated`] for a header that should have gone on.
    pub(crate) fn cut(&self, path: &Path) -> Error {
        truncated(path, self.bytes + 1, self.bytes)
    }
}

/// Parses numbers separated by spaces; `None` if one is invalid.
pub(crate) fn numbers(text: &str) -> Option<Vec<f64>> {
    text.split_ascii_whitespace().map(|w| w.parse::<f64>().ok()).collect()
}

/// An [`Error::Header`].
pub(crate) fn wrong(
    path: &Path,
    field: &'static str,
    found: impl std::fmt::Display,
    expected: &str,
) -> Error {
    let (found, expected) = (shortened(&found.to_string()), expected.to_owned());
    Error::Header { path: path.to_path_buf(), field, found, expected }
}

/// Shortens a value of a file for a message.
fn shortened(found: &str) -> String {
    const MOST: usize = 120;
    match found.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &found[..at]),
        None => found.to_owned(),
    }
}
