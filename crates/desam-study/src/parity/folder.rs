//! The files that stages are held to.

use super::ParityOptions;
use super::model::{Official, ReferenceConfig, Sizes};
use super::vectors::Vectors;
use crate::Result;
use desam::files::read_json;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The files of the folder, those that are there.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) dir: PathBuf,
    pub(super) on: ParityOptions,
    pub(super) config: Option<ReferenceConfig>,
    pub(super) init: Option<PathBuf>,
    pub(super) trained: Option<PathBuf>,
    pub(super) encoder: Option<Vectors>,
    pub(super) train: Option<Vectors>,
}

impl Folder {
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
            encoder: Vectors::open(&dir.join("encoder.safetensors"), &on.device)?,
            train: Vectors::open(&dir.join("train.safetensors"), &on.device)?,
        })
    }

    pub(super) fn sizes(&self) -> Option<&Sizes> {
        self.config.as_ref().map(|c| &c.config)
    }

    pub(super) fn vectors(&self, name: &str) -> Result<Option<Vectors>> {
        Vectors::open(&self.dir.join(name), &self.on.device)
    }

    /// Vectors that come with a list of cases in JSON.
    pub(super) fn cases<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<(Vectors, Vec<T>)>> {
        let json = self.dir.join(name).with_extension("json");
        match self.vectors(name)? {
            Some(vectors) if json.is_file() => Ok(Some((vectors, read_json(&json)?))),
            _ => Ok(None),
        }
    }

    /// A model, from the first of two files that is there.
    pub(super) fn model(
        &self,
        path: Option<&PathBuf>,
        trainable: bool,
    ) -> Result<Option<Official>> {
        path.map(|p| Official::open(p, self.sizes(), trainable, &self.on)).transpose()
    }
}
