//! Who works on a run: a file that one process holds at a time.
//!
//! The file says who holds it, for people and for other machines; the system's lock on it says
//! whether they are alive, and goes with them however they end. On file systems of a network the
//! system's lock may not be seen by other machines, so what another machine holds is left alone
//! unless the same task of a scheduler has come back, or the caller insists.

use crate::{Error, Result};
use desam_core::Progress;
use desam_data::lock::{is_unsupported, warn_unsupported};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

/// A process that works on runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Its machine.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// The task of a scheduler that it is, by a name that stays when the scheduler starts the task
    /// again.
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

/// A lock that is held, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // An empty file says that nobody was interrupted. Where that fails the lock goes all the
        // same, and whoever comes next finds a dead holder.
        self.file.set_len(0).ok();
    }
}

/// What came of asking for a lock.
#[derive(Debug)]
pub(super) enum Claim {
    Held(Held),
    /// Another process holds it and is alive.
    Busy(Worker),
    /// Another machine's process was at work when it was last seen.
    Elsewhere(Worker),
}

/// How a lock looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// It works.
    Alive(Worker),
    /// It died at work.
    Dead(Worker),
    /// Its machine is another one, which cannot be seen from here.
    Elsewhere(Worker),
}

/// How often a lock is asked for before it counts as held: who only looks at it holds it for a
/// moment.
const TRIES: usize = 5;
const BETWEEN: Duration = Duration::from_millis(40);

/// Asks for the lock in `path`. With `force` it is taken over from another machine's process, which
/// cannot be seen from here; never from one that the system knows to be alive.
pub(super) fn claim(
    path: &Path,
    me: &Worker,
    force: bool,
    progress: &dyn Progress,
) -> Result<Claim> {
    if let Some(dir) = path.parent() {
        desam::files::create_dir(dir)?;
    }
    let fail = || Error::io("lock", path);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
    let mut file = options.open(path).map_err(fail())?;
    if !lock(&file, path, progress).map_err(fail())? {
        return Ok(Claim::Busy(named(&mut file)));
    }
    let ours = |w: &Worker| w.host == me.host || (w.task.is_some() && w.task == me.task);
    if let Some(other) = read(&mut file).map_err(fail())?.filter(|w| !force && !ours(w)) {
        return Ok(Claim::Elsewhere(other));
    }
    let text =
        serde_json::to_vec(me).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    file.set_len(0).map_err(fail())?;
    file.seek(SeekFrom::Start(0)).map_err(fail())?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(fail())?;
    Ok(Claim::Held(Held { file }))
}

/// Who holds the lock in `path`, as seen from `host`.
pub(super) fn holder(path: &Path, host: &str) -> Result<Holder> {
    let fail = || Error::io("read", path);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Holder::Nobody),
        Err(e) => return Err(fail()(e)),
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => return Ok(Holder::Alive(named(&mut file))),
        Err(TryLockError::Error(e)) if !is_unsupported(&e) => return Err(fail()(e)),
        _ => {}
    }
    Ok(match read(&mut file).map_err(fail())? {
        None => Holder::Nobody,
        Some(worker) if worker.host == host => Holder::Dead(worker),
        Some(worker) => Holder::Elsewhere(worker),
    })
}

/// Who a lock's file names while it is held. Its holder may not have written that yet, and some
/// systems let nobody else read what is locked.
fn named(file: &mut File) -> Worker {
    let unnamed = || Worker { host: "another process".into(), pid: 0, task: None };
    read(file).ok().flatten().unwrap_or_else(unnamed)
}

fn lock(file: &File, path: &Path, progress: &dyn Progress) -> std::io::Result<bool> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(BETWEEN);
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

/// Who a lock's file names; nobody where it is empty or was cut short.
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
    fn held(claim: Claim) -> Held {
        match claim {
            Claim::Held(held) => held,
            Claim::Busy(worker) | Claim::Elsewhere(worker) => panic!("held by {worker}"),
        }
    }

    #[test]
    fn one_holds_it_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/lock.json");
        assert_eq!(holder(&path, "h").unwrap(), Holder::Nobody);
        let mine = held(claim(&path, &worker("h", None), false, &Quiet).unwrap());
        assert_eq!(holder(&path, "h").unwrap(), Holder::Alive(worker("h", None)));
        assert_eq!(holder(&path, "elsewhere").unwrap(), Holder::Alive(worker("h", None)));
        for (host, task) in [("h", None), ("x", None), ("x", Some("slurm 1"))] {
            // Nobody takes it from a process that is alive.
            for force in [false, true] {
                match claim(&path, &worker(host, task), force, &Quiet).unwrap() {
                    Claim::Busy(other) => assert_eq!(other, worker("h", None)),
                    _ => panic!("two hold it"),
                }
            }
        }
        drop(mine);
        assert_eq!(holder(&path, "h").unwrap(), Holder::Nobody);
        held(claim(&path, &worker("x", None), false, &Quiet).unwrap());
    }

    #[test]
    fn the_dead_are_followed_by_their_machine_or_task_or_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock.json");
        let dead = worker("h", Some("slurm 12"));
        let die = || std::fs::write(&path, serde_json::to_vec(&dead).unwrap()).unwrap();
        die();
        assert_eq!(holder(&path, "h").unwrap(), Holder::Dead(dead.clone()));
        assert_eq!(holder(&path, "x").unwrap(), Holder::Elsewhere(dead.clone()));
        held(claim(&path, &worker("h", None), false, &Quiet).unwrap());
        die();
        held(claim(&path, &worker("x", Some("slurm 12")), false, &Quiet).unwrap());
        die();
        for task in [None, Some("slurm 13")] {
            assert!(matches!(
                claim(&path, &worker("x", task), false, &Quiet).unwrap(),
                Claim::Elsewhere(_)
            ));
        }
        held(claim(&path, &worker("x", None), true, &Quiet).unwrap());
        // What cannot be read names nobody.
        std::fs::write(&path, "{\"host\":").unwrap();
        held(claim(&path, &worker("x", None), false, &Quiet).unwrap());
    }
}
