//! SAM's weights by name from the Hugging Face hub: pinned, checked, cached, usable offline.
//!
//! Files land in the cache that the Python library uses too (`models--…/{blobs,refs,snapshots}`).
//! A download is kept in a folder of its own until its size, and its SHA-256 where the hub states
//! one (it does for every file of weights), are those the hub announced; only then it appears in
//! the cache. A connection that is cut is taken up again where it broke, also by a later call.
//!
//! Nothing here reads the environment: what `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and
//! `HF_HUB_OFFLINE` say, a program passes in as [`HubOptions`].

mod fetch;
mod model;
mod transfer;

pub use fetch::fetch;
pub use model::HubModel;

use std::path::PathBuf;

/// Where to look, whom to ask.
#[derive(Clone, Default)]
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
}

impl std::fmt::Debug for HubOptions {
    /// All but the token itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache_dir", &self.cache_dir)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .finish()
    }
}
