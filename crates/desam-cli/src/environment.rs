//! The environment, read here and nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the environment says about downloads, by Hugging Face's own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HubEnvironment {
    /// Where downloads are kept: `HF_HUB_CACHE`, else `HF_HOME/hub`, else the user's cache folder.
    pub(crate) cache_dir: Option<PathBuf>,
    /// `HF_ENDPOINT`: a mirror to ask instead of huggingface.co.
    pub(crate) endpoint: Option<String>,
    /// `HF_TOKEN`.
    pub(crate) token: Option<String>,
    /// `HF_HUB_OFFLINE`: ask nobody.
    pub(crate) offline: bool,
}

impl HubEnvironment {
    /// As it is now.
    pub(crate) fn read() -> Self {
        Self::from(|name| std::env::var_os(name))
    }

    /// As `get` has it. An empty variable counts as none.
    fn from(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let path = |name: &str| get(name).map(PathBuf::from);
        let text = |name: &str| get(name).and_then(|value| value.into_string().ok());
        let cache_dir = path("HF_HUB_CACHE")
            .or_else(|| path("HF_HOME").map(|home| home.join("hub")))
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
            .or_else(|| path("HOME").map(|home| home.join(".cache/huggingface/hub")))
            .or_else(|| path("USERPROFILE").map(|home| home.join(".cache/huggingface/hub")));
        let offline = text("HF_HUB_OFFLINE").map(|v| v.to_ascii_uppercase());
        Self {
            cache_dir,
            endpoint: text("HF_ENDPOINT").map(|e| e.trim_end_matches('/').to_owned()),
            token: text("HF_TOKEN"),
            // The values that the Python library counts as true.
            offline: offline.is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&str, &str)]) -> HubEnvironment {
        HubEnvironment::from(|name| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn downloads_go_where_the_python_library_puts_them() {
        // huggingface_hub's documentation of its environment variables.
        let cache = |vars: &[(&str, &str)]| with(vars).cache_dir;
        assert_eq!(cache(&[("HF_HOME", "/w"), ("HOME", "/u")]), Some("/w/hub".into()));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/w")]), Some("/c".into()));
        assert_eq!(cache(&[("HOME", "/u")]), Some("/u/.cache/huggingface/hub".into()));
        assert_eq!(cache(&[("HF_HOME", ""), ("HOME", "/u")]), cache(&[("HOME", "/u")]));
        assert_eq!(cache(&[]), None);
    }

    #[test]
    fn offline_is_said_as_elsewhere() {
        for (value, offline) in [("1", true), ("yes", true), ("True", true), ("0", false)] {
            assert_eq!(with(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        assert!(!with(&[]).offline);
        assert_eq!(with(&[("HF_ENDPOINT", "http://m/")]).endpoint, Some("http://m".into()));
    }
}
