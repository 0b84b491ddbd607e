//! One download, watched and checked.

use crate::{Error, Result};
use desam_core::Progress;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What was announced.
pub(super) struct Transfer {
    pub(super) url: String,
    pub(super) size: u64,
    /// The file's SHA-256 where it is stored as a large file.
    pub(super) etag: String,
}

/// Runs `download`, which leaves its file at the first of `places` and a link to it at the second,
/// and gives back the first once it is what was announced.
///
/// hf-hub continues from a `.part` beside the blob, but accepts whatever length comes of it: that
/// is why it works in a folder of its own.
pub(super) fn receive(
    transfer: &Transfer,
    (blob, pointer): (&Path, &Path),
    progress: &dyn Progress,
    download: impl FnOnce(Bar<'_>) -> Result<PathBuf>,
) -> Result<PathBuf> {
    let part = blob.with_extension("part");
    // As long as the whole or longer: there is nothing left to ask for, and the server would refuse.
    if part.metadata().is_ok_and(|m| m.len() >= transfer.size) {
        std::fs::remove_file(&part).map_err(Error::io(&part))?;
    }
    remove(pointer)?;
    download(Bar::new(progress))?;
    let checked = check(transfer, blob).and_then(|()| sync(blob));
    remove(pointer)?;
    if checked.is_err() {
        remove(blob)?;
    }
    checked.map(|()| blob.to_owned())
}

/// Removes a file or link that need not exist.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

/// Onto the disk, before a name says that it is there.
fn sync(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    file.sync_all().map_err(Error::io(path))
}

fn check(transfer: &Transfer, blob: &Path) -> Result<()> {
    let differs = |what, announced: &str, received: &str| {
        Err(Error::Download {
            url: transfer.url.clone(),
            what,
            announced: announced.to_owned(),
            received: received.to_owned(),
        })
    };
    let size = blob.metadata().map_err(Error::io(blob))?.len();
    if size != transfer.size {
        return differs("size in bytes", &transfer.size.to_string(), &size.to_string());
    }
    let hash = &transfer.etag;
    if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        let found = sha256(blob)?;
        if !found.eq_ignore_ascii_case(hash) {
            return differs("sha256", hash, &found);
        }
    }
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(Error::io(path))?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => break,
        }
    }
    Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// hf-hub's progress as ours. After a broken connection hf-hub begins again and reports what it
/// already has; a bar shows only what is new.
pub(super) struct Bar<'a> {
    progress: &'a dyn Progress,
    begun: bool,
    at: u64,
    shown: u64,
    size: u64,
}

impl<'a> Bar<'a> {
    fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, begun: false, at: 0, shown: 0, size: 0 }
    }
}

impl hf_hub::api::Progress for Bar<'_> {
    fn init(&mut self, size: usize, filename: &str) {
        if !self.begun {
            self.begun = true;
            self.size = size as u64;
            self.progress.begin(&format!("downloading {filename}"), self.size);
        }
        self.at = 0;
    }

    fn update(&mut self, size: usize) {
        self.at += size as u64;
        if self.at > self.shown {
            self.progress.advance(self.at - self.shown, "");
            self.shown = self.at;
        }
    }

    fn finish(&mut self) {}
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if self.begun {
            let whole = self.shown == self.size;
            self.progress.finish(if whole { "received" } else { "interrupted" });
        }
    }
}
