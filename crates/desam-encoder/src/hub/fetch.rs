//! From a name to a file.

use super::transfer::{Transfer, receive};
use super::{HubModel, HubOptions};
use crate::{Error, Result};
use desam_core::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use std::path::{Path, PathBuf};

/// Downloads that are not whole yet, in the cache folder: on the same disk, out of everyone's way.
const INCOMING: &str = ".desam-incoming";

/// Further attempts after a connection broke; each goes on where the last one stopped.
const RETRIES: usize = 3;

/// The file of a model: from the cache, or downloaded into it.
///
/// A file of a branch or tag that is in the cache is not looked up again.
///
/// # Errors
/// When there is no cache folder; when offline and the file is not in the cache (the error says
/// where it would be); when the hub cannot be reached, says no, or sends something else than it
/// announced.
pub fn fetch(model: &HubModel, options: &HubOptions, progress: &dyn Progress) -> Result<PathBuf> {
    let Some(folder) = &options.cache_dir else {
        let reason = "there is no cache folder to download to; set HF_HOME";
        return Err(Error::Hub { url: model.repo.clone(), reason: reason.to_owned() });
    };
    let cache = Cache::new(folder.clone());
    let repo = Repo::with_revision(model.repo.clone(), RepoType::Model, model.revision.clone());
    let pinned = snapshot(&cache, &repo, &model.revision, &model.file);
    let known = cache.repo(repo.clone()).get(&model.file);
    if let Some(path) = [Some(pinned.clone()), known].into_iter().flatten().find(|p| p.is_file()) {
        return Ok(path);
    }
    if options.offline {
        return Err(Error::Offline {
            repo: model.repo.clone(),
            file: model.file.clone(),
            revision: model.revision.clone(),
            looked: pinned,
        });
    }
    download(model, &cache, repo, options, progress)
}

/// Where the cache has a file at a commit.
fn snapshot(cache: &Cache, repo: &Repo, commit: &str, file: &str) -> PathBuf {
    cache.repo(repo.clone()).pointer_path(commit).join(file)
}

fn download(
    model: &HubModel,
    cache: &Cache,
    repo: Repo,
    options: &HubOptions,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let incoming = Cache::new(cache.path().join(INCOMING));
    let api = api(&incoming, cache, options)
        .map_err(|e| Error::Hub { url: model.repo.clone(), reason: e.to_string() })?;
    let url = api.repo(repo.clone()).url(&model.file);
    let refuse = |reason: String| Error::Hub { url: url.clone(), reason };
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(refuse("the endpoint is not an address like https://huggingface.co".into()));
    }
    let announced = api.metadata(&url).map_err(|e| refuse(in_words(&e)))?;
    let (commit, etag) = (announced.commit_hash().to_owned(), announced.etag().to_owned());
    // Both become parts of paths.
    let plain =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !plain(&commit) || !plain(&etag) {
        return Err(refuse(format!("its answer has an odd commit {commit:?} or etag {etag:?}")));
    }
    if model.is_pinned() && commit != model.revision {
        return Err(refuse(format!("it answered with commit {commit}")));
    }
    let size = announced.size() as u64;
    progress.say(&format!(
        "downloading {} of {} ({} MB)",
        model.file,
        model.repo,
        size / 1_000_000
    ));
    let transfer = Transfer { url: url.clone(), size, etag: etag.clone() };
    let staged = incoming.repo(repo.clone());
    let pointer = staged.pointer_path(&commit).join(&model.file);
    let blob = receive(&transfer, (&staged.blob_path(&etag), &pointer), progress, |bar| {
        let file = api.repo(repo.clone()).download_with_progress(&model.file, bar);
        file.map_err(|e| refuse(in_words(&e)))
    })?;
    let place = Place { blob: cache.repo(repo.clone()).blob_path(&etag), etag };
    let path = place.take(&blob, &snapshot(cache, &repo, &commit, &model.file), &model.file)?;
    if commit != model.revision {
        let folder = cache.repo(repo);
        folder.create_ref(&commit).map_err(Error::io(cache.path()))?;
    }
    Ok(path)
}

fn api(incoming: &Cache, cache: &Cache, options: &HubOptions) -> Result<Api, ApiError> {
    let mut builder = ApiBuilder::from_cache(incoming.clone())
        .with_token(options.token.clone().or_else(|| cache.token()))
        .with_retries(RETRIES)
        .with_progress(false);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    builder.build()
}

/// An error of the library with what it is caused by, and what a refusal usually means.
fn in_words(error: &ApiError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    if text.contains("401") || text.contains("403") {
        text.push_str(" (the repository may ask for a token: HF_TOKEN)");
    }
    text
}

/// Where a checked file goes in the cache.
struct Place {
    blob: PathBuf,
    etag: String,
}

impl Place {
    /// Moves `from` into the cache and makes it visible as `to`.
    fn take(&self, from: &Path, to: &Path, file: &str) -> Result<PathBuf> {
        for folder in [self.blob.parent(), to.parent()].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        // A link that points nowhere would be in the way.
        if to.symlink_metadata().is_ok() && !to.exists() {
            std::fs::remove_file(to).map_err(Error::io(to))?;
        }
        self.link(from, to, file)?;
        Ok(to.to_owned())
    }

    #[cfg(unix)]
    fn link(&self, from: &Path, to: &Path, file: &str) -> Result<()> {
        std::fs::rename(from, &self.blob).map_err(Error::io(&self.blob))?;
        // From snapshots/COMMIT/ up to the repository's folder; one more for a folder in `file`.
        let up = "../".repeat(2 + file.matches('/').count());
        let target = format!("{up}blobs/{}", self.etag);
        match std::os::unix::fs::symlink(target, to) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io(to)(e)),
            _ => Ok(()),
        }
    }

    /// Links need rights that not everyone has on other systems: the file itself takes their place,
    /// which the Python library does too.
    #[cfg(not(unix))]
    fn link(&self, from: &Path, to: &Path, _: &str) -> Result<()> {
        std::fs::rename(from, to).map_err(Error::io(to))
    }
}
