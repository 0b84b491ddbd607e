//! Running means of parameters.

use candle_core::{Result, Tensor, bail};

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
    #[cfg(feature = "kernels")]
    if super::gpu::follow(means, rest)? {
        return Ok(());
    }
    for Following { mean, value } in means {
        let way = (value.detach() - &**mean)?;
        **mean = (&**mean + (way * rest)?)?;
    }
    Ok(())
}
