//! The cache folder of the Python library `huggingface_hub`, and its structure:
//! `models--OWNER--NAME/{blobs/SHA256, refs/REVISION, snapshots/COMMIT/FILE}`.

use super::HubModel;
use super::hash::{is_sha256, sha256_of};
use crate::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Folder of incomplete downloads: on the cache's file system, so that a rename moves them, and outside
/// the Python library's names.
const INCOMING: &str = ".desam-incoming";

/// A model's files in the cache folder.
pub(super) struct ModelCache<'a> {
    root: &'a Path,
    model: &'a HubModel,
}

impl<'a> ModelCache<'a> {
    pub(super) fn new(root: &'a Path, model: &'a HubModel) -> Self {
        Self { root, model }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(format!("models--{}", self.model.repo.replace('/', "--")))
    }

    /// Path of the file at a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit).join(&self.model.file)
    }

    /// Path of the cached file, if any: at the pinned commit, or at the commit stored for a branch.
    pub(super) fn find(&self) -> Option<PathBuf> {
        let pinned = self.snapshot(&self.model.revision);
        let reference = || std::fs::read_to_string(self.reference()).ok();
        let of_branch = || Some(self.snapshot(super::model::commit(reference()?.trim())?));
        [Some(pinned), of_branch()].into_iter().flatten().find(|path| path.is_file())
    }

    fn reference(&self) -> PathBuf {
        self.folder().join("refs").join(&self.model.revision)
    }

    /// Path of the incomplete download of these bytes. A later call with the same hash resumes it.
    pub(super) fn part(&self, sha256: &str) -> PathBuf {
        self.root.join(INCOMING).join(format!("{sha256}.part"))
    }

    /// Moves a verified download into the cache.
    pub(super) fn take(&self, part: &Path, sha256: &str, commit: &str) -> Result<PathBuf> {
        let to = self.snapshot(commit);
        let blob = self.folder().join("blobs").join(sha256);
        for folder in [blob.parent(), to.parent()].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        // A dangling link, or one to a damaged blob, would make the next step fail.
        if to.symlink_metadata().is_ok() {
            std::fs::remove_file(&to).map_err(Error::io(&to))?;
        }
        // The snapshot is linked after its blob is complete, and the reference written after the
        // snapshot: a reader of the cache never follows one to a file that is not there.
        self.link(part, &blob, &to)?;
        if commit != self.model.revision {
            self.write_reference(commit)?;
        }
        Ok(to)
    }

    #[cfg(unix)]
    fn link(&self, part: &Path, blob: &Path, to: &Path) -> Result<()> {
        std::fs::rename(part, blob).map_err(Error::io(blob))?;
        // From snapshots/COMMIT/ up to the model's folder; one more for a folder in the file's name.
        let up = "../".repeat(2 + self.model.file.matches('/').count());
        let name = blob.file_name().unwrap_or_default().to_string_lossy();
        match std::os::unix::fs::symlink(format!("{up}blobs/{name}"), to) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io(to)(e)),
            _ => Ok(()),
        }
    }

    /// Symbolic links need special permissions on other systems: the file itself is stored instead, as
    /// the Python library does.
    #[cfg(not(unix))]
    fn link(&self, part: &Path, _: &Path, to: &Path) -> Result<()> {
        std::fs::rename(part, to).map_err(Error::io(to))
    }

    fn write_reference(&self, commit: &str) -> Result<()> {
        let path = self.reference();
        let folder = path.parent().unwrap_or(self.root);
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        // Atomic, since another process may be reading it.
        let mut file = desam_core::temporary::create_in(folder).map_err(Error::io(folder))?;
        file.write_all(commit.as_bytes()).map_err(Error::io(&path))?;
        file.persist(&path).map_err(|e| Error::io(&path)(e.error))?;
        Ok(())
    }

    /// Expected SHA-256 of a cached file: the pinned one, else the name of its blob.
    fn expected(&self, path: &Path) -> Option<String> {
        if let Some(pinned) = &self.model.sha256 {
            return Some(pinned.to_ascii_lowercase());
        }
        let blob = std::fs::canonicalize(path).ok()?;
        let name = blob.file_name()?.to_str()?;
        is_sha256(name).then(|| name.to_ascii_lowercase())
    }

    /// Verifies a cached file, as far as its SHA-256 is known; returns the difference where it is
    /// damaged.
    pub(super) fn difference(&self, path: &Path) -> Result<Option<Difference>> {
        let Some(expected) = self.expected(path) else {
            return Ok(None);
        };
        let found = sha256_of(path)?;
        Ok((found != expected).then_some(Difference { expected, found }))
    }

    /// Removes a damaged file: its name in the snapshot, and the blob.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        // Resolved before the link is removed. A link may lead anywhere; only a file of this cache
        // is removed with it.
        let blob = std::fs::canonicalize(path).ok();
        std::fs::remove_file(path).map_err(Error::io(path))?;
        match blob.filter(|blob| blob.starts_with(self.root) && blob.is_file()) {
            Some(blob) => std::fs::remove_file(&blob).map_err(Error::io(&blob)),
            None => Ok(()),
        }
    }
}

/// Expected and actual hash of a damaged file.
pub(super) struct Difference {
    pub(super) expected: String,
    pub(super) found: String,
}

/// The access token that `huggingface-cli login` stored next to the cache folder.
pub(super) fn stored_token(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.parent()?.join("token")).ok()?;
    let token = text.trim();
    (!token.is_empty()).then(|| token.to_owned())
}
