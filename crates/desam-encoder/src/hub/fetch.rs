//! Fetching a file: from the cache, or by a download.

use super::cache::{Difference, ModelCache, stored_token};
use super::client::{Client, Failure, Stated, hub_error};
use super::hash::is_sha256;
use super::lock::lock;
use super::transfer::{Transfer, check_status};
use super::{HubModel, HubOptions};
use crate::{Error, Result};
use desam_core::Progress;
use std::path::{Path, PathBuf};

const HUB: &str = "https://huggingface.co";

/// Limit on a file's length. ViT-H has 2.6 GB.
const LARGEST: u64 = 1 << 35;

/// Returns the path of a model's file, from the cache or after a download into it.
///
/// A cached file of a branch or tag is not looked up again. Cached files are verified by their SHA-256
/// where it is known; a damaged file is removed and downloaded again.
///
/// # Errors
/// When there is no cache folder; when offline and the file is not in the cache (the error has the path
/// it would have); when the hub cannot be reached, times out, refuses, states no SHA-256 for a file
/// whose SHA-256 is not pinned, or sends something else than it announced.
pub fn fetch(model: &HubModel, options: &HubOptions, progress: &dyn Progress) -> Result<PathBuf> {
    model.check()?;
    let Some(folder) = &options.cache_dir else {
        return Err(hub_error(&model.repo, "there is no cache folder to download to; set HF_HOME"));
    };
    let cache = ModelCache::new(folder, model);
    if let Some(path) = cache.find() {
        let Some(difference) = cache.difference(&path)? else {
            return Ok(path);
        };
        let Difference { expected, found } = difference;
        if options.offline {
            return Err(Error::Damaged { path, expected, found });
        }
        let shown = path.display();
        progress.warn(&format!(
            "{shown} is damaged: its sha256 is {found}, expected {expected}; it is fetched again"
        ));
        cache.remove(&path)?;
    }
    if options.offline {
        return Err(Error::Offline {
            repo: model.repo.clone(),
            file: model.file.clone(),
            revision: model.revision.clone(),
            looked: cache.snapshot(&model.revision),
        });
    }
    download(model, &cache, folder, options, progress)
}

fn download(
    model: &HubModel,
    cache: &ModelCache<'_>,
    folder: &Path,
    options: &HubOptions,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let endpoint = options.endpoint.as_deref().unwrap_or(HUB).trim_end_matches('/');
    let url = model.url(endpoint);
    if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
        let reason = "the endpoint is not an address like https://huggingface.co";
        return Err(hub_error(&url, reason));
    }
    let token = options.token.clone().or_else(|| stored_token(folder));
    let client = Client::new(&options.timeouts, token);
    let stated = probe(&client, &url, options, progress)?;
    let commit = commit(model, &stated, &url)?;
    let sha256 = sha256(model, &stated, &url)?;
    let size = match stated.size {
        Some(size) if size <= LARGEST => size,
        Some(size) => {
            let reason = format!("it announces {size} bytes, more than any checkpoint of a SAM");
            return Err(hub_error(&url, reason));
        }
        None => return Err(hub_error(&url, "it does not say how long the file is")),
    };
    let expected = model.size.unwrap_or(size);
    if let Some(other) =
        [Some(size), stated.other_size].into_iter().flatten().find(|s| *s != expected)
    {
        let what = "size in bytes";
        let (announced, received) = (expected.to_string(), other.to_string());
        return Err(Error::Download { url, what, announced, received });
    }
    progress.say(&format!(
        "downloading {} of {} ({} MB)",
        model.file,
        model.repo,
        size / 1_000_000
    ));
    // Named after its hash, so that a later call for the same bytes resumes it under any revision.
    let part = cache.part(&sha256);
    let incoming = part.parent().unwrap_or(folder);
    std::fs::create_dir_all(incoming).map_err(Error::io(incoming))?;
    let timeouts = &options.timeouts;
    let _lock = lock(&part, &url, timeouts, progress)?;
    // Another process may have finished the download while this one waited for the lock.
    if let Some(path) = cache.find() {
        return Ok(path);
    }
    let (client, url, file, sha256) = (&client, url.as_str(), model.file.as_str(), sha256.as_str());
    let transfer = Transfer { client, url, file, size, sha256, timeouts };
    transfer.receive(&part, progress)?;
    cache.take(&part, sha256, &commit)
}

/// Requests one byte, for the file metadata in the headers.
fn probe(
    client: &Client,
    url: &str,
    options: &HubOptions,
    progress: &dyn Progress,
) -> Result<Stated> {
    let ask = || -> Result<Stated, Failure> {
        let answer = client.get(url, Some("bytes=0-0"))?;
        check_status(url, answer.status.as_u16())?;
        Ok(answer.stated)
    };
    match ask() {
        Err(failure) if failure.passing => {
            progress.detail(&format!("{}; trying again", failure.error));
            std::thread::sleep(options.timeouts.retry);
            ask().map_err(|failure| failure.error)
        }
        answer => answer.map_err(|failure| failure.error),
    }
}

/// The file's commit: the pinned one, or the hub's for a branch.
fn commit(model: &HubModel, stated: &Stated, url: &str) -> Result<String> {
    let said = stated.commit.as_deref();
    if model.is_pinned() {
        return match said {
            Some(other) if other != model.revision => {
                let reason = format!("it answered with commit {other:.80}, not the requested one");
                Err(hub_error(url, reason))
            }
            // A mirror may omit it; the pinned SHA-256 identifies the file as well.
            None if model.sha256.is_none() => {
                Err(hub_error(url, "it does not say which commit its file is of"))
            }
            _ => Ok(model.revision.clone()),
        };
    }
    match said.and_then(super::model::commit) {
        Some(commit) => Ok(commit.to_owned()),
        None => {
            let reason = format!("it names an invalid commit, {:?}", said.unwrap_or("none"));
            Err(hub_error(url, reason))
        }
    }
}

/// Expected SHA-256 of the file.
fn sha256(model: &HubModel, stated: &Stated, url: &str) -> Result<String> {
    let pinned = model.sha256.as_deref().map(str::to_ascii_lowercase);
    match (pinned, &stated.sha256) {
        (Some(pinned), Some(stated)) if pinned != *stated => Err(Error::Download {
            url: url.to_owned(),
            what: "sha256",
            announced: pinned,
            received: stated.clone(),
        }),
        (Some(pinned), _) => Ok(pinned),
        (None, Some(stated)) if is_sha256(stated) => Ok(stated.clone()),
        (None, _) => {
            let etag = stated.other_etag.as_deref().unwrap_or("none");
            let reason = format!(
                "it states no SHA-256 of the file (its etag is {etag:?}), so what it sends could not \
                 be checked; give the SHA-256, or download the file yourself and give its path"
            );
            Err(hub_error(url, reason))
        }
    }
}
