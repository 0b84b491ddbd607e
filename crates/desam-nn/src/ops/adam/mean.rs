//! Running means of parameters.

use crate::gpu::{Path, path, with};
use candle_core::{DType, Result, Tensor, bail};

/// A running mean and what it follows, of one shape.
#[derive(Debug)]
pub struct Following<'a> {
    /// Changed where it is, or replaced.
    pub mean: &'a mut Tensor,
    /// Read.
    pub value: &'a Tensor,
}

/// Each mean goes the share `rest` of its way to its value: `mean + (value - mean) · rest`, in this
/// arithmetic everywhere; f32 on a GPU in one launch.
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
        let way = (value.detach() - &**mean)?;
        **mean = (&**mean + (way * rest)?)?;
    }
    Ok(())
}
