//! A network with adapters, from pixels to masks, behind the trait of a mask decoder.

use super::{AdaptedSam, class_logits};
use candle_core::{DType, Result, Tensor};
use desam_core::{
    ImageContext, ImageEncoder, ImageFeatures, LevelContext, MaskDecoder, PromptEmbedding,
    PromptOutput,
};
use desam_decoder::Decoder;
use desam_encoder::adapter::AdaptedEncoder;
use desam_nn::ops::instance_norm::instance_norm;
use desam_nn::ops::resize::bilinear;

/// Added to the variance of a slice where it is standardised; a constant slice becomes zeros.
const EPS: f64 = 1e-8;

/// A SAM with adapters from the pixels of a [`PixelEncoder`](super::PixelEncoder) to mask logits.
///
/// As a [`MaskDecoder`] it is trained, evaluated and used for prediction like any other. Its context is
/// the forward pass of the image encoder, which thus runs once an image however many prompts there are.
#[derive(Debug, Clone)]
pub struct AdaptedNetwork {
    body: Body,
    /// Side of the network's own input, in pixels.
    input_side: usize,
    /// Side of the mask logits.
    mask_side: usize,
    input: NetworkInput,
}

/// Scale of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NetworkInput {
    /// Each slice and channel with mean 0 and variance 1 (z-score), as DAPSAM's program has it.
    Standardised,
    /// SAM's normalisation, which a LoRA starts from.
    Sam,
}

/// The encoder with adapters and the decoder behind it.
#[derive(Debug, Clone)]
enum Body {
    /// SAM's decoder with a mask token a class, without prompts.
    Classes { sam: AdaptedSam, background: bool },
    /// DeSAM's decoder, with prompts.
    Desam { encoder: AdaptedEncoder, decoder: Decoder },
}

/// Sides of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NetworkSides {
    /// Of its input, in pixels.
    pub(super) input: usize,
    /// Of its mask logits.
    pub(super) mask: usize,
}

impl AdaptedNetwork {
    /// A fine-tuned SAM without prompts. With a generated prompt (DAPSAM) it has a mask token a class; with a
    /// constant one (SAMed) one more, for the background.
    pub(super) fn classes(sam: AdaptedSam, sides: NetworkSides, input: NetworkInput) -> Self {
        let background = !sam.generates_prompt();
        Self::new(Body::Classes { sam, background }, sides, input)
    }

    /// DeSAM's decoder behind an encoder with adapters.
    pub(super) fn desam(
        encoder: AdaptedEncoder,
        decoder: Decoder,
        sides: NetworkSides,
        input: NetworkInput,
    ) -> Self {
        Self::new(Body::Desam { encoder, decoder }, sides, input)
    }

    fn new(body: Body, sides: NetworkSides, input: NetworkInput) -> Self {
        Self { body, input_side: sides.input, mask_side: sides.mask, input }
    }

    /// The image encoder with its adapters.
    pub fn encoder(&self) -> &AdaptedEncoder {
        match &self.body {
            Body::Classes { sam, .. } => sam.encoder(),
            Body::Desam { encoder, .. } => encoder,
        }
    }

    /// Whether parameter `name` cannot influence masks and predicted IoU, and so never gets a gradient.
    pub fn is_inert(&self, name: &str) -> bool {
        match &self.body {
            Body::Classes { .. } => {
                // Of a prompt encoder only the embedding of "no mask" is read.
                name.starts_with("mask_decoder.iou_prediction_head.")
                    || (name.starts_with("prompt_encoder.")
                        && !name.starts_with("prompt_encoder.no_mask_embed."))
            }
            Body::Desam { decoder, .. } => decoder.is_inert(name),
        }
    }

    /// The network's input from pixels with SAM's normalisation, of any side.
    fn inputs(&self, pixels: &Tensor) -> Result<Tensor> {
        let resized = to_side(pixels, self.input_side)?;
        match self.input {
            NetworkInput::Sam => Ok(resized),
            // SAM's normalisation is another scale and offset for each channel, which this undoes.
            NetworkInput::Standardised => instance_norm(&resized, EPS),
        }
    }

    /// Logits of `K` classes on the masks' grid from the fine-tuned SAM's.
    fn class_planes(&self, logits: &Tensor, background: bool) -> Result<Tensor> {
        let planes = to_side(logits, self.mask_side)?;
        if background { class_logits(&planes) } else { Ok(planes) }
    }
}

/// Maps `[B, C, H, H]` of side `side`, interpolated bilinearly where they have another.
fn to_side(maps: &Tensor, side: usize) -> Result<Tensor> {
    if maps.dim(3)? == side { Ok(maps.clone()) } else { bilinear(maps, (side, side)) }
}

/// The planes of a network without prompts, which are in its context.
fn planes(context: &ImageContext) -> Result<&Tensor> {
    match context.levels.as_slice() {
        [LevelContext::Map(planes)] => Ok(planes),
        _ => candle_core::bail!("the context is not one of a network without prompts"),
    }
}

impl MaskDecoder for AdaptedNetwork {
    fn context(&self, features: &ImageFeatures, position: &Tensor) -> Result<ImageContext> {
        let inputs = self.inputs(&features.embedding)?;
        match &self.body {
            Body::Classes { sam, background } => {
                let output = sam.forward(&inputs)?;
                let planes = self.class_planes(&output.masks.logits, *background)?;
                Ok(ImageContext {
                    embedding: output.embedding,
                    position: position.clone(),
                    levels: vec![LevelContext::Map(planes)],
                })
            }
            Body::Desam { encoder, decoder } => {
                decoder.context(&encoder.encode(&inputs)?, position)
            }
        }
    }

    fn encode_prompts(
        &self,
        context: &ImageContext,
        prompts: &PromptEmbedding,
    ) -> Result<PromptOutput> {
        if let Body::Desam { decoder, .. } = &self.body {
            return decoder.encode_prompts(context, prompts);
        }
        let (n, planes) = (prompts.dense.dim(0)?, planes(context)?);
        let (images, classes, height, width) = planes.dims4()?;
        if images != 1 && images != n {
            candle_core::bail!("{n} prompts for {images} images; expected as many, or one image");
        }
        let device = planes.device();
        Ok(PromptOutput {
            iou_all: Tensor::ones((n, classes), DType::F32, device)?,
            mask_tokens: Tensor::zeros((n, 1, 1), DType::F32, device)?,
            mask_embedding: planes.broadcast_as((n, classes, height, width))?,
        })
    }

    fn decode_masks(&self, context: &ImageContext, output: &PromptOutput) -> Result<Tensor> {
        match &self.body {
            Body::Classes { .. } => output.mask_embedding.contiguous(),
            Body::Desam { decoder, .. } => {
                to_side(&decoder.decode_masks(context, output)?, self.mask_side)
            }
        }
    }

    fn classes(&self) -> usize {
        match &self.body {
            Body::Classes { sam, background } => {
                sam.decoder().config().mask_tokens - usize::from(*background)
            }
            Body::Desam { decoder, .. } => decoder.classes(),
        }
    }

    fn predicts_iou(&self) -> bool {
        match &self.body {
            Body::Classes { .. } => false,
            Body::Desam { decoder, .. } => decoder.predicts_iou(),
        }
    }

    fn mask_follows_prompt(&self) -> bool {
        match &self.body {
            Body::Classes { .. } => false,
            Body::Desam { decoder, .. } => decoder.mask_follows_prompt(),
        }
    }
}
