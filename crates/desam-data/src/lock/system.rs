//! Advisory file locks of the operating system, and file systems without them.

use desam_core::Progress;
use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Outcome of a lock attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Held,
    /// Another open file holds it.
    Busy,
    /// The file system has no locks.
    Unsupported,
}

pub(super) fn try_exclusive(file: &File) -> Result<Outcome> {
    outcome(file.try_lock())
}

pub(super) fn try_shared(file: &File) -> Result<Outcome> {
    outcome(file.try_lock_shared())
}

pub(super) fn outcome(tried: std::result::Result<(), TryLockError>) -> Result<Outcome> {
    match tried {
        Ok(()) => Ok(Outcome::Held),
        Err(TryLockError::WouldBlock) => Ok(Outcome::Busy),
        Err(TryLockError::Error(e)) if is_unsupported(&e) => Ok(Outcome::Unsupported),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Whether asking for a lock failed because the file system has none. flock(2) and fcntl(2): ENOSYS,
/// EOPNOTSUPP and EINVAL where there are no locks, ENOLCK where a network file system's lock service does
/// not answer.
pub fn is_unsupported(error: &Error) -> bool {
    // ENOLCK, ENOSYS, EOPNOTSUPP; the numbers are the system's.
    let numbers = if cfg!(target_os = "linux") { [37, 38, 95] } else { [77, 78, 45] };
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
        || (cfg!(unix) && error.raw_os_error().is_some_and(|number| numbers.contains(&number)))
}

/// Warns, once per process, that the file system of `path` does not support locks.
pub fn warn_unsupported(path: &Path, progress: &dyn Progress) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        let folder = path.parent().unwrap_or(path).display();
        progress.warn(&format!(
            "{folder}: the file system has no locks, so nothing keeps a second process from writing \
             here at the same time"
        ));
    }
}
