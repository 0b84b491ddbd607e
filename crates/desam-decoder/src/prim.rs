//! PRIM, the prompt-relevant IoU module (paper, section 3.1).

use crate::{DecoderConfig, TwoWayTransformer};
use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use desam_core::{ImageContext, PromptEmbedding, PromptOutput};
use desam_nn::layers::Mlp;
use desam_nn::ops::layout::transpose_last_two;

/// SAM's two-way transformer with its IoU token, mask tokens and IoU head. Instead of SAM's mask head,
/// the transformer's image tokens are passed on as mask embedding.
#[derive(Debug, Clone)]
pub struct Prim {
    pub(crate) transformer: TwoWayTransformer,
    iou_token: Tensor,
    mask_tokens: Tensor,
    iou_head: Mlp,
}

impl Prim {
    /// Builds it at `mask_decoder`.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(config: &DecoderConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (e, k) = (config.embedding_channels, config.mask_tokens);
        // The tokens are `nn.Embedding`s in SAM, which PyTorch initialises from N(0, 1).
        let token = |count: usize, name: &str| {
            let hint = Init::Randn { mean: 0.0, stdev: 1.0 };
            vb.pp(name).get_with_hints((count, e), "weight", hint)
        };
        let mut widths = vec![config.iou_hidden; config.iou_depth + 1];
        if let [first, .., last] = widths.as_mut_slice() {
            (*first, *last) = (e, config.iou_outputs());
        }
        Ok(Self {
            transformer: TwoWayTransformer::new(config, vb.pp("transformer"))?,
            iou_token: token(1, "iou_token")?,
            mask_tokens: token(k, "mask_tokens")?,
            iou_head: Mlp::new(&widths, vb.pp("iou_prediction_head"))?,
        })
    }

    /// Encodes `N` prompts with `B = 1` or `B = N` images.
    ///
    /// # Errors
    /// When `B` is neither 1 nor `N`, or shapes do not fit.
    pub fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> Result<PromptOutput> {
        let (b, e, h, w) = context.embedding.dims4()?;
        let n = prompts.dense.dim(0)?;
        if b != n && b != 1 {
            candle_core::bail!("{b} images for {n} prompts: expected one image, or one a prompt");
        }
        let tokens = self.tokens(&prompts.sparse)?;
        // SAM adds the dense prompt embedding to the image embedding, not to the positions.
        let image = prompts.dense.broadcast_add(&context.embedding)?;
        let rows = |t: &Tensor| transpose_last_two(&t.flatten_from(2)?);
        let out = self.transformer.forward(rows(&image)?, &rows(&context.position)?, &tokens)?;
        let k = self.mask_tokens()?;
        Ok(PromptOutput {
            iou_all: self.iou(&out.tokens)?,
            // Token 0 is the IoU token.
            mask_tokens: out.tokens.narrow(1, 1, k)?,
            mask_embedding: transpose_last_two(&out.image)?.reshape((n, e, h, w))?,
        })
    }

    /// All predicted IoU, `[N, K]`, from the transformer's tokens `[N, T, E]`. In f32 also where the
    /// tokens are half precision: they rank prompts, and 8 significant bits would make many equal.
    pub(crate) fn iou(&self, tokens: &Tensor) -> Result<Tensor> {
        let token = tokens.narrow(1, 0, 1)?.squeeze(1)?;
        let half = matches!(token.dtype(), DType::BF16 | DType::F16);
        self.iou_head.forward(&if half { token.to_dtype(DType::F32)? } else { token })
    }

    /// The transformer's input tokens, `[N, T, E]` in the prompts' type: the IoU token, the mask
    /// tokens, and `sparse` of `N` prompts.
    pub(crate) fn tokens(&self, sparse: &Tensor) -> Result<Tensor> {
        let learned = Tensor::cat(&[&self.iou_token, &self.mask_tokens], 0)?;
        let learned = learned.to_dtype(sparse.dtype())?.unsqueeze(0)?;
        let learned = learned.repeat((sparse.dim(0)?, 1, 1))?;
        match sparse.dim(1)? {
            // A mask prompt has no sparse tokens, and candle does not concatenate empty tensors.
            0 => Ok(learned),
            _ => Tensor::cat(&[&learned, sparse], 1),
        }
    }

    /// Number of mask tokens `K`.
    pub(crate) fn mask_tokens(&self) -> Result<usize> {
        self.mask_tokens.dim(0)
    }
}
