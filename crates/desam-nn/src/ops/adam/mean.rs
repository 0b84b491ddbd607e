//! Exponential moving average (EMA) of parameters.

use candle_core::{Result, Tensor, bail};

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
    #[cfg(feature = "kernels")]
    if super::gpu::follow(means, rest)? {
        return Ok(());
    }
    for Following { mean, value } in means {
        let difference = (value.detach() - &**mean)?;
        **mean = (&**mean + (difference * rest)?)?;
    }
    Ok(())
}
