//! The folder of reference files.

use super::ParityOptions;
use super::official_model::{ModelSizes, OfficialModel, ReferenceConfig};
use super::reference_vectors::ReferenceVectors;
use crate::Result;
use desam::files::read_json;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The reference files that exist in the folder.
#[derive(Debug)]
pub(super) struct ReferenceFolder {
    pub(super) dir: PathBuf,
    pub(super) on: ParityOptions,
    pub(super) config: Option<ReferenceConfig>,
    pub(super) init: Option<PathBuf>,
    pub(super) trained: Option<PathBuf>,
    pub(super) encoder: Option<ReferenceVectors>,
    pub(super) train: Option<ReferenceVectors>,
}

impl ReferenceFolder {
    pub(super) fn open(dir: &Path, on: &ParityOptions) -> Result<Self> {
        let there = |name: &str| Some(dir.join(name)).filter(|p| p.is_file());
        let config = match there("config.json") {
            Some(path) => Some(read_json(&path)?),
            None => None,
        };
        Ok(Self {
            dir: dir.to_owned(),
            on: on.clone(),
            config,
            init: there("init.pth"),
            trained: there("trained.pth").or_else(|| there("trained.safetensors")),
            encoder: ReferenceVectors::open(&dir.join("encoder.safetensors"), &on.device)?,
            train: ReferenceVectors::open(&dir.join("train.safetensors"), &on.device)?,
        })
    }

    pub(super) fn sizes(&self) -> Option<&ModelSizes> {
        self.config.as_ref().map(|c| &c.config)
    }

    pub(super) fn vectors(&self, name: &str) -> Result<Option<ReferenceVectors>> {
        ReferenceVectors::open(&self.dir.join(name), &self.on.device)
    }

    /// Reference vectors with their list of cases in JSON.
    pub(super) fn cases<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<(ReferenceVectors, Vec<T>)>> {
        let json = self.dir.join(name).with_extension("json");
        match self.vectors(name)? {
            Some(vectors) if json.is_file() => Ok(Some((vectors, read_json(&json)?))),
            _ => Ok(None),
        }
    }

    /// Loads a model from a checkpoint, if there is one.
    pub(super) fn model(
        &self,
        path: Option<&PathBuf>,
        trainable: bool,
    ) -> Result<Option<OfficialModel>> {
        path.map(|p| OfficialModel::open(p, self.sizes(), trainable, &self.on)).transpose()
    }
}
