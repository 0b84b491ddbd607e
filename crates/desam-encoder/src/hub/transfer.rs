//! A download: resumed if the connection breaks, hashed while it is received, aborted when it stalls.

use super::HubTimeouts;
use super::client::{Client, Failure, hub_error};
use super::hash::{feed, hexadecimal};
use crate::{Error, Result};
use desam_core::Progress;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

/// Retries after a broken connection; each resumes where the last one stopped.
const RETRIES: u32 = 3;

/// Minimum rate in bytes per second, over the whole timeout; less counts as no progress.
const SLOWEST: u64 = 1024;

/// Size of the receive buffer, bytes.
const CHUNK: usize = 1 << 16;

/// A file to download, with its expected length and hash.
pub(super) struct Transfer<'a> {
    pub(super) client: &'a Client,
    pub(super) url: &'a str,
    /// Name for the progress bar.
    pub(super) file: &'a str,
    pub(super) size: u64,
    pub(super) sha256: &'a str,
    pub(super) timeouts: &'a HubTimeouts,
}

impl Transfer<'_> {
    /// Downloads into `part`, resuming from its end, until it is the whole file.
    ///
    /// # Errors
    /// When the connection breaks for good or stalls: `part` stays, for the next call to resume. When
    /// length or hash differ from the expected ones: `part` is removed.
    pub(super) fn receive(&self, part: &Path, progress: &dyn Progress) -> Result<()> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part);
        let mut file = file.map_err(Error::io(part))?;
        let mut bar = Bar::new(progress, self.file, self.size);
        let mut wait = self.timeouts.retry;
        for attempt in 0..=RETRIES {
            match self.attempt(&mut file, part, &mut bar) {
                Ok(()) => break,
                Err(failure) if failure.passing && attempt < RETRIES => {
                    progress.detail(&format!("{}; trying again", failure.error));
                    std::thread::sleep(wait);
                    wait *= 2;
                }
                Err(failure) => return Err(self.kept(part, failure.error)),
            }
        }
        // Before the rename: a crash must not leave incomplete bytes under the final name.
        file.sync_all().map_err(Error::io(part))
    }

    /// One attempt, from the end of `file` to the end of the download.
    fn attempt(&self, file: &mut File, part: &Path, bar: &mut Bar<'_>) -> Result<(), Failure> {
        let io = |e: std::io::Error| Failure { error: Error::io(part)(e), passing: false };
        let mut length = file.metadata().map_err(io)?.len();
        // Longer than announced, or complete but never verified: start over.
        if length >= self.size {
            length = 0;
        }
        let range = (length > 0).then(|| format!("bytes={length}-"));
        let answer = self.client.get(self.url, range.as_deref())?;
        let status = answer.status.as_u16();
        if status == 416 && length > 0 {
            file.set_len(0).map_err(io)?;
            let error = hub_error(self.url, "it does not continue downloads");
            return Err(Failure { error, passing: true });
        }
        check_status(self.url, status)?;
        // A server without range requests sends the file from its beginning.
        let from = if status == 206 { answer.stated.from.unwrap_or(0) } else { 0 };
        if from > length {
            let reason = format!("it continues at byte {from} instead of {length}");
            return Err(Failure { error: hub_error(self.url, reason), passing: false });
        }
        let sizes = [answer.stated.size, answer.stated.other_size];
        if let Some(size) = sizes.into_iter().flatten().find(|size| *size != self.size) {
            let error = self.differs("size in bytes", self.size.to_string(), size.to_string());
            return Err(self.thrown_away(part, error));
        }
        // A server may resume earlier than requested; the bytes from there on are received again.
        file.set_len(from).map_err(io)?;
        file.rewind().map_err(io)?;
        // The bytes of earlier calls are hashed again: no state of the hash is stored with them.
        let mut hasher = Sha256::new();
        feed(&mut hasher, &mut *file).map_err(io)?;
        file.seek(SeekFrom::Start(from)).map_err(io)?;
        bar.reach(from);
        let received = self.stream(answer.body.into_reader(), file, &mut hasher, bar)?;
        let total = from + received;
        if total < self.size {
            let reason = format!("the connection ended after {total} of {} bytes", self.size);
            return Err(Failure { error: hub_error(self.url, reason), passing: true });
        }
        if total > self.size {
            let error =
                self.differs("size in bytes", self.size.to_string(), format!("{total} or more"));
            return Err(self.thrown_away(part, error));
        }
        let found = hexadecimal(hasher);
        if found != self.sha256 {
            let error = self.differs("sha256", self.sha256.to_owned(), found);
            return Err(self.thrown_away(part, error));
        }
        Ok(())
    }

    /// Appends the body to `file`, at most one buffer beyond the announced length.
    fn stream(
        &self,
        mut body: impl Read,
        file: &mut File,
        hasher: &mut Sha256,
        bar: &mut Bar<'_>,
    ) -> Result<u64, Failure> {
        let start = bar.at;
        let mut buffer = vec![0u8; CHUNK];
        let mut window = (Instant::now(), 0u64);
        while bar.at <= self.size {
            let read = match body.read(&mut buffer) {
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.broken(&e, bar.at)),
            };
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            let written = file.write_all(bytes);
            written.map_err(|e| Failure { error: Error::io(self.file)(e), passing: false })?;
            hasher.update(bytes);
            bar.reach(bar.at + read as u64);
            window.1 += read as u64;
            let elapsed = window.0.elapsed();
            if elapsed >= self.timeouts.stall {
                if window.1 < SLOWEST * elapsed.as_secs().max(1) {
                    let reason = format!(
                        "it stalled at {} of {} bytes: {} bytes in {} s",
                        bar.at,
                        self.size,
                        window.1,
                        elapsed.as_secs()
                    );
                    return Err(Failure { error: hub_error(self.url, reason), passing: false });
                }
                window = (Instant::now(), 0);
            }
        }
        Ok(bar.at - start)
    }

    fn broken(&self, error: &std::io::Error, at: u64) -> Failure {
        let client = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
        // A timeout is not retried: a server that was silent once is likely to be silent again.
        let timed_out = matches!(client, Some(ureq::Error::Timeout(_)))
            || error.kind() == std::io::ErrorKind::TimedOut;
        let reason = format!("the connection broke at {at} of {} bytes: {error}", self.size);
        Failure { error: hub_error(self.url, reason), passing: !timed_out }
    }

    fn differs(&self, what: &'static str, announced: String, received: String) -> Error {
        Error::Download { url: self.url.to_owned(), what, announced, received }
    }

    /// `error`, after removing the download.
    fn thrown_away(&self, part: &Path, error: Error) -> Failure {
        // Removed, because a later call would resume from the wrong bytes.
        let error = match std::fs::remove_file(part) {
            Ok(()) => error,
            Err(e) => Error::io(part)(e),
        };
        Failure { error, passing: false }
    }

    /// `error`, with the note that the incomplete download is kept.
    fn kept(&self, part: &Path, error: Error) -> Error {
        match (error, part.metadata().map_or(0, |m| m.len())) {
            (Error::Hub { url, reason }, length) if length > 0 => {
                let part = part.display();
                let reason = format!("{reason}; {length} bytes are kept in {part} to resume from");
                Error::Hub { url, reason }
            }
            (error, _) => {
                // Nothing was received: leave no empty file.
                let _ = std::fs::remove_file(part);
                error
            }
        }
    }
}

/// Refuses responses without a file.
pub(super) fn check_status(url: &str, status: u16) -> Result<(), Failure> {
    let hint = match status {
        200 | 206 => return Ok(()),
        401 | 403 => " (the repository may ask for a token: HF_TOKEN)",
        404 => " (no such repository, revision or file)",
        429 | 500..=599 => " (try again later)",
        _ => "",
    };
    let error = hub_error(url, format!("it answered with status {status}{hint}"));
    Err(Failure { error, passing: matches!(status, 429 | 500..=599) })
}

/// A progress bar in bytes, which never decreases when a part is sent again.
struct Bar<'a> {
    progress: &'a dyn Progress,
    at: u64,
    shown: u64,
    size: u64,
}

impl<'a> Bar<'a> {
    fn new(progress: &'a dyn Progress, file: &str, size: u64) -> Self {
        progress.begin(&format!("downloading {file}"), size);
        Self { progress, at: 0, shown: 0, size }
    }

    fn reach(&mut self, at: u64) {
        self.at = at;
        let at = at.min(self.size);
        if at > self.shown {
            self.progress.advance(at - self.shown, "");
            self.shown = at;
        }
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        let whole = self.shown == self.size;
        self.progress.finish(if whole { "received" } else { "interrupted" });
    }
}
