//! Temporary files of atomic writes, and removal of those that killed processes left.
//!
//! A writer holds an advisory lock on its temporary file from its creation until the file is renamed
//! or dropped. The system releases the lock when a process ends, however it ends, so an unlocked
//! temporary file is abandoned. Locks are not always visible to other machines that
//! share a file system; a name therefore says which machine its writer runs on, and another machine's
//! file is removed only when it is a day old.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tempfile::NamedTempFile;

const PREFIX: &str = ".desam-";
const SUFFIX: &str = ".tmp";

/// Attempts to create a file, each of which a concurrent clean-up may defeat.
const ATTEMPTS: usize = 32;

/// Length of a machine's tag in a name, digits.
const TAG: usize = 12;

/// Age at which another machine's temporary file counts as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Creates a temporary file in `dir` for an atomic write: rename it with
/// [`NamedTempFile::persist`] once its content is whole. The first call of a process for a folder
/// also removes what killed processes left there, see [`remove_leftovers`].
///
/// # Errors
/// When the folder does not exist or cannot be written.
pub fn create_in(dir: &Path) -> Result<NamedTempFile> {
    if is_first_visit(dir) {
        // A folder that cannot be listed may still be written to.
        remove_leftovers(dir).ok();
    }
    let prefix = format!("{PREFIX}{}-", machine());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    // Temporary files are private by default; a result is as readable as any other file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    for _ in 0..ATTEMPTS {
        let file = builder.tempfile_in(dir)?;
        match file.as_file().try_lock() {
            // A clean-up may have removed the file between its creation and its lock.
            Ok(()) if is_at(file.as_file(), file.path()) => return Ok(file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // On file systems without locks no file counts as abandoned, see `remove_abandoned`.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
    Err(Error::other("another process keeps removing the temporary files"))
}

/// Removes the abandoned temporary files in `dir` (not in folders below it), and returns their number.
/// Files that a running process writes are never removed, nor is anything on a file system without
/// locks.
///
/// # Errors
/// When the folder cannot be listed.
pub fn remove_leftovers(dir: &Path) -> Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(dir)? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let Some(writer) = name.to_str().and_then(writer) else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_file())
            && remove_abandoned(&entry.path(), writer)
        {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Machine of a temporary file's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// On this machine; or the name does not say, as in version 0.1.0 and earlier.
    Here,
    Elsewhere,
}

/// Parses a temporary file's name; `None` for any other file.
fn writer(name: &str) -> Option<Writer> {
    let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let is_tag = |text: &str| text.len() == TAG && text.chars().all(|c| c.is_ascii_hexdigit());
    let elsewhere = middle.split_once('-').is_some_and(|(tag, _)| is_tag(tag) && tag != machine());
    Some(if elsewhere { Writer::Elsewhere } else { Writer::Here })
}

/// Removes a temporary file if it is abandoned. The lock is held until it is gone, so that a writer
/// that has only just created the file notices.
fn remove_abandoned(path: &Path, writer: Writer) -> bool {
    // Some network file systems grant an exclusive lock on files open for writing alone.
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
    file.try_lock().is_ok()
        && (writer == Writer::Here || is_old(&file, path))
        // It may have been renamed to its final name while the lock was being taken.
        && is_at(&file, path)
        && std::fs::remove_file(path).is_ok()
}

/// Whether a file was last written longer ago than [`ABANDONED_AFTER`], by the clock that stamps
/// files in its folder.
fn is_old(file: &File, path: &Path) -> bool {
    let modified = |file: &File| file.metadata().and_then(|data| data.modified());
    let dir = path.parent().unwrap_or(path);
    let Ok(now) = tempfile::tempfile_in(dir).and_then(|probe| modified(&probe)) else {
        return false;
    };
    modified(file).is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > ABANDONED_AFTER))
}

/// Whether `path` still names the open `file`.
#[cfg(unix)]
pub fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Whether `path` still names the open `file`.
#[cfg(not(unix))]
pub fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Whether this is the process's first call for a folder.
fn is_first_visit(dir: &Path) -> bool {
    static VISITED: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let Ok(dir) = dir.canonicalize() else { return false };
    let mut visited = VISITED.lock().unwrap_or_else(PoisonError::into_inner);
    visited.get_or_insert_default().insert(dir)
}

/// Tag of the running kernel, which manages the locks: a reboot changes it, and releases all locks;
/// containers of one machine share it, as they share locks.
fn machine() -> &'static str {
    static MACHINE: OnceLock<String> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let tag: String = boot.chars().filter(char::is_ascii_hexdigit).take(TAG).collect();
        // Other systems have no such file, and names of theirs all count as this machine's.
        if tag.is_empty() { "local".to_owned() } else { tag }
    })
}

#[cfg(test)]
mod tests;
