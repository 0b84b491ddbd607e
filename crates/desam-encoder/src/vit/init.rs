//! How a random encoder is drawn, and a constructor run without memory.

use crate::Result;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Position tables: N(0, 0.2). SAM starts from zeros, with which untrained attention would not know
/// where a token stands; measured on the reference initial checkpoint (0.19 to 0.20).
pub(super) const POSITION: Init = Init::Randn { mean: 0.0, stdev: 0.2 };

/// Norm scales: measured mean 1.00, deviation 0.09 to 0.10.
const SCALE: Init = Init::Randn { mean: 1.0, stdev: 0.1 };

/// All biases, of norms too: measured deviation 0.044 to 0.056 whatever the fan-in.
const BIAS: Init = Init::Randn { mean: 0.0, stdev: 0.05 };

/// Draws vectors as the reference initial checkpoint has them instead of by PyTorch's defaults;
/// matrices and kernels there do follow PyTorch's (uniform in ±1/√fan-in).
struct Measured<'a>(VarBuilder<'a>);

impl SimpleBackend for Measured<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: Init,
        dtype: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let hint = match (shape.rank(), name.rsplit('.').next()) {
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

/// The same parameters; those that have to be drawn are drawn as measured.
pub(super) fn as_measured(vb: VarBuilder<'_>) -> VarBuilder<'_> {
    let (dtype, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(Measured(vb)), dtype, device)
}

/// Gives the weights of products in another type; vectors and positions stay as they are.
struct Products<'a>(VarBuilder<'a>, DType);

impl SimpleBackend for Products<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: Init,
        dtype: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let product = shape.rank() >= 2 && name.rsplit('.').next() == Some("weight");
        let tensor = self.0.get_with_hints_dtype(shape, name, hint, dtype)?;
        if product { tensor.to_dtype(self.1) } else { Ok(tensor) }
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> candle_core::Result<Tensor> {
        self.0.get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}

/// The same parameters, the weights of products in `dtype`.
pub(super) fn products_in(vb: VarBuilder<'_>, dtype: DType) -> VarBuilder<'_> {
    let (own, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(Products(vb, dtype)), own, device)
}

/// Names and shapes asked for so far.
type Shapes = Arc<Mutex<BTreeMap<String, Vec<usize>>>>;

/// Writes down what is asked for and answers with one zero seen through strides of 0.
struct ShapesOnly(Shapes);

impl SimpleBackend for ShapesOnly {
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
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("parameter {name} was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// Names and shapes of the parameters that `build` asks for.
pub(super) fn record_shapes<M>(
    build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<M>,
) -> Result<BTreeMap<String, Vec<usize>>> {
    let shapes = Shapes::default();
    let backend = Box::new(ShapesOnly(Arc::clone(&shapes)));
    build(VarBuilder::from_backend(backend, DType::F32, Device::Cpu))?;
    let found = std::mem::take(&mut *shapes.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(found)
}
