//! Opening files whose names are untrusted: from a user or from another file.

use std::fmt;
use std::fs::{File, FileType};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Opens a regular file for reading. Anything else is refused before it is opened: opening a named
/// pipe blocks until it has a writer, and reading a device may never end.
///
/// # Errors
/// As [`File::open`]; of the kind [`ErrorKind::InvalidInput`], with a [`NotRegular`] inside, when
/// `path` is not a regular file.
pub fn open_regular(path: &Path) -> Result<File> {
    expect_regular(std::fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    // Checked again on the open file: the name may have been replaced in between (TOCTOU).
    expect_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a regular file whole.
///
/// # Errors
/// As [`open_regular`] and [`Read::read_to_end`].
pub fn read_regular(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file whole as UTF-8.
///
/// # Errors
/// As [`open_regular`] and [`Read::read_to_string`].
pub fn read_regular_to_string(path: &Path) -> Result<String> {
    let mut text = String::new();
    open_regular(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Error for a path that is not a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotRegular {
    /// Its kind: `a folder`, `a named pipe`, …
    pub kind: &'static str,
}

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is {}, expected a regular file", self.kind)
    }
}

impl std::error::Error for NotRegular {}

fn expect_regular(found: FileType) -> Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_dir() { "a folder" } else { special(found) };
    Err(Error::new(ErrorKind::InvalidInput, NotRegular { kind }))
}

#[cfg(unix)]
fn special(found: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if found.is_fifo() {
        "a named pipe"
    } else if found.is_char_device() || found.is_block_device() {
        "a device"
    } else if found.is_socket() {
        "a socket"
    } else {
        "something else"
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "something else"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path) -> &'static str {
        let error = open_regular(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.get_ref().and_then(|e| e.downcast_ref::<NotRegular>()).unwrap().kind
    }

    #[test]
    fn regular_files_open() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/files.rs");
        assert!(read_regular_to_string(&own).unwrap().starts_with("//! Opening files"));
        assert_eq!(read_regular(&own).unwrap().len() as u64, own.metadata().unwrap().len());
        let absent = open_regular(&own.with_file_name("absent")).unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn folders_are_named_as_such() {
        assert_eq!(kind(Path::new(env!("CARGO_MANIFEST_DIR"))), "a folder");
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_refused_at_once() {
        assert_eq!(kind(Path::new("/dev/zero")), "a device");
        let pipe = std::env::temp_dir().join(format!("desam-core-{}.pipe", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: there is no mkfifo");
            return;
        }
        let found = kind(&pipe);
        std::fs::remove_file(&pipe).unwrap();
        assert_eq!(found, "a named pipe");
    }
}
