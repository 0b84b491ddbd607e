//! TensorBoard event files.

mod event;
mod record;

use crate::{Error, Result};
use event::{Event, EventPayload};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An append-only event file. Unlike a run's other files it is not written atomically: a killed run may
/// leave its last record truncated, which TensorBoard skips.
#[derive(Debug)]
pub(super) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Creates a new file in `dir`, next to existing ones. TensorBoard reads them in the order of their
    /// names, which start with the Unix time in seconds.
    pub(super) fn create(dir: &Path, now: Duration) -> Result<Self> {
        desam::files::create_dir(dir)?;
        let mut suffix = 0u64;
        loop {
            let name = format!("events.out.tfevents.{:010}.desam.{suffix}", now.as_secs());
            let path = dir.join(name);
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut events = Self { file, path };
                    events.write(Event { time: now, step: 0, payload: EventPayload::Version })?;
                    return Ok(events);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => suffix += 1,
                Err(error) => return Err(Error::io("create", &path)(error)),
            }
        }
    }

    /// Marks a restart at `step`: TensorBoard drops what it has of that step and later.
    pub(super) fn session_start(&mut self, now: Duration, step: u32) -> Result<()> {
        self.write(Event { time: now, step: step.into(), payload: EventPayload::SessionStart })
    }

    /// Writes values by tag after optimizer step `step`.
    pub(super) fn scalars(
        &mut self,
        now: Duration,
        step: u32,
        values: &[(&str, f64)],
    ) -> Result<()> {
        self.write(Event { time: now, step: step.into(), payload: EventPayload::Scalars(values) })
    }

    fn write(&mut self, event: Event<'_>) -> Result<()> {
        let record = record::tf_record(&event.encode());
        self.file.write_all(&record).map_err(Error::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_file_in_the_same_second_gets_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("tensorboard");
        let now = Duration::from_millis(1_500);
        for _ in 0..2 {
            EventFile::create(&dir, now).unwrap().scalars(now, 1, &[("a", 2.0)]).unwrap();
        }
        let entries = std::fs::read_dir(&dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let name = |n| format!("events.out.tfevents.0000000001.desam.{n}");
        assert_eq!(names, [name(0), name(1)]);
        let read = |n: usize| std::fs::read(dir.join(&names[n])).unwrap();
        assert!(read(0) == read(1));
    }
}
