//! Parameters: from a checkpoint, or from a seed where the checkpoint has none.
//!
//! [`load`] runs a module's own constructor against a recording `VarBuilder`, so the list of
//! parameters is written down once, in the constructor, and loading, initialising and checking all
//! follow from it.

mod backend;
mod init;
mod report;

pub use report::LoadReport;

use crate::Result;
use backend::{Recorder, Shared};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tensors by official name, in the order of their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// What to do about a parameter that the checkpoint does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Report it as missing.
    Refuse,
    /// Draw it from a ChaCha stream keyed by this seed and the parameter's name, by the
    /// distribution its layer asks for (PyTorch's defaults). The order of construction does not
    /// matter.
    Initialise {
        /// The seed.
        seed: u64,
    },
}

/// How to load a module.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// What to do about parameters that are not there.
    pub missing: Missing,
    /// Whether the parameters shall receive gradients.
    pub trainable: bool,
    /// Where they shall live.
    pub device: Device,
}

impl LoadOptions {
    /// Frozen, complete, on the CPU.
    pub fn frozen() -> Self {
        Self { missing: Missing::Refuse, trainable: false, device: Device::Cpu }
    }

    /// Frozen, on the CPU, what is missing being drawn from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { trainable: false, ..Self::trainable(seed) }
    }

    /// Trainable, on the CPU, what is missing being drawn from `seed`.
    pub fn trainable(seed: u64) -> Self {
        Self { missing: Missing::Initialise { seed }, trainable: true, device: Device::Cpu }
    }
}

/// A module with its parameters by name.
#[derive(Debug)]
pub struct Loaded<M> {
    /// The module.
    pub module: M,
    /// Every parameter the module asked for, as it uses them.
    pub tensors: Tensors,
    /// The same as variables, where they are trainable; empty otherwise.
    pub vars: BTreeMap<String, Var>,
    /// What was missing, unexpected, misshapen or initialised.
    pub report: LoadReport,
}

/// Builds a module in f32 from `given`.
///
/// A parameter that is missing or misshapen is replaced by zeros and reported, so that one run
/// finds them all: call [`LoadReport::check`] before using the module.
///
/// # Errors
/// Only when a tensor operation fails.
pub fn load<M>(
    given: Tensors,
    options: &LoadOptions,
    build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<M>,
) -> Result<Loaded<M>> {
    let recorder = Arc::new(Recorder::new(given, options.clone()));
    let backend: Box<dyn candle_nn::var_builder::SimpleBackend> =
        Box::new(Shared(Arc::clone(&recorder)));
    let vb = VarBuilder::from_backend(backend, DType::F32, options.device.clone());
    let module = build(vb)?;
    let (tensors, vars, report) = recorder.finish();
    Ok(Loaded { module, tensors, vars, report })
}
