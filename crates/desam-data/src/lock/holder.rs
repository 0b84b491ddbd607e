//! The holder of a lock, as recorded in its file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most of a lock file that is read.
const MOST_BYTES: u64 = 1 << 20;
/// Characters of a command that a message shows.
const SHOWN: usize = 160;

/// The process that holds a lock, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// Its number on its machine.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Its machine.
    #[serde(default)]
    pub host: Option<String>,
    /// Its command line.
    #[serde(default)]
    pub command: Option<String>,
    /// Since when it has held the lock.
    #[serde(skip)]
    pub since: Option<SystemTime>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("another process")?,
        }
        if let Some(host) = &self.host {
            write!(f, " on {host}")?;
        }
        let mut more = Vec::new();
        if let Some(command) = &self.command {
            let shown: String = command.chars().take(SHOWN).collect();
            let rest = if shown.len() < command.len() { "…" } else { "" };
            more.push(format!("`{shown}{rest}`"));
        }
        if let Some(since) = self.since.filter(|since| is_printable(*since)) {
            let text = humantime::format_rfc3339_seconds(since).to_string();
            more.push(format!("since {}", text.replace('T', " ").replace('Z', " UTC")));
        }
        if !more.is_empty() {
            write!(f, " ({})", more.join(", "))?;
        }
        Ok(())
    }
}

/// Whether a file's time has four digits in its year: whatever stands there may be read.
fn is_printable(time: SystemTime) -> bool {
    // The first second of the year 10000.
    let end = Duration::from_secs(253_402_300_800);
    time.duration_since(UNIX_EPOCH).is_ok_and(|since| since < end)
}

static THIS_PROCESS: OnceLock<(Option<String>, String)> = OnceLock::new();

/// Says what locks of this process shall tell others: the machine's name, where it has one, and the
/// command that was started. A program calls it once, at its start; without it they tell the process number alone.
pub fn identify(host: Option<String>, command: impl Into<String>) {
    THIS_PROCESS.set((host, command.into())).ok();
}

/// Settings that processes must have in common to share a lock: names with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedSettings(BTreeMap<String, String>);

impl SharedSettings {
    /// An empty agreement.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one thing more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Differences from another agreement, as text.
    pub(crate) fn differences(&self, theirs: &Self) -> Vec<String> {
        let names = self.0.keys().chain(theirs.0.keys().filter(|name| !self.0.contains_key(*name)));
        let of = |all: &Self, name: &String| all.0.get(name).map_or("nothing", |v| v).to_owned();
        let both = names.map(|name| (name, of(theirs, name), of(self, name)));
        both.filter(|(_, theirs, ours)| theirs != ours)
            .map(|(name, theirs, ours)| format!("{name}: existing {theirs}, requested {ours}"))
            .collect()
    }
}

/// The content of a lock file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct HolderRecord {
    #[serde(flatten)]
    holder: Holder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) agreement: Option<SharedSettings>,
}

impl HolderRecord {
    pub(super) fn of_this_process(agreement: Option<SharedSettings>) -> Self {
        let (host, command) = THIS_PROCESS.get().cloned().unzip();
        let pid = Some(std::process::id());
        let holder = Holder { pid, host: host.flatten(), command, since: None };
        Self { holder, agreement }
    }

    pub(super) fn write(&self, file: &mut File) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&text)
    }

    /// Parses a lock file; all fields are empty where the file is empty or being written, or where
    /// the system lets no other process read a locked file.
    pub(super) fn read(mut file: &File) -> Self {
        let mut text = Vec::new();
        let read = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| Read::by_ref(&mut file).take(MOST_BYTES).read_to_end(&mut text));
        read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// The holder of the lock. The file was written when the lock was taken.
    pub(super) fn holder(&self, file: &File) -> Holder {
        let since = file.metadata().and_then(|data| data.modified()).ok();
        Holder { since: self.holder.pid.and(since), ..self.holder.clone() }
    }
}
