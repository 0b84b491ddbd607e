//! Parameter loading from a checkpoint, and initialisation from a seed where the checkpoint has none.
//!
//! [`load`] runs a module's own constructor against a recording `VarBuilder`, so the list of
//! parameters is written down once, in the constructor, and loading, initialising and checking all
//! follow from it.

mod backend;
mod init;
mod report;

/// Passes parameters to a constructor.
pub use candle_nn::VarBuilder;
pub use report::LoadReport;

use crate::Result;
use backend::{Recorder, Shared};
use candle_core::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tensors by official name, in the order of their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// Policy for a parameter that the checkpoint does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Report it as missing.
    Refuse,
    /// Initialise it from a ChaCha stream keyed by this seed and the parameter's name, with its layer's
    /// distribution (PyTorch's defaults). The order of construction does not
    /// matter.
    Initialise {
        /// The seed.
        seed: u64,
    },
}

/// Options of [`load`].
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Policy for missing parameters.
    pub missing: Missing,
    /// Whether the parameters are variables, which get gradients.
    pub trainable: bool,
    /// Their device.
    pub device: Device,
}

impl LoadOptions {
    /// Frozen, complete, on the CPU.
    pub fn frozen() -> Self {
        Self { missing: Missing::Refuse, trainable: false, device: Device::Cpu }
    }

    /// Frozen, on the CPU, missing parameters initialised from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { trainable: false, ..Self::trainable(seed) }
    }

    /// Trainable, on the CPU, missing parameters initialised from `seed`.
    pub fn trainable(seed: u64) -> Self {
        Self { missing: Missing::Initialise { seed }, trainable: true, device: Device::Cpu }
    }
}

/// A loaded module with its parameters by name.
#[derive(Debug)]
pub struct Loaded<M> {
    /// The module.
    pub module: M,
    /// Every parameter of the module.
    pub tensors: Tensors,
    /// The same as variables if they are trainable; empty otherwise.
    pub vars: BTreeMap<String, Var>,
    /// Missing, unexpected, misshapen and initialised parameters.
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
