//! Exponential moving average (EMA) of parameters.

use super::MovingAverage;
use candle_core::{Result, bail};

/// Updates exponential moving averages, `mean + (value - mean) · rest` with `rest` = 1 - decay, in this
/// arithmetic on every device; f32 on a GPU in one launch.
///
/// # Errors
/// When shapes, types or devices differ or a tensor operation fails.
pub fn follow_all(means: &mut [MovingAverage<'_>], rest: f64) -> Result<()> {
    for MovingAverage { mean, value } in means.iter() {
        if mean.shape() != value.shape() {
            bail!("running mean: {:?} follows {:?}", mean.shape(), value.shape());
        }
    }
    #[cfg(feature = "kernels")]
    if super::gpu::follow(means, rest)? {
        return Ok(());
    }
    for MovingAverage { mean, value } in means {
        let difference = (value.detach() - &**mean)?;
        **mean = (&**mean + (difference * rest)?)?;
    }
    Ok(())
}
