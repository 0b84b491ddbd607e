//! Environment variables; no other module reads them (`threads` sets two).

use crate::usage::usage;
use anyhow::Context;
use desam::DeviceChoice;
use std::ffi::OsString;
use std::path::Path;
#[cfg(feature = "hub")]
use std::path::PathBuf;

/// Array task index from the scheduler: `SLURM_ARRAY_TASK_ID` of a Slurm array job, else
/// `JOB_COMPLETION_INDEX` of a Kubernetes indexed job.
pub(crate) fn task_index() -> anyhow::Result<Option<usize>> {
    index_from(|name| std::env::var_os(name))
}

fn index_from(get: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Option<usize>> {
    for name in ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"] {
        if let Some(value) = get(name).filter(|value| !value.is_empty()) {
            let text = value.to_string_lossy();
            let Ok(index) = text.parse() else {
                return Err(usage(format!(
                    "environment variable {name} is {text:?}, expected a whole number from 0"
                )));
            };
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// `DESAM_DEVICE`: the device to compute on where `--device` is not given.
pub(crate) fn device() -> anyhow::Result<Option<DeviceChoice>> {
    device_from(|name| std::env::var_os(name))
}

fn device_from(get: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Option<DeviceChoice>> {
    let Some(value) = get("DESAM_DEVICE").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match value.to_string_lossy().parse() {
        Ok(choice) => Ok(Some(choice)),
        Err(error) => Err(usage(format!("environment variable DESAM_DEVICE: {error}"))),
    }
}

/// Host and scheduler task of this process, which other workers of a sweep see in its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerIdentity {
    /// Host name.
    pub(crate) host: String,
    /// Scheduler task, by a name that stays the same when the task is requeued.
    pub(crate) task: Option<String>,
}

impl WorkerIdentity {
    /// Reads the host name and the scheduler's variables.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Self::from(host, |name| std::env::var_os(name))
    }

    fn from(host: Option<String>, get: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Self> {
        let get = |name: &str| {
            let value = get(name).and_then(|value| value.into_string().ok());
            value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
        };
        let host = host.map(|h| h.trim().to_owned()).filter(|h| !h.is_empty());
        let host = host.or_else(|| get("HOSTNAME")).or_else(|| get("COMPUTERNAME"));
        let host =
            host.context("the host name is unknown: set the environment variable HOSTNAME")?;
        // A requeued Slurm job keeps its job ID. A replaced pod of an indexed job keeps its host
        // name, which consists of the job's name and the index.
        let slurm = get("SLURM_JOB_ID").map(|job| format!("slurm {job}"));
        let kubernetes = get("JOB_COMPLETION_INDEX").map(|_| format!("kubernetes {host}"));
        Ok(Self { task: slurm.or(kubernetes), host })
    }
}

/// Download settings, in the variables that Hugging Face's own library uses.
#[cfg(feature = "hub")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HubEnvironment {
    /// Download folder: `HF_HUB_CACHE`, else `HF_HOME/hub`, else the user's cache folder.
    pub(crate) cache_dir: Option<PathBuf>,
    /// `HF_ENDPOINT`: a mirror to use instead of huggingface.co.
    pub(crate) endpoint: Option<String>,
    /// `HF_TOKEN`: access token.
    pub(crate) token: Option<String>,
    /// `HF_HUB_OFFLINE`: use downloaded files only, without network access.
    pub(crate) offline: bool,
}

#[cfg(feature = "hub")]
impl HubEnvironment {
    /// Reads the variables.
    pub(crate) fn read() -> Self {
        Self::from(|name| std::env::var_os(name))
    }

    /// The settings in the variables that `get` returns. An empty variable counts as unset.
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
            // The values that huggingface_hub treats as true.
            offline: offline.is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.as_str())),
        }
    }
}

/// Sets the host name and command line that others see in the locks of this process.
pub(crate) fn identify() {
    let host = WorkerIdentity::read().ok().map(|identity| identity.host);
    let words = std::env::args_os().enumerate().map(|(n, word)| match n {
        // The program name without its folder.
        0 => {
            Path::new(&word).file_name().unwrap_or(word.as_os_str()).to_string_lossy().into_owned()
        }
        _ => word.to_string_lossy().into_owned(),
    });
    desam::data::lock::identify(host, words.collect::<Vec<_>>().join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(vars: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        let vars: Vec<(String, OsString)> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        move |name| vars.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn task_index_comes_from_slurm_or_kubernetes() {
        // sbatch(1), "OUTPUT ENVIRONMENT VARIABLES"; Kubernetes, "Indexed Job for parallel
        // processing with static work assignment".
        let index = |vars: &[(&str, &str)]| index_from(variables(vars)).map_err(|e| e.to_string());
        assert_eq!(index(&[("SLURM_ARRAY_TASK_ID", "7")]), Ok(Some(7)));
        assert_eq!(index(&[("JOB_COMPLETION_INDEX", "0")]), Ok(Some(0)));
        assert_eq!(index(&[("SLURM_ARRAY_TASK_ID", "")]), Ok(None));
        assert_eq!(index(&[]), Ok(None));
        let message = index(&[("SLURM_ARRAY_TASK_ID", "x")]).unwrap_err();
        assert!(message.contains("SLURM_ARRAY_TASK_ID") && message.contains("\"x\""), "{message}");
    }

    #[test]
    fn desam_device_is_parsed_or_unset() {
        let device =
            |vars: &[(&str, &str)]| device_from(variables(vars)).map_err(|e| e.to_string());
        assert_eq!(device(&[("DESAM_DEVICE", "cuda:1")]), Ok(Some(DeviceChoice::Cuda(1))));
        assert_eq!(device(&[("DESAM_DEVICE", "cpu")]), Ok(Some(DeviceChoice::Cpu)));
        assert_eq!(device(&[("DESAM_DEVICE", "")]), Ok(None));
        assert_eq!(device(&[]), Ok(None));
        let message = device(&[("DESAM_DEVICE", "gpu")]).unwrap_err();
        assert!(message.contains("DESAM_DEVICE") && message.contains("\"gpu\""), "{message}");
    }

    #[test]
    fn a_requeued_task_keeps_its_identity() {
        let identity = |host: Option<&str>, vars: &[(&str, &str)]| {
            WorkerIdentity::from(host.map(str::to_owned), variables(vars))
                .map_err(|e| e.to_string())
        };
        let here = identity(Some("node1\n"), &[("SLURM_JOB_ID", "12")]).unwrap();
        assert_eq!((here.host.as_str(), here.task.as_deref()), ("node1", Some("slurm 12")));
        let pod =
            identity(None, &[("HOSTNAME", "sweep-3"), ("JOB_COMPLETION_INDEX", "3")]).unwrap();
        assert_eq!(
            (pod.host.as_str(), pod.task.as_deref()),
            ("sweep-3", Some("kubernetes sweep-3"))
        );
        assert_eq!(identity(Some("laptop"), &[]).unwrap().task, None);
        assert!(identity(None, &[]).unwrap_err().contains("HOSTNAME"));
    }

    #[cfg(feature = "hub")]
    fn with(vars: &[(&str, &str)]) -> HubEnvironment {
        HubEnvironment::from(variables(vars))
    }

    #[cfg(feature = "hub")]
    #[test]
    fn the_download_folder_is_that_of_huggingface_hub() {
        // huggingface_hub's documentation of its environment variables.
        let cache = |vars: &[(&str, &str)]| with(vars).cache_dir;
        assert_eq!(cache(&[("HF_HOME", "/w"), ("HOME", "/u")]), Some("/w/hub".into()));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/w")]), Some("/c".into()));
        assert_eq!(cache(&[("HOME", "/u")]), Some("/u/.cache/huggingface/hub".into()));
        assert_eq!(cache(&[("HF_HOME", ""), ("HOME", "/u")]), cache(&[("HOME", "/u")]));
        assert_eq!(cache(&[]), None);
    }

    #[cfg(feature = "hub")]
    #[test]
    fn offline_accepts_the_values_of_huggingface_hub() {
        for (value, offline) in [("1", true), ("yes", true), ("True", true), ("0", false)] {
            assert_eq!(with(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        assert!(!with(&[]).offline);
        assert_eq!(with(&[("HF_ENDPOINT", "http://m/")]).endpoint, Some("http://m".into()));
    }
}
