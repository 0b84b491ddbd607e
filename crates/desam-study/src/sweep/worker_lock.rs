//! Advisory lock of a worker on a line: a file that one process holds at a time.
//!
//! The file names its holder, for people and for other machines. The operating system's lock on it shows
//! that the holder is alive, and is released however the process ends. On network file systems other
//! machines may not see that lock, so a lock held on another machine is respected unless the same
//! scheduler task has restarted, or the caller forces it.

use crate::{Error, Result};
use desam_core::Progress;
use desam_data::lock::{is_unsupported, warn_unsupported};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

/// A worker: a process that executes lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// The scheduler task, under a name that is kept when the scheduler restarts the task.
    #[serde(default)]
    pub task: Option<String>,
}

impl std::fmt::Display for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {}", self.host, self.pid)?;
        match &self.task {
            Some(task) => write!(f, ", {task})"),
            None => f.write_str(")"),
        }
    }
}

/// A held lock; released on drop.
#[derive(Debug)]
pub(super) struct LockGuard {
    file: File,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // An empty file means that no worker was interrupted. If truncation fails, the lock is still
        // released, and the next worker sees a dead holder.
        self.file.set_len(0).ok();
    }
}

/// Result of an attempt to acquire a lock.
#[derive(Debug)]
pub(super) enum LockAttempt {
    Acquired(LockGuard),
    /// Another process holds it and is alive.
    Busy(Worker),
    /// A process on another host holds it; whether it is alive is not known.
    OtherHost(Worker),
}

/// Holder of a lock, as seen by other processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LockHolder {
    Free,
    /// A live process.
    Alive(Worker),
    /// A process that died while it held the lock.
    Dead(Worker),
    /// A process on another host, which cannot be checked from here.
    OtherHost(Worker),
}

/// Attempts before a lock counts as held: `holder` locks the file for a moment too.
const ATTEMPTS: usize = 5;
const RETRY_DELAY: Duration = Duration::from_millis(40);

/// Tries to acquire the lock in `path`. `force` takes it over from a process on another host, which cannot
/// be checked from here; never from one that is known to be alive.
pub(super) fn acquire(
    path: &Path,
    me: &Worker,
    force: bool,
    progress: &dyn Progress,
) -> Result<LockAttempt> {
    if let Some(dir) = path.parent() {
        desam::files::create_dir(dir)?;
    }
    let fail = || Error::io("lock", path);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
    let mut file = options.open(path).map_err(fail())?;
    if !lock(&file, path, progress).map_err(fail())? {
        return Ok(LockAttempt::Busy(holder_name(&mut file)));
    }
    let ours = |w: &Worker| w.host == me.host || (w.task.is_some() && w.task == me.task);
    if let Some(other) = read(&mut file).map_err(fail())?.filter(|w| !force && !ours(w)) {
        return Ok(LockAttempt::OtherHost(other));
    }
    let text = serde_json::to_vec(me).map_err(Error::json(path))?;
    file.set_len(0).map_err(fail())?;
    file.seek(SeekFrom::Start(0)).map_err(fail())?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(fail())?;
    Ok(LockAttempt::Acquired(LockGuard { file }))
}

/// The holder of the lock in `path`, as seen from `host`.
pub(super) fn holder(path: &Path, host: &str) -> Result<LockHolder> {
    let fail = || Error::io("read", path);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(LockHolder::Free),
        Err(e) => return Err(fail()(e)),
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => return Ok(LockHolder::Alive(holder_name(&mut file))),
        Err(TryLockError::Error(e)) if !is_unsupported(&e) => return Err(fail()(e)),
        _ => {}
    }
    Ok(match read(&mut file).map_err(fail())? {
        None => LockHolder::Free,
        Some(worker) if worker.host == host => LockHolder::Dead(worker),
        Some(worker) => LockHolder::OtherHost(worker),
    })
}

/// The worker named in a held lock's file. The holder may not have written it yet, and some systems do not
/// let others read a locked file.
fn holder_name(file: &mut File) -> Worker {
    let unnamed = || Worker { host: "another process".into(), pid: 0, task: None };
    read(file).ok().flatten().unwrap_or_else(unnamed)
}

fn lock(file: &File, path: &Path, progress: &dyn Progress) -> std::io::Result<bool> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(RETRY_DELAY);
        }
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) if is_unsupported(&e) => {
                warn_unsupported(path, progress);
                return Ok(true);
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(false)
}

/// The worker named in a lock's file; `None` where the file is empty or truncated.
fn read(file: &mut File) -> std::io::Result<Option<Worker>> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file).take(1 << 16).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_core::Quiet;

    fn worker(host: &str, task: Option<&str>) -> Worker {
        Worker { host: host.into(), pid: 7, task: task.map(str::to_owned) }
    }

    #[track_caller]
    fn acquired(attempt: LockAttempt) -> LockGuard {
        match attempt {
            LockAttempt::Acquired(held) => held,
            LockAttempt::Busy(worker) | LockAttempt::OtherHost(worker) => {
                panic!("held by {worker}")
            }
        }
    }

    #[test]
    fn one_process_holds_the_lock_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/lock.json");
        assert_eq!(holder(&path, "h").unwrap(), LockHolder::Free);
        let mine = acquired(acquire(&path, &worker("h", None), false, &Quiet).unwrap());
        assert_eq!(holder(&path, "h").unwrap(), LockHolder::Alive(worker("h", None)));
        assert_eq!(holder(&path, "elsewhere").unwrap(), LockHolder::Alive(worker("h", None)));
        for (host, task) in [("h", None), ("x", None), ("x", Some("slurm 1"))] {
            // It is never taken from a live process.
            for force in [false, true] {
                match acquire(&path, &worker(host, task), force, &Quiet).unwrap() {
                    LockAttempt::Busy(other) => assert_eq!(other, worker("h", None)),
                    _ => panic!("two hold it"),
                }
            }
        }
        drop(mine);
        assert_eq!(holder(&path, "h").unwrap(), LockHolder::Free);
        acquired(acquire(&path, &worker("x", None), false, &Quiet).unwrap());
    }

    #[test]
    fn a_dead_holders_lock_goes_to_its_host_its_task_or_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock.json");
        let dead = worker("h", Some("slurm 12"));
        let die = || std::fs::write(&path, serde_json::to_vec(&dead).unwrap()).unwrap();
        die();
        assert_eq!(holder(&path, "h").unwrap(), LockHolder::Dead(dead.clone()));
        assert_eq!(holder(&path, "x").unwrap(), LockHolder::OtherHost(dead.clone()));
        acquired(acquire(&path, &worker("h", None), false, &Quiet).unwrap());
        die();
        acquired(acquire(&path, &worker("x", Some("slurm 12")), false, &Quiet).unwrap());
        die();
        for task in [None, Some("slurm 13")] {
            assert!(matches!(
                acquire(&path, &worker("x", task), false, &Quiet).unwrap(),
                LockAttempt::OtherHost(_)
            ));
        }
        acquired(acquire(&path, &worker("x", None), true, &Quiet).unwrap());
        // An unreadable file names no worker.
        std::fs::write(&path, "{\"host\":").unwrap();
        acquired(acquire(&path, &worker("x", None), false, &Quiet).unwrap());
    }
}
