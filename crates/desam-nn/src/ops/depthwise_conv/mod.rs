//! Depthwise 3×3 convolution: one kernel a channel, over channels-last images.

mod cpu;

use super::pointwise::Activation;
use crate::gpu::{Backend, select_backend};
use candle_core::{D, Result, Tensor};

/// Parameters of a depthwise 3×3 convolution.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseConv<'a> {
    /// One kernel a channel, `[C, 1, 3, 3]`.
    pub weight: &'a Tensor,
    /// `[C]`
    pub bias: &'a Tensor,
    /// Pixels from one output to the next, in both directions.
    pub stride: usize,
    /// Applied to every output.
    pub activation: Activation,
}

/// Sizes that follow from the shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DepthwiseSizes {
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
    stride: usize,
}

impl DepthwiseSizes {
    fn of(x: &[usize], conv: DepthwiseConv<'_>) -> Result<Self> {
        let DepthwiseConv { weight, bias, stride, .. } = conv;
        if let &[images, height, width, channels] = x
            && weight.dims() == [channels, 1, 3, 3]
            && bias.dims() == [channels]
            && stride > 0
        {
            return Ok(Self { images, height, width, channels, stride });
        }
        candle_core::bail!(
            "depthwise convolution with stride {stride} of {x:?} (expected [B, H, W, C]): weight {:?} \
             ([C, 1, 3, 3]), bias {:?} ([C])",
            weight.dims(),
            bias.dims()
        )
    }

    /// Height and width of the output: one pixel of zero padding on each side.
    fn output(&self) -> [usize; 2] {
        [self.height.div_ceil(self.stride), self.width.div_ceil(self.stride)]
    }
}

/// Depthwise 3×3 convolution with one pixel of zero padding: `x [B, H, W, C]` → `[B, ⌈H / stride⌉,
/// ⌈W / stride⌉, C]`.
///
/// Without a gradient, f32 on the CPU takes one pass, a row at a time, with the activation applied while
/// the row is in the cache; all else is done by [`plain`].
///
/// # Errors
/// When shapes do not fit, or the stride is 0.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use desam_nn::ops::depthwise_conv::{DepthwiseConv, depthwise_conv};
/// use desam_nn::ops::linear::Activation;
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::ones((1, 2, 2, 1), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?;
/// let bias = Tensor::new(&[0.5f32], &Device::Cpu)?;
/// let activation = Activation::Identity;
/// let conv = DepthwiseConv { weight: &weight, bias: &bias, stride: 2, activation };
/// // Stride 2 leaves one pixel, which sees all four.
/// let y = depthwise_conv(&x, conv)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [4.5]);
/// # Ok(())
/// # }
/// ```
pub fn depthwise_conv(x: &Tensor, conv: DepthwiseConv<'_>) -> Result<Tensor> {
    let sizes = DepthwiseSizes::of(x.dims(), conv)?;
    let all = [x, conv.weight, conv.bias];
    let tracked = all.into_iter().any(Tensor::track_op);
    if select_backend(&all) == Backend::Cpu && !tracked {
        let op = cpu::Depthwise { sizes, activation: conv.activation };
        let (weight, bias) = (conv.weight.contiguous()?, conv.bias.contiguous()?);
        return x.contiguous()?.apply_op3_no_bwd(&weight, &bias, &op);
    }
    plain(x, conv)
}

/// [`depthwise_conv`] in elementary ops, with a gradient: the reference. One shifted copy of the image
/// for each of the nine taps.
///
/// # Errors
/// When shapes do not fit.
pub fn plain(x: &Tensor, conv: DepthwiseConv<'_>) -> Result<Tensor> {
    let sizes = DepthwiseSizes::of(x.dims(), conv)?;
    let [rows, columns] = sizes.output();
    let padded = x.pad_with_zeros(1, 1, 1)?.pad_with_zeros(2, 1, 1)?;
    let kernels = conv.weight.to_dtype(x.dtype())?.reshape((sizes.channels, 9))?;
    let lines = |start: usize, count: usize| {
        let at = (0..count).map(|i| (start + i * sizes.stride) as u32);
        Tensor::from_iter(at, x.device())
    };
    let mut sum = conv.bias.to_dtype(x.dtype())?.reshape((1, 1, 1, ()))?;
    for tap in 0..9 {
        let shifted = padded.index_select(&lines(tap / 3, rows)?, 1)?;
        let shifted = shifted.index_select(&lines(tap % 3, columns)?, 2)?;
        let weight = kernels.narrow(D::Minus1, tap, 1)?.reshape((1, 1, 1, ()))?;
        sum = shifted.broadcast_mul(&weight)?.broadcast_add(&sum)?;
    }
    conv.activation.plain(&sum)
}

#[cfg(test)]
mod tests;
