//! Convolutions of a TinyViT, each with the batch norm behind it folded in.

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use desam_nn::layers::{Activation, Epilogue, fan_in_uniform};
use desam_nn::ops::depthwise_conv::{DepthwiseConv, depthwise_conv};
use desam_nn::ops::linear::{Affine, linear};
use desam_nn::ops::strided_conv::conv3x3_stride2;

/// Epsilon of the batch norms.
const EPS: f64 = 1e-5;

/// A batch norm's parameters where the checkpoint has none, spread as those of a trained one.
const SCALE: Init = Init::Randn { mean: 1.0, stdev: 0.1 };
const SHIFT: Init = Init::Randn { mean: 0.0, stdev: 0.05 };
const VARIANCE: Init = Init::Uniform { lo: 0.5, up: 1.5 };

/// A convolution's kernel and bias with the batch norm behind it folded in: MobileSAM's `Conv2d_BN`.
#[derive(Debug, Clone)]
struct FoldedConv {
    /// `[O, I, K, K]`
    weight: Tensor,
    /// `[O]`
    bias: Tensor,
}

impl FoldedConv {
    /// From `c.weight` of the `shape` `[O, I, K, K]` and `bn.*`: `weight · γ / √(var + ε)` and `β - mean · γ
    /// / √(var + ε)`.
    fn new(shape: [usize; 4], vb: VarBuilder<'_>) -> Result<Self> {
        let [outputs, inputs, kernel, _] = shape;
        let hint = fan_in_uniform(inputs * kernel * kernel);
        let weight = vb.pp("c").get_with_hints(&shape[..], "weight", hint)?;
        let norm = vb.pp("bn");
        let scale = norm.get_with_hints(outputs, "weight", SCALE)?;
        let shift = norm.get_with_hints(outputs, "bias", SHIFT)?;
        let mean = norm.get_with_hints(outputs, "running_mean", SHIFT)?;
        let variance = norm.get_with_hints(outputs, "running_var", VARIANCE)?;
        check_variance(&variance, &norm.prefix())?;
        let factor = scale.div(&variance.affine(1.0, EPS)?.sqrt()?)?;
        Ok(Self {
            weight: weight.broadcast_mul(&factor.reshape((outputs, 1, 1, 1))?)?,
            bias: (shift - mean.mul(&factor)?)?,
        })
    }

    fn affine(&self) -> Affine<'_> {
        Affine { weight: &self.weight, bias: Some(&self.bias) }
    }
}

/// Refuses variances that have no square root.
fn check_variance(variance: &Tensor, at: &str) -> Result<()> {
    let values: Vec<f32> = variance.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec1()?;
    match values.iter().find(|value| f64::from(**value) + EPS <= 0.0) {
        Some(value) => bail!(
            "{at}.running_var holds {value}; a variance is not negative: the file is damaged or from a \
             diverged training, take another checkpoint"
        ),
        None => Ok(()),
    }
}

/// Pointwise (1×1) convolution: a linear layer on channels-last images.
#[derive(Debug, Clone)]
pub(super) struct PointwiseConv {
    /// The kernel as a matrix, `[O, I]`.
    conv: FoldedConv,
}

impl PointwiseConv {
    pub(super) fn new(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let FoldedConv { weight, bias } = FoldedConv::new([outputs, inputs, 1, 1], vb)?;
        Ok(Self { conv: FoldedConv { weight: weight.reshape((outputs, inputs))?, bias } })
    }

    /// `x [.., I]` → `[.., O]`.
    pub(super) fn forward(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        linear(x, self.conv.affine(), epilogue)
    }
}

/// Depthwise 3×3 convolution.
#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    conv: FoldedConv,
    stride: usize,
}

impl Depthwise {
    pub(super) fn new(channels: usize, stride: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self { conv: FoldedConv::new([channels, 1, 3, 3], vb)?, stride })
    }

    /// `x [B, H, W, C]` → `[B, H / stride, W / stride, C]`.
    pub(super) fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let FoldedConv { weight, bias } = &self.conv;
        depthwise_conv(x, DepthwiseConv { weight, bias, stride: self.stride, activation })
    }
}

/// 3×3 convolution with stride 2.
#[derive(Debug, Clone)]
pub(super) struct StridedConv {
    conv: FoldedConv,
}

impl StridedConv {
    pub(super) fn new(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self { conv: FoldedConv::new([outputs, inputs, 3, 3], vb)? })
    }

    /// `x [B, H, W, I]` → `[B, H / 2, W / 2, O]`.
    pub(super) fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        conv3x3_stride2(x, self.conv.affine(), activation)
    }

    /// Whether its parameters are tracked.
    pub(super) fn is_tracked(&self) -> bool {
        self.conv.weight.track_op()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_nn::params::{LoadOptions, Tensors, load};

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    fn given(variance: f32) -> Tensors {
        [
            ("c.weight", tensor(&[3.0], &[1, 1, 1, 1])),
            ("bn.weight", tensor(&[0.5], &[1])),
            ("bn.bias", tensor(&[2.0], &[1])),
            ("bn.running_mean", tensor(&[-4.0], &[1])),
            ("bn.running_var", tensor(&[variance], &[1])),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor))
        .into()
    }

    #[test]
    fn the_batch_norm_is_part_of_the_convolution() {
        // By hand: the factor is 0.5 / √4, so x = 8 gives (3 · 8 + 4) / 4 + 2. The epsilon is within 1e-5.
        let build = |vb: VarBuilder<'_>| PointwiseConv::new(1, 1, vb);
        let conv = load(given(4.0), &LoadOptions::frozen(), build).unwrap();
        conv.report.check().unwrap();
        let y = conv.module.forward(&tensor(&[8.0], &[1, 1]), Epilogue::default()).unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((y[0] - 9.0).abs() < 2e-5, "{y:?}");
    }

    #[test]
    fn a_negative_variance_is_refused_by_name() {
        let build = |vb: VarBuilder<'_>| PointwiseConv::new(1, 1, vb.pp("bn").root());
        let error = load(given(-0.5), &LoadOptions::frozen(), build).unwrap_err().to_string();
        assert!(error.contains("bn.running_var holds -0.5"), "{error}");
    }
}
