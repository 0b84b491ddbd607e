//! Recording `VarBuilder` backend: notes every parameter that a constructor requests.

use super::{LoadOptions, LoadReport, Missing, Tensors, init};
use crate::ShapeMismatch;
use candle_core::{DType, Device, Error, Result, Shape, Tensor, Var};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parameters requested so far.
#[derive(Default)]
struct Log {
    tensors: Tensors,
    vars: BTreeMap<String, Var>,
    report: LoadReport,
}

/// Serves parameters from a checkpoint or a seed and remembers each one it served.
pub(super) struct Recorder {
    given: Tensors,
    options: LoadOptions,
    log: Mutex<Log>,
}

impl Recorder {
    pub(super) fn new(given: Tensors, options: LoadOptions) -> Self {
        Self { given, options, log: Mutex::new(Log::default()) }
    }

    /// All parameters served, and the report with the checkpoint's unused names.
    pub(super) fn finish(&self) -> (Tensors, BTreeMap<String, Var>, LoadReport) {
        let mut log = std::mem::take(&mut *self.lock());
        let unused = self.given.keys().filter(|k| !log.tensors.contains_key(*k));
        log.report.unexpected = unused.cloned().collect();
        (log.tensors, log.vars, log.report)
    }

    /// Locks the log. A poisoned lock only means that another constructor panicked; the log is intact.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn value(&self, log: &mut Log, name: &str, shape: &Shape, hint: Init) -> Result<Tensor> {
        let device = &self.options.device;
        match (self.given.get(name), self.options.missing) {
            (Some(found), _) if found.shape() == shape => {
                found.to_device(device)?.to_dtype(DType::F32)
            }
            (Some(found), _) => {
                log.report.misshapen.push(ShapeMismatch {
                    name: name.to_owned(),
                    expected: shape.dims().to_vec(),
                    found: found.dims().to_vec(),
                });
                Tensor::zeros(shape, DType::F32, device)
            }
            (None, Missing::Refuse) => {
                log.report.missing.push(name.to_owned());
                Tensor::zeros(shape, DType::F32, device)
            }
            (None, Missing::Initialise { seed }) => {
                log.report.initialised.push(name.to_owned());
                init::draw(seed, name, shape, hint, device)
            }
        }
    }
}

/// The recorder as the `VarBuilder` owns it; [`super::load`] keeps another reference.
pub(super) struct Shared(pub(super) Arc<Recorder>);

impl SimpleBackend for Shared {
    fn get(&self, shape: Shape, name: &str, hint: Init, _: DType, _: &Device) -> Result<Tensor> {
        let recorder = &self.0;
        let mut log = recorder.lock();
        if let Some(shared) = log.tensors.get(name) {
            return Ok(shared.clone());
        }
        let mut tensor = recorder.value(&mut log, name, &shape, hint)?;
        if recorder.options.trainable {
            let var = Var::from_tensor(&tensor)?;
            tensor = var.as_tensor().clone();
            log.vars.insert(name.to_owned(), var);
        }
        log.tensors.insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        Err(Error::Msg(format!("parameter {name} was requested without a shape")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.given.contains_key(name)
    }
}
