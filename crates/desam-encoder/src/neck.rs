//! The neck of SAM's image encoders: from tokens to the image embedding.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Conv2d, Conv2dLayerConfig, LayerNorm, LayerNorm2d, fan_in_uniform};
use desam_nn::ops::conv2d::Conv2dConfig;
use desam_nn::ops::layout::channels_first;
use desam_nn::ops::linear::{Affine, Epilogue, linear};

/// Epsilon of its layer norms.
const EPS: f64 = 1e-6;

/// SAM's neck: 1×1 convolution, norm, 3×3 convolution, norm. The first two run on channels-last tokens,
/// so that only `E` instead of `C` channels are transposed to channels first.
#[derive(Debug, Clone)]
pub(crate) struct Neck {
    /// `[E, C, 1, 1]`
    reduce: Tensor,
    norm1: LayerNorm,
    smooth: Conv2d,
    norm2: LayerNorm2d,
}

impl Neck {
    /// From `width` channels to `out`.
    pub(crate) fn new(width: usize, out: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let reduce = (out, width, 1, 1);
        let window = Conv2dConfig::same(3);
        let smooth = Conv2dLayerConfig { inputs: out, outputs: out, window, bias: false };
        Ok(Self {
            reduce: vb.pp(0).get_with_hints(reduce, "weight", fan_in_uniform(width))?,
            norm1: LayerNorm::new(out, EPS, vb.pp(1))?,
            smooth: smooth.build(vb.pp(2))?,
            norm2: LayerNorm2d::new(out, vb.pp(3))?,
        })
    }

    /// Tokens `[B, G, G, C]` → `[B, E, G, G]`, in f32.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.reduce.reshape((self.reduce.dim(0)?, ()))?;
        let inputs = x.to_dtype(weight.dtype())?;
        let reduced = linear(&inputs, Affine { weight: &weight, bias: None }, Epilogue::default())?;
        // SAM's LayerNorm2d over channels first is a LayerNorm over channels-last tokens.
        let reduced = channels_first(&self.norm1.forward(&reduced)?)?;
        // Features are f32 in any precision.
        self.norm2.forward(&self.smooth.forward(&reduced)?.to_dtype(x.dtype())?)
    }
}
