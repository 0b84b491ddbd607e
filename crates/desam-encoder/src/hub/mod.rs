//! SAM's weights by name from the Hugging Face hub: pinned, checked, cached, usable offline.
//!
//! Files land in the cache that the Python library uses too (`models--…/{blobs,refs,snapshots}`).
//! A download grows in a folder of its own until its size and its SHA-256 are what they have to be;
//! only then it appears in the cache. The SHA-256 is pinned for the presets; of other files the hub
//! has to state it (it does for every file of weights). A connection that is cut is taken up again
//! where it broke, also by a later call; one that stalls is given up.
//!
//! Nothing here reads the environment: what `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and
//! `HF_HUB_OFFLINE` say, a program passes in as [`HubOptions`].

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

/// Where to look, whom to ask, how long to wait.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HubOptions {
    /// The cache folder (`HF_HOME/hub`). Without one nothing can be fetched.
    pub cache_dir: Option<PathBuf>,
    /// A mirror to ask instead of `https://huggingface.co`, without a slash at its end.
    pub endpoint: Option<String>,
    /// A token, for repositories that ask for one. Without it the one that `huggingface-cli login`
    /// left beside the cache folder is used, if any.
    pub token: Option<String>,
    /// Whether to ask nobody and use only what is in the cache.
    pub offline: bool,
    /// When to give up.
    pub timeouts: HubTimeouts,
}

/// How long to wait for the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubTimeouts {
    /// For a name to be resolved and a connection to be made; 20 s.
    pub connect: Duration,
    /// For an answer, and for any further bytes of it; 30 s.
    pub read: Duration,
    /// For progress: a download that brings less than 1 KiB a second over this long is given up;
    /// 60 s.
    pub stall: Duration,
    /// Before the first further attempt after a connection broke, doubled for each; 0.5 s.
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
