//! A file of reference vectors; errors name the file and the tensor.

use super::compare;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use desam_nn::params::Tensors;
use std::path::{Path, PathBuf};

/// The tensors of one `.safetensors` file, in the types they are stored in.
#[derive(Debug)]
pub(super) struct ReferenceVectors {
    path: PathBuf,
    tensors: Tensors,
    device: Device,
}

impl ReferenceVectors {
    /// Opens the file for stages on `device`; `None` where it does not exist.
    pub(super) fn open(path: &Path, device: &Device) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)
            .map_err(|e| Error::file(path, format!("cannot be read as safetensors: {e}")))?;
        let tensors = tensors.into_iter().collect();
        Ok(Some(Self { path: path.to_owned(), tensors, device: device.clone() }))
    }

    /// An error about this file.
    pub(super) fn wrong(&self, problem: impl std::fmt::Display) -> Error {
        Error::file(&self.path, problem.to_string())
    }

    /// The stages' device.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// A tensor as stored, on the CPU.
    pub(super) fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| self.wrong(format!("tensor {name} is missing")))
    }

    /// A tensor in f32 on the stages' device.
    pub(super) fn f32(&self, name: &str) -> Result<Tensor> {
        self.put(self.get(name)?).map_err(|e| self.wrong(format!("{name}: {e}")))
    }

    /// Converts a tensor to f32 on the stages' device.
    pub(super) fn put(&self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        tensor.to_dtype(DType::F32)?.to_device(&self.device)
    }

    /// A tensor's elements as f64.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        compare::numbers(self.get(name)?).map_err(|e| self.wrong(format!("{name}: {e}")))
    }

    /// A tensor's elements as u8.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let values = self.get(name)?.flatten_all().and_then(|t| t.to_vec1::<u8>());
        values.map_err(|e| self.wrong(format!("{name}: {e}")))
    }

    /// Shape of a tensor of rank `R`.
    pub(super) fn dims<const R: usize>(&self, name: &str) -> Result<[usize; R]> {
        let dims = self.get(name)?.dims();
        let wrong = |_| self.wrong(format!("{name} has shape {dims:?}, expected {R} dimensions"));
        dims.try_into().map_err(wrong)
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The middles of all names that start with `prefix` and end in `suffix`.
    pub(super) fn between<'a>(
        &'a self,
        prefix: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        self.tensors.keys().filter_map(move |n| n.strip_prefix(prefix)?.strip_suffix(suffix))
    }
}

/// Reference files of the training stages.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrainingVectors<'a> {
    pub(super) single: &'a ReferenceVectors,
    pub(super) double: &'a ReferenceVectors,
    /// Contains the targets.
    pub(super) encoder: &'a ReferenceVectors,
}
