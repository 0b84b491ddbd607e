//! SAM's mask head: upsampled image tokens and one hypernetwork a mask token. SAM's own decoder uses
//! it; DeSAM only keeps its parameters.

use crate::DecoderConfig;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_core::PromptOutput;
use desam_nn::layers::{ConvTranspose2x2, ConvTranspose2x2Config, LayerNorm2d, Mlp};
use desam_nn::ops::pointwise::gelu;

/// Two transposed convolutions upsample the transformer's image tokens 4×. For each mask token a
/// hypernetwork (a perceptron) predicts the weights of a 1×1 convolution from these to its mask.
#[derive(Debug, Clone)]
pub struct SamMaskHead {
    up1: ConvTranspose2x2,
    norm: LayerNorm2d,
    up2: ConvTranspose2x2,
    hypernetworks: Vec<Mlp>,
}

impl SamMaskHead {
    /// Builds it at `mask_decoder` under the official names: `output_upscaling` and
    /// `output_hypernetworks_mlps`.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let e = config.embedding_channels;
        let up = vb.pp("output_upscaling");
        let mlps = vb.pp("output_hypernetworks_mlps");
        let conv = |inputs, outputs| ConvTranspose2x2Config { inputs, outputs, bias: true };
        Ok(Self {
            // Indices 2 and 4 of the official `output_upscaling` are GELUs, which have no
            // parameters.
            up1: conv(e, e / 4).build(up.pp(0))?,
            norm: LayerNorm2d::new(e / 4, up.pp(1))?,
            up2: conv(e / 4, e / 8).build(up.pp(3))?,
            hypernetworks: (0..config.mask_tokens)
                .map(|i| Mlp::new(&[e, e, e, e / 8], mlps.pp(i)))
                .collect::<Result<_>>()?,
        })
    }

    /// Logits `[N, tokens, 4 G, 4 G]` of the first `tokens` mask tokens.
    ///
    /// # Errors
    /// When `output` has fewer tokens or other channels.
    pub fn masks(&self, output: &PromptOutput, tokens: usize) -> Result<Tensor> {
        let x = gelu(&self.norm.forward(&self.up1.forward(&output.mask_embedding)?)?)?;
        let x = gelu(&self.up2.forward(&x)?)?;
        // Only the requested tokens' hypernetworks run: DeSAM's comparison with SAM uses one of
        // four.
        let weights = self
            .hypernetworks
            .iter()
            .take(tokens)
            .enumerate()
            .map(|(i, mlp)| mlp.forward(&output.mask_tokens.narrow(1, i, 1)?.contiguous()?));
        let weights = Tensor::cat(&weights.collect::<Result<Vec<_>>>()?, 1)?;
        let (n, channels, height, width) = x.dims4()?;
        // One 1×1 convolution a prompt, each with its own weights: a batched matrix product.
        let masks = weights.matmul(&x.reshape((n, channels, height * width))?)?;
        masks.reshape((n, weights.dim(1)?, height, width))
    }
}
