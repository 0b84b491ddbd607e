//! Files of a checkpoint: one file, the shards of an index, or the weights in a model's folder.

use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The weights in a model's folder, as transformers and peft save them, the likeliest first.
const WEIGHTS: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "adapter_model.safetensors",
    "adapter_model.bin",
];

/// Limit on the length of an index or configuration, bytes.
const MAX_JSON_LEN: u64 = 1 << 26;

/// The files of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    /// Each file, sorted by name.
    pub(super) files: Vec<PathBuf>,
    /// The file that should hold each tensor, where there are shards.
    pub(super) shards: BTreeMap<String, PathBuf>,
}

/// The files that the checkpoint at `path` consists of: `path` itself, the weights in a folder, or
/// the shards that an index lists.
///
/// # Errors
/// When a folder holds no weights, an index cannot be read, or `path` is one shard of several.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(Files::of(path)?.files)
}

/// Whether `path` is a folder that holds weights as transformers saves them, and not a run or a
/// cache, whose folders hold a `model.safetensors` as well.
pub fn is_model_folder(path: &Path) -> bool {
    // A run and a cache name their weights like transformers, so other files tell them apart.
    if weights_in(path).is_none() || path.join("cache.json").is_file() {
        return false;
    }
    let config = path.join("config.json");
    if !config.is_file() {
        return !path.join("manifest.json").is_file();
    }
    let config = read_json(&config).ok();
    let says = |key: &str| config.as_ref().is_some_and(|c| c.get(key).is_some());
    says("model_type") || says("architectures") || says("transformers_version")
}

fn weights_in(folder: &Path) -> Option<PathBuf> {
    WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

impl Files {
    pub(super) fn of(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let Some(weights) = weights_in(path) else {
                let reason = format!("the folder holds no weights; expected one of {WEIGHTS:?}");
                return Err(Error::checkpoint(path, reason));
            };
            return Self::of_file(&weights);
        }
        Self::of_file(path)
    }

    fn of_file(path: &Path) -> Result<Self> {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        if name.ends_with(".index.json") {
            return Self::of_index(path);
        }
        // `…-00001-of-00001` is a whole checkpoint.
        if let Some((number, of)) = shard_number(&name).filter(|(_, of)| *of > 1) {
            let reason = format!(
                "it is shard {number} of {of} of a checkpoint; give the folder, or the index beside \
                 it (…index.json)"
            );
            return Err(Error::checkpoint(path, reason));
        }
        Ok(Self { files: vec![path.to_owned()], shards: BTreeMap::new() })
    }

    fn of_index(path: &Path) -> Result<Self> {
        let refuse = |reason: String| Error::checkpoint(path, reason);
        let index = read_json(path)?;
        let map = index.get("weight_map").and_then(|map| map.as_object());
        let map = map.filter(|map| !map.is_empty());
        let map = map.ok_or_else(|| refuse("the index has no weight_map".to_owned()))?;
        let mut shards = BTreeMap::new();
        for (tensor, file) in map {
            let file = file.as_str().unwrap_or_default();
            // Shards are in the folder of their index. A path out of it (path traversal) is refused.
            let mut parts = Path::new(file).components();
            let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) else {
                let reason = format!(
                    "the index says that {tensor:.80} is in {file:?}; expected the name of a file \
                     beside it"
                );
                return Err(refuse(reason));
            };
            shards.insert(tensor.clone(), path.with_file_name(file));
        }
        let files: BTreeSet<PathBuf> = shards.values().cloned().collect();
        let missing: Vec<String> =
            files.iter().filter(|f| !f.is_file()).map(|f| f.display().to_string()).collect();
        if !missing.is_empty() {
            let reason = format!(
                "{} of the {} shards that it lists are missing: {}; get them too",
                missing.len(),
                files.len(),
                missing.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
            );
            return Err(refuse(reason));
        }
        Ok(Self { files: files.into_iter().collect(), shards })
    }
}

/// `model-00002-of-00003.safetensors` as (2, 3).
fn shard_number(name: &str) -> Option<(usize, usize)> {
    let stem = name.rsplit_once('.')?.0;
    let (rest, of) = stem.rsplit_once("-of-")?;
    let (_, number) = rest.rsplit_once('-')?;
    // transformers writes five digits; `x-1-of-2.bin` may be anything.
    let digits = |text: &str| {
        let all = text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        all.then(|| text.parse().ok()).flatten()
    };
    Some((digits(number)?, digits(of)?))
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let file = desam_core::files::open_regular(path).map_err(Error::io(path))?;
    let mut text = Vec::new();
    file.take(MAX_JSON_LEN).read_to_end(&mut text).map_err(Error::io(path))?;
    serde_json::from_slice(&text).map_err(|e| Error::checkpoint(path, format!("no JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_recognised_by_their_names() {
        assert_eq!(shard_number("model-00002-of-00003.safetensors"), Some((2, 3)));
        assert_eq!(shard_number("pytorch_model-00001-of-00001.bin"), Some((1, 1)));
        for name in
            ["model.safetensors", "x-1-of-2.bin", "best-of-00002.pth", "model-00001-of-00002"]
        {
            assert_eq!(shard_number(name), None, "{name}");
        }
    }

    #[test]
    fn a_run_or_a_cache_is_no_model_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        assert!(!is_model_folder(folder.path()));
        write("model.safetensors", "");
        assert!(is_model_folder(folder.path()));
        write("config.json", r#"{"train": {}, "decoder": {}}"#);
        assert!(!is_model_folder(folder.path()));
        write("config.json", r#"{"model_type": "sam", "architectures": ["SamModel"]}"#);
        assert!(is_model_folder(folder.path()));
        write("cache.json", "{}");
        assert!(!is_model_folder(folder.path()));
    }

    #[test]
    fn an_index_cannot_refer_to_files_outside_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("model.safetensors.index.json");
        for (json, words) in [
            (r#"{"weight_map": {"a": "../x"}}"#, "beside it"),
            (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "beside it"),
            (r#"{"weight_map": {"a": 3}}"#, "beside it"),
            (r#"{"weight_map": {}}"#, "no weight_map"),
            (r#"{"weight_map": {"a": "gone.safetensors"}}"#, "gone.safetensors"),
            ("[", "no JSON"),
        ] {
            std::fs::write(&index, json).unwrap();
            let error = Files::of(&index).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("index.json"), "{error}");
        }
    }
}
