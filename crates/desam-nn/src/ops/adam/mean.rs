//! Exponential moving average (EMA) of parameters.

use crate::gpu::{Path, path, with};
use candle_core::{DType, Result, Tensor, bail};

/// An exponential moving average and the parameter it follows, of one shape.
#[derive(Debug)]
pub struct Following<'a> {
    /// The average: changed in place, or replaced.
    pub mean: &'a mut Tensor,
    /// The parameter.
    pub value: &'a Tensor,
}

/// Updates exponential moving averages, `mean + (value - mean) · rest` with `rest` = 1 - decay, in this
/// arithmetic on every device; f32 on a GPU in one launch.
///
/// # Errors
/// When shapes, types or devices differ or a tensor operation fails.
pub fn follow_all(means: &mut [Following<'_>], rest: f64) -> Result<()> {
    for Following { mean, value } in means.iter() {
        if mean.shape() != value.shape() {
            bail!("running mean: {:?} follows {:?}", mean.shape(), value.shape());
        }
    }
    let all: Vec<&Tensor> = means.iter().flat_map(|m| [&*m.mean, m.value]).collect();
    let Some(first) = all.first() else { return Ok(()) };
    let single = |t: &&Tensor| t.dtype() == DType::F32 && t.is_contiguous();
    if path(&all) == Path::Kernels && all.iter().all(single) {
        let device = first.device().clone();
        return with(&device, super::gpu::Follow { means, rest });
    }
    for Following { mean, value } in means {
        let difference = (value.detach() - &**mean)?;
        **mean = (&**mean + (difference * rest)?)?;
    }
    Ok(())
}
