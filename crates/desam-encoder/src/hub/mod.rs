//! Download of SAM's weights by name from the Hugging Face hub: pinned, verified, cached, usable
//! offline.
//!
//! Files land in the cache that the Python library uses too (`models--…/{blobs,refs,snapshots}`).
//! A download is written to a separate folder and moved into the cache only after its size and
//! SHA-256 are verified. The SHA-256 is pinned for the presets; for other files the hub must state it
//! (it does for every file of weights). An interrupted download is resumed, also by a later call; a
//! stalled one is aborted.
//!
//! Nothing here reads the environment: a program passes the values of `HF_HOME`, `HF_ENDPOINT`,
//! `HF_TOKEN` and `HF_HUB_OFFLINE` as [`HubOptions`].

mod cache;
mod client;
mod fetch;
mod hash;
mod lock;
mod model;
mod transfer;

pub use fetch::fetch;
pub use model::HubModel;

use std::path::PathBuf;
use std::time::Duration;

/// Cache folder, endpoint, authentication and timeouts.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HubOptions {
    /// The cache folder (`HF_HOME/hub`). Without one nothing can be fetched.
    pub cache_dir: Option<PathBuf>,
    /// A mirror instead of `https://huggingface.co`, without a trailing slash.
    pub endpoint: Option<String>,
    /// Access token for gated repositories. Without it, the one that `huggingface-cli login` stored next
    /// to the cache folder is used, if any.
    pub token: Option<String>,
    /// Offline mode: use only the cache, without any request.
    pub offline: bool,
    /// Timeouts.
    pub timeouts: HubTimeouts,
}

/// Timeouts of requests to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubTimeouts {
    /// To resolve the name and connect; 20 s.
    pub connect: Duration,
    /// To receive the response, and any further bytes of it; 30 s.
    pub read: Duration,
    /// To make progress: a download slower than 1 KiB/s over this time is aborted; 60 s.
    pub stall: Duration,
    /// Delay before the first retry after a broken connection, doubled for each (exponential backoff);
    /// 0.5 s.
    pub retry: Duration,
}

impl Default for HubTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            read: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            retry: Duration::from_millis(500),
        }
    }
}

impl std::fmt::Debug for HubOptions {
    /// All but the token itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache_dir", &self.cache_dir)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("timeouts", &self.timeouts)
            .finish()
    }
}
