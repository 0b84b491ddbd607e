//! The folder in which the Python library keeps downloads, and where things lie in it:
//! `models--OWNER--NAME/{blobs/SHA256, refs/REVISION, snapshots/COMMIT/FILE}`.

use super::HubModel;
use super::hash::{is_sha256, sha256_of};
use crate::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Downloads that are not whole yet: on the same disk as the cache, under names nobody looks for.
const INCOMING: &str = ".desam-incoming";

/// One model's part of a cache folder.
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

    /// The file at a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit).join(&self.model.file)
    }

    /// The file, where it is there: at the pinned commit, or at the one that a branch was at.
    pub(super) fn find(&self) -> Option<PathBuf> {
        let pinned = self.snapshot(&self.model.revision);
        let reference = || std::fs::read_to_string(self.reference()).ok();
        let of_branch = || Some(self.snapshot(super::model::commit(reference()?.trim())?));
        [Some(pinned), of_branch()].into_iter().flatten().find(|path| path.is_file())
    }

    fn reference(&self) -> PathBuf {
        self.folder().join("refs").join(&self.model.revision)
    }

    /// Where a download of these bytes grows. A later call with the same hash goes on with it.
    pub(super) fn part(&self, sha256: &str) -> PathBuf {
        self.root.join(INCOMING).join(format!("{sha256}.part"))
    }

    /// Moves a checked download into the cache.
    pub(super) fn take(&self, part: &Path, sha256: &str, commit: &str) -> Result<PathBuf> {
        let to = self.snapshot(commit);
        let blob = self.folder().join("blobs").join(sha256);
        for folder in [blob.parent(), to.parent()].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        // A link that points nowhere, or to what was found to be damaged, would be in the way.
        if to.symlink_metadata().is_ok() {
            std::fs::remove_file(&to).map_err(Error::io(&to))?;
        }
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

    /// Links need rights that not everyone has on other systems: the file itself takes their place,
    /// which the Python library does too.
    #[cfg(not(unix))]
    fn link(&self, part: &Path, _: &Path, to: &Path) -> Result<()> {
        std::fs::rename(part, to).map_err(Error::io(to))
    }

    fn write_reference(&self, commit: &str) -> Result<()> {
        let path = self.reference();
        let folder = path.parent().unwrap_or(self.root);
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let mut file = desam_core::temporary::create_in(folder).map_err(Error::io(folder))?;
        file.write_all(commit.as_bytes()).map_err(Error::io(&path))?;
        file.persist(&path).map_err(|e| Error::io(&path)(e.error))?;
        Ok(())
    }

    /// The SHA-256 that a cached file should have: the pinned one, else the name of its blob.
    fn expected(&self, path: &Path) -> Option<String> {
        if let Some(pinned) = &self.model.sha256 {
            return Some(pinned.to_ascii_lowercase());
        }
        let blob = std::fs::canonicalize(path).ok()?;
        let name = blob.file_name()?.to_str()?;
        is_sha256(name).then(|| name.to_ascii_lowercase())
    }

    /// Whether a cached file holds what it should, as far as that is known: what it has instead and
    /// what it should have, where it does not.
    pub(super) fn difference(&self, path: &Path) -> Result<Option<Difference>> {
        let Some(expected) = self.expected(path) else {
            return Ok(None);
        };
        let found = sha256_of(path)?;
        Ok((found != expected).then_some(Difference { expected, found }))
    }

    /// Removes a damaged file: the name in the snapshot, and the blob that it leads to.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        let blob = std::fs::canonicalize(path).ok();
        std::fs::remove_file(path).map_err(Error::io(path))?;
        match blob.filter(|blob| blob.starts_with(self.root) && blob.is_file()) {
            Some(blob) => std::fs::remove_file(&blob).map_err(Error::io(&blob)),
            None => Ok(()),
        }
    }
}

/// Two hashes that should be one.
pub(super) struct Difference {
    pub(super) expected: String,
    pub(super) found: String,
}

/// The token that `huggingface-cli login` left beside the cache folder.
pub(super) fn stored_token(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.parent()?.join("token")).ok()?;
    let token = text.trim();
    (!token.is_empty()).then(|| token.to_owned())
}
