//! Initialisation of a random encoder, weights in another type, and parameter shapes without memory.
//!
//! Each is a [`SimpleBackend`] around the parameters, so that the constructors stay the one list of
//! parameters.

use crate::Result;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Position tables: N(0, 0.2), measured on the reference initial checkpoint (0.19 to 0.20). SAM starts
/// from zeros, which would make untrained attention independent of position.
pub(super) const POSITION: Init = Init::Randn { mean: 0.0, stdev: 0.2 };

/// Norm scales: measured mean 1.00, standard deviation 0.09 to 0.10.
const SCALE: Init = Init::Randn { mean: 1.0, stdev: 0.1 };

/// All biases, also of norms: measured standard deviation 0.044 to 0.056, independent of the fan-in.
const BIAS: Init = Init::Randn { mean: 0.0, stdev: 0.05 };

/// Initialises vectors as in the reference initial checkpoint instead of by PyTorch's defaults; its
/// matrices and kernels do follow PyTorch's (uniform in ±1/√fan-in).
struct MeasuredInit<'a>(VarBuilder<'a>);

impl SimpleBackend for MeasuredInit<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: Init,
        dtype: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let hint = match (shape.rank(), name.rsplit('.').next()) {
            // The only vectors called `weight` are scales of norms.
            (1, Some("weight")) => SCALE,
            (1, Some("bias")) => BIAS,
            _ => hint,
        };
        self.0.get_with_hints_dtype(shape, name, hint, dtype)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> candle_core::Result<Tensor> {
        self.0.get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}

/// The same parameters; missing ones are initialised from the measured distributions.
pub(super) fn with_measured_init(vb: VarBuilder<'_>) -> VarBuilder<'_> {
    let (dtype, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(MeasuredInit(vb)), dtype, device)
}

/// Casts the weights of matrix multiplications to another type; vectors and positions stay.
struct CastWeights<'a>(VarBuilder<'a>, DType);

impl SimpleBackend for CastWeights<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: Init,
        dtype: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        // Position tables are not called `weight`. They stay f32, since they may be resampled
        // before they are cast.
        let is_matrix = shape.rank() >= 2 && name.rsplit('.').next() == Some("weight");
        let tensor = self.0.get_with_hints_dtype(shape, name, hint, dtype)?;
        if is_matrix { tensor.to_dtype(self.1) } else { Ok(tensor) }
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> candle_core::Result<Tensor> {
        self.0.get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}

/// The same parameters, the weights of matrix multiplications in `dtype`.
pub(super) fn cast_weights(vb: VarBuilder<'_>, dtype: DType) -> VarBuilder<'_> {
    let (own, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(CastWeights(vb, dtype)), own, device)
}

/// Names and shapes requested so far.
type Shapes = Arc<Mutex<BTreeMap<String, Vec<usize>>>>;

/// Records each request, and returns one zero broadcast to the shape, which takes no memory.
struct ShapeRecorder(Shapes);

impl SimpleBackend for ShapeRecorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut shapes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.insert(name.to_owned(), shape.dims().to_vec());
        // A broadcast view has strides of 0: ViT-H's 637 million parameters take one number here.
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("parameter {name} was requested without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// Names and shapes of the parameters that `build` requests.
pub(super) fn record_shapes<M>(
    build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<M>,
) -> Result<BTreeMap<String, Vec<usize>>> {
    let shapes = Shapes::default();
    let backend = Box::new(ShapeRecorder(Arc::clone(&shapes)));
    build(VarBuilder::from_backend(backend, DType::F32, Device::Cpu))?;
    let found = std::mem::take(&mut *shapes.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(found)
}
