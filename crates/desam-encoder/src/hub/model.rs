//! Which files there are.

use crate::{Error, Result};

/// A file of weights in a repository on the hub, at a revision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubModel {
    /// The repository, `owner/name`.
    pub repo: String,
    /// The file in it.
    pub file: String,
    /// A commit's full hash, which fixes the file's bytes; or a branch or tag, which does not.
    pub revision: String,
}

/// Name, repository, file, commit.
///
/// The commits are those that other public projects pin these repositories to (several for each,
/// all agreeing). The bytes behind them are not pinned a second time here: the hub names the
/// SHA-256 of the file at that commit, and it is checked after the download.
const PRESETS: [(&str, &str, &str, &str); 4] = [
    (
        "vit-b",
        "facebook/sam-vit-base",
        "model.safetensors",
        "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f",
    ),
    (
        "vit-l",
        "facebook/sam-vit-large",
        "model.safetensors",
        "6851e0441005b0fb96f2cc4dfac472f3d1b14af1",
    ),
    (
        "vit-h",
        "facebook/sam-vit-huge",
        "model.safetensors",
        "87aecf0df4ce6b30cd7de76e87673c49644bdf67",
    ),
    (
        "medsam",
        "wanglab/medsam-vit-base",
        "pytorch_model.bin",
        "de8488bca37bb1d4fb190f612c516126d739ce3b",
    ),
];

impl HubModel {
    /// `vit-b`, `vit-l`, `vit-h` (SAM's own weights) or `medsam` (MedSAM's, of ViT-B's size), each
    /// pinned to a commit.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn preset(name: &str) -> Result<Self> {
        let found = PRESETS.iter().find(|p| p.0 == name);
        let Some((_, repo, file, revision)) = found else {
            let known: Vec<&str> = Self::names().collect();
            return Err(Error::HubModel { name: name.to_owned(), known: known.join(", ") });
        };
        Ok(Self {
            repo: (*repo).to_owned(),
            file: (*file).to_owned(),
            revision: (*revision).to_owned(),
        })
    }

    /// Names that [`HubModel::preset`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|p| p.0)
    }

    /// Whether the revision is a commit's full hash, and the file's bytes therefore fixed.
    pub fn is_pinned(&self) -> bool {
        self.revision.len() == 40 && self.revision.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_pinned_to_a_commit_and_others_are_refused() {
        for name in HubModel::names() {
            let model = HubModel::preset(name).unwrap();
            assert!(model.is_pinned(), "{name}");
            assert!(!HubModel { revision: "main".into(), ..model }.is_pinned());
        }
        let error = HubModel::preset("vit-x").unwrap_err().to_string();
        assert!(error.contains("vit-b, vit-l, vit-h, medsam"), "{error}");
    }
}
