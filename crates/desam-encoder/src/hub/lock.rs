//! Advisory lock of a download: one process downloads a file, others wait for it.

use super::HubTimeouts;
use super::client::hub_error;
use crate::{Error, Result};
use desam_core::Progress;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// Interval between attempts to take the lock.
const POLL: Duration = Duration::from_millis(100);

/// Takes the advisory lock of a download, held as long as the returned file is open. It is a separate
/// file, because the download's is renamed at the end.
///
/// On a file system without locks none is taken; the hash is verified in any case.
///
/// # Errors
/// When another process holds it and its download makes no progress.
pub(super) fn lock(
    part: &Path,
    url: &str,
    timeouts: &HubTimeouts,
    progress: &dyn Progress,
) -> Result<File> {
    let path = part.with_extension("lock");
    // The lock file stays: if it were removed, two processes could lock two files of this name.
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(Error::io(&path))?;
    let length = || part.metadata().map_or(0, |m| m.len());
    let mut waiting = false;
    let mut seen = (Instant::now(), length());
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if !waiting {
            waiting = true;
            progress.say(&format!("another process downloads {url}; waiting for it"));
        }
        let now = length();
        if now != seen.1 {
            seen = (Instant::now(), now);
        // The other process has the same limits: a download that is alive grows within them.
        } else if seen.0.elapsed() > timeouts.stall + timeouts.read + timeouts.connect {
            let reason = "another process downloads this file and makes no progress; end it, or try \
                          again later";
            return Err(hub_error(url, reason));
        }
        std::thread::sleep(POLL);
    }
    Ok(file)
}
