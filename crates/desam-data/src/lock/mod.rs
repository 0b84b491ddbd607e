//! Advisory locks: one process at a time writes to a folder.
//!
//! A lock is a small hidden file that its holder keeps locked with the operating system
//! ([`File::try_lock`]). The system releases it when the process ends, however it ends, so a lock
//! file that a killed process left never blocks anybody. The file's content says who holds it: a
//! second process is refused at once with that, and nothing has been changed by it.
//!
//! | lock | file | held by |
//! |---|---|---|
//! | [`folder`] | `DIR/.desam.lock` | what writes to a whole folder: `embed`, `train`, `demo`, `phantom` |
//! | [`shared_folder`] | the same | parts of an embedding that agree on their settings |
//! | [`part`] | `DIR/.desam-part-K-of-N.lock` | one part of an embedding |
//! | [`file()`] | `DIR/.desam-NAME.lock` | what writes single files side by side: `evaluate` |

mod holder;
mod system;
#[cfg(test)]
mod tests;

pub use holder::{Holder, SharedSettings, identify};
pub use system::{is_unsupported, warn_unsupported};

use crate::{Error, Result};
use desam_core::temporary::is_at;
use desam_core::{Destination, Progress};
use holder::HolderRecord;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use system::Outcome;

/// Attempts before a lock counts as held: other processes that take or give up a
/// lock may hold it for a moment.
const TRIES: usize = 12;
const BETWEEN: Duration = Duration::from_millis(25);

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    /// `None` where the file system has no locks, or nothing can be written there anyway.
    file: Option<File>,
    path: PathBuf,
    shared: bool,
    /// Folders that were made for it, the deepest first.
    made: Vec<PathBuf>,
}

/// Locks a folder for this process alone. The folder is created if it is not there; if it is still
/// empty in the end, it is removed again.
///
/// # Errors
/// [`Error::InUse`] when another process holds the folder; [`Io`](desam_volume::Error::Io) when the lock file cannot be
/// created. Where the file system has no locks, `progress` gets one warning, and the lock counts as
/// held.
pub fn folder(dir: &Path, progress: &dyn Progress) -> Result<Lock> {
    Request::new(dir, ".desam.lock", dir.display().to_string()).exclusive(progress)
}

/// Locks a folder together with any number of processes that have the same `agreement`, and against
/// all others.
///
/// # Errors
/// As [`folder`], and [`Error::InUseOtherwise`] when the folder is held by processes with another
/// agreement.
pub fn shared_folder(
    dir: &Path,
    agreement: &SharedSettings,
    progress: &dyn Progress,
) -> Result<Lock> {
    Request::new(dir, ".desam.lock", dir.display().to_string()).shared(agreement, progress)
}

/// Locks part `index`, counted from 0, of `of` parts of the work on a folder; see [`shared_folder`].
///
/// # Errors
/// As [`folder`].
pub fn part(dir: &Path, index: usize, of: usize, progress: &dyn Progress) -> Result<Lock> {
    let subject = format!("part {index} of {of} of {}", dir.display());
    let name = format!(".desam-part-{index}-of-{of}.lock");
    Request::new(dir, &name, subject).exclusive(progress)
}

/// Locks a file that is about to be written, for this process alone. What is no regular file, such as
/// a pipe or standard output, is not locked.
///
/// # Errors
/// As [`folder`].
pub fn file(path: &Path, progress: &dyn Progress) -> Result<Lock> {
    let target = Destination::file(path);
    let none = || Lock { file: None, path: path.into(), shared: false, made: Vec::new() };
    let Some((target, name)) = target.as_deref().and_then(|t| Some((t, t.file_name()?))) else {
        return Ok(none());
    };
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.is_dir() {
        // Nothing can be written there either, which is for the writer to say.
        return Ok(none());
    }
    let mut lock_name = std::ffi::OsString::from(".desam-");
    lock_name.push(name);
    lock_name.push(".lock");
    Request::new(dir, lock_name, path.display().to_string()).exclusive(progress)
}

/// A request for a lock.
struct Request {
    path: PathBuf,
    /// Name of the locked folder or file in messages.
    subject: String,
}

/// Outcome of one attempt.
enum Try {
    Held(File),
    /// Another process holds it.
    Busy(File),
    /// There are no locks, or nothing can be written.
    Unlockable,
    /// The lock file was removed meanwhile.
    Again,
}

impl Request {
    fn new(dir: &Path, name: impl AsRef<Path>, subject: String) -> Self {
        Self { path: dir.join(name), subject }
    }

    fn exclusive(self, progress: &dyn Progress) -> Result<Lock> {
        let made = self.make_folder()?;
        let mut lock = Lock { file: None, path: self.path.clone(), shared: false, made };
        let mut holder = Holder::default();
        for attempt in 0..TRIES {
            pause(attempt);
            match self.take(progress)? {
                Try::Held(mut file) => {
                    // The lock holds without a record, too; a second process then cannot name the holder.
                    HolderRecord::of_this_process(None).write(&mut file).ok();
                    lock.file = Some(file);
                    return Ok(lock);
                }
                Try::Unlockable => return Ok(lock),
                Try::Busy(file) => holder = HolderRecord::read(&file).holder(&file),
                Try::Again => {}
            }
        }
        Err(Error::InUse { subject: self.subject, holder: Box::new(holder) })
    }

    fn shared(self, agreement: &SharedSettings, progress: &dyn Progress) -> Result<Lock> {
        let made = self.make_folder()?;
        let mut lock = Lock { file: None, path: self.path.clone(), shared: true, made };
        let mut holder = Holder::default();
        for attempt in 0..TRIES {
            pause(attempt);
            // The first process writes the agreement while it holds the exclusive lock. Then all,
            // the first included, read it under the shared lock, while it cannot change.
            let file = match self.take(progress)? {
                Try::Held(mut file) => {
                    let record = HolderRecord::of_this_process(Some(agreement.clone()));
                    record.write(&mut file).map_err(Error::io("write", &self.path))?;
                    file.unlock().map_err(Error::io("unlock", &self.path))?;
                    file
                }
                Try::Busy(file) => file,
                Try::Unlockable => return Ok(lock),
                Try::Again => continue,
            };
            let shared = system::try_shared(&file).map_err(Error::io("lock", &self.path))?;
            if shared == Outcome::Held && !is_at(&file, &self.path) {
                continue;
            }
            let record = HolderRecord::read(&file);
            match (shared, &record.agreement) {
                (Outcome::Held, Some(theirs)) if theirs == agreement => {
                    lock.file = Some(file);
                    return Ok(lock);
                }
                (Outcome::Held, Some(theirs)) => {
                    let differences = agreement.differences(theirs);
                    let holder = Box::new(record.holder(&file));
                    let subject = self.subject;
                    return Err(Error::InUseOtherwise { subject, holder, differences });
                }
                (Outcome::Unsupported, _) => return Ok(lock),
                // No running process has written it.
                (Outcome::Held, None) => {}
                (Outcome::Busy, _) => holder = record.holder(&file),
            }
        }
        Err(Error::InUse { subject: self.subject, holder: Box::new(holder) })
    }

    /// Asks once for the lock for this process alone.
    fn take(&self, progress: &dyn Progress) -> Result<Try> {
        let file = match self.open() {
            Ok(file) => file,
            // The folder was removed by a process that made it and left it empty.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.make_folder()?;
                return Ok(Try::Again);
            }
            // Whatever would be written there fails with a better message.
            Err(e) if is_unwritable(&e) => return Ok(Try::Unlockable),
            Err(e) => return Err(Error::io("lock", &self.path)(e)),
        };
        Ok(match system::try_exclusive(&file).map_err(Error::io("lock", &self.path))? {
            Outcome::Held if is_at(&file, &self.path) => Try::Held(file),
            Outcome::Held => Try::Again,
            Outcome::Busy => Try::Busy(file),
            Outcome::Unsupported => {
                warn_unsupported(&self.path, progress);
                std::fs::remove_file(&self.path).ok();
                Try::Unlockable
            }
        })
    }

    fn open(&self) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        match options.clone().create(true).truncate(false).open(&self.path) {
            // Another user's file: it can be locked, and its content read.
            Err(e) if e.kind() == ErrorKind::PermissionDenied && self.path.is_file() => {
                File::open(&self.path)
            }
            opened => opened,
        }
    }

    /// Makes the folder; returns what had to be made, the deepest first.
    fn make_folder(&self) -> Result<Vec<PathBuf>> {
        let Some(dir) = self.path.parent() else { return Ok(Vec::new()) };
        let missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
        let made = dir.ancestors().take_while(missing).map(Path::to_owned).collect();
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        Ok(made)
    }
}

fn pause(attempt: usize) {
    if attempt > 0 {
        std::thread::sleep(BETWEEN);
    }
}

/// Whether a folder cannot be written to at all.
fn is_unwritable(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            if self.shared {
                drop(file);
                self.remove_if_last();
            } else {
                remove(&file, &self.path);
            }
        }
        // Folders that are not empty stay.
        for dir in &self.made {
            if std::fs::remove_dir(dir).is_err() {
                break;
            }
        }
    }
}

impl Lock {
    /// Removes the file of a shared lock where no other process holds it.
    fn remove_if_last(&self) {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&self.path) else { return };
        if matches!(system::try_exclusive(&file), Ok(Outcome::Held)) && is_at(&file, &self.path) {
            remove(&file, &self.path);
        }
    }
}

/// Removes a lock file that is held. A process that has opened it already finds, once it has the lock,
/// that the path names another file or none, and tries again.
fn remove(file: &File, path: &Path) {
    // Elsewhere a path cannot be compared with an open file: there the file stays, empty.
    if !cfg!(unix) || std::fs::remove_file(path).is_err() {
        file.set_len(0).ok();
    }
}
