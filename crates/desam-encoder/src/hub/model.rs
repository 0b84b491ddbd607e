//! Files on the hub, and the presets.

use super::hash::is_sha256;
use crate::{Error, Result};

/// A file of weights in a repository on the hub, at a revision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HubModel {
    /// The repository, `owner/name`.
    pub repo: String,
    /// The file in it.
    pub file: String,
    /// A commit's full hash, or a branch or tag.
    pub revision: String,
    /// The file's SHA-256 in hexadecimal. Without one the hub must state it.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The file's length in bytes, if known.
    #[serde(default)]
    pub size: Option<u64>,
}

/// A model with a name.
struct Preset {
    name: &'static str,
    repo: &'static str,
    file: &'static str,
    /// The commit that public projects pin the repository to (several for each, all agreeing).
    commit: &'static str,
    /// The file's SHA-256 at that commit, as published by projects that pin it as well; see
    /// `docs/decisions/hub.md`.
    sha256: &'static str,
    /// Bytes, where they were published with the hash.
    size: Option<u64>,
}

const PRESETS: [Preset; 4] = [
    Preset {
        name: "vit-b",
        repo: "facebook/sam-vit-base",
        file: "model.safetensors",
        commit: "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f",
        sha256: "892c410e496344e527255ccdcb2cb7244a609acb5389c7c4fdba1288f861c579",
        size: Some(374_979_480),
    },
    Preset {
        name: "vit-l",
        repo: "facebook/sam-vit-large",
        file: "model.safetensors",
        commit: "6851e0441005b0fb96f2cc4dfac472f3d1b14af1",
        sha256: "a57e1b13cd1545938dfcbc9fb26df7f60de6650237a9383382a874a623564b81",
        size: None,
    },
    Preset {
        name: "vit-h",
        repo: "facebook/sam-vit-huge",
        file: "model.safetensors",
        commit: "87aecf0df4ce6b30cd7de76e87673c49644bdf67",
        sha256: "edfb0462392541fca9af44ff039bfb32dbd0c939997f3abb77a26e23af7afd7c",
        size: None,
    },
    Preset {
        name: "medsam",
        repo: "wanglab/medsam-vit-base",
        file: "pytorch_model.bin",
        commit: "de8488bca37bb1d4fb190f612c516126d739ce3b",
        sha256: "0ef67838fba16f16c0e308eaf7a3ae6fbf4fe8e13d7a120ca932671ed9c47db0",
        size: Some(375_045_749),
    },
];

impl HubModel {
    /// A file at a revision, its hash not pinned; see [`with_sha256`](Self::with_sha256).
    pub fn new(
        repo: impl Into<String>,
        file: impl Into<String>,
        revision: impl Into<String>,
    ) -> Self {
        let (repo, file, revision) = (repo.into(), file.into(), revision.into());
        Self { repo, file, revision, sha256: None, size: None }
    }

    /// The same file with its hash pinned.
    #[must_use]
    pub fn with_sha256(self, sha256: impl Into<String>) -> Self {
        Self { sha256: Some(sha256.into()), ..self }
    }

    /// `vit-b`, `vit-l`, `vit-h` (SAM's own weights) or `medsam` (MedSAM's, of ViT-B's size), each
    /// pinned to a commit and to the SHA-256 of its bytes.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn preset(name: &str) -> Result<Self> {
        let Some(found) = PRESETS.iter().find(|p| p.name == name) else {
            let known: Vec<&str> = Self::names().collect();
            return Err(Error::HubModel { name: name.to_owned(), known: known.join(", ") });
        };
        let model = Self::new(found.repo, found.file, found.commit).with_sha256(found.sha256);
        Ok(Self { size: found.size, ..model })
    }

    /// Names that [`HubModel::preset`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|p| p.name)
    }

    /// Whether the revision is a commit's full hash, and the file's bytes therefore fixed.
    pub fn is_pinned(&self) -> bool {
        commit(&self.revision).is_some()
    }

    /// URL of the file on a hub.
    pub(super) fn url(&self, endpoint: &str) -> String {
        let Self { repo, file, revision, .. } = self;
        // A revision such as `refs/pr/1` is a single component of the path.
        format!("{endpoint}/{repo}/resolve/{}/{file}", revision.replace('/', "%2F"))
    }

    /// Refuses names that could lead out of the cache folder (path traversal), and malformed hashes.
    pub(super) fn check(&self) -> Result<()> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
        let plain = |name: &str| {
            name.bytes().all(allowed) && name.split('/').all(|p| !["", ".", ".."].contains(&p))
        };
        let refuse = |what: &str, value: &str| {
            let reason = format!("{value:?} is no {what} of a model on the hub");
            Err(Error::Hub { url: self.repo.clone(), reason })
        };
        for (what, value) in
            [("repository", &self.repo), ("file", &self.file), ("revision", &self.revision)]
        {
            if !plain(value) {
                return refuse(what, value);
            }
        }
        match &self.sha256 {
            Some(hash) if !is_sha256(hash) => refuse("SHA-256", hash),
            _ => Ok(()),
        }
    }
}

/// A commit's full hash; `None` for any other text.
pub(super) fn commit(text: &str) -> Option<&str> {
    (text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_pinned_to_a_commit_and_its_bytes_and_others_are_refused() {
        for name in HubModel::names() {
            let model = HubModel::preset(name).unwrap();
            assert!(model.is_pinned(), "{name}");
            model.check().unwrap();
            assert!(is_sha256(model.sha256.as_deref().unwrap()), "{name}");
            assert!(!HubModel { revision: "main".into(), ..model }.is_pinned());
        }
        let error = HubModel::preset("vit-x").unwrap_err().to_string();
        assert!(error.contains("vit-b, vit-l, vit-h, medsam"), "{error}");
    }

    #[test]
    fn names_that_lead_out_of_the_cache_are_refused() {
        for (repo, file, revision) in [
            ("../x", "f", "main"),
            ("a/b", "../../f", "main"),
            ("a/b", "/etc/passwd", "main"),
            ("a/b", "f", "../main"),
            ("a/b", "f\nX: y", "main"),
            ("a/b", "", "main"),
        ] {
            let error = HubModel::new(repo, file, revision).check().unwrap_err().to_string();
            assert!(error.contains("of a model on the hub"), "{error}");
        }
        let odd = HubModel::new("a/b", "folder/f.bin", "refs/pr/1").with_sha256("abc");
        assert!(odd.check().unwrap_err().to_string().contains("SHA-256"));
        HubModel { sha256: None, ..odd }.check().unwrap();
    }
}
