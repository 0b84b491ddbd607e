//! Parameters drawn where they are used: of ViT-H the CPU would draw 637 million.

use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use desam::candle::{DType, Device, Error, Result, Shape, Tensor};
use desam_benches::wave;

struct Random;

impl SimpleBackend for Random {
    fn get(&self, shape: Shape, _: &str, hint: Init, dtype: DType, on: &Device) -> Result<Tensor> {
        Ok(hint.var(shape, dtype, on)?.as_detached_tensor())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        Err(Error::Msg(format!("parameter {name} was requested without a shape")))
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// A `VarBuilder` that draws every parameter, by the initialisation of its layer.
pub(super) fn parameters(device: &Device) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Random), DType::F32, device.clone())
}

/// What the host makes of a tensor; the rest repeats it.
const BLOCK: usize = 1 << 20;

/// Numbers between −1 and 1, f32.
pub(super) fn numbers(shape: &[usize], device: &Device) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let block = wave(&[count.min(BLOCK)], 0.5).to_device(device)?;
    let all = block.repeat(count.div_ceil(BLOCK).max(1))?;
    all.narrow(0, 0, count)?.contiguous()?.reshape(shape)
}
