//! SAM's mask decoder with one mask token a class.

use crate::{DecoderConfig, Error, Prim, Result, SamMaskHead};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use desam_core::{ImageContext, PromptEmbedding};
use desam_nn::params::Tensors;

/// Sizes of a [`ClassDecoder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassDecoderConfig {
    /// Channels `E` of the embedding, a multiple of 8.
    pub embedding_channels: usize,
    /// Mask tokens `K`, hence masks and IoU outputs: DAPSAM has one a class, SAMed one more, for the
    /// background.
    pub mask_tokens: usize,
    /// Blocks of the two-way transformer.
    pub transformer_depth: usize,
    /// Heads of its attentions. No shape in a checkpoint shows them; SAM has 8.
    pub heads: usize,
    /// Hidden width of its perceptrons.
    pub mlp_width: usize,
    /// Channels inside its cross attentions.
    pub cross_width: usize,
    /// Hidden width of the IoU head.
    pub iou_hidden: usize,
    /// Layers of the IoU head.
    pub iou_depth: usize,
}

impl ClassDecoderConfig {
    /// SAM's sizes.
    pub fn sam(embedding_channels: usize, mask_tokens: usize) -> Self {
        Self {
            embedding_channels,
            mask_tokens,
            transformer_depth: 2,
            heads: 8,
            mlp_width: 8 * embedding_channels,
            cross_width: embedding_channels / 2,
            iou_hidden: embedding_channels,
            iou_depth: 3,
        }
    }

    /// Infers the sizes from a checkpoint's shapes (`mask_decoder.*`), with SAM's 8 heads.
    ///
    /// # Errors
    /// When a parameter that every SAM mask decoder has is missing or misshapen.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        // Taps are PIMM's inputs; this decoder has none.
        let sizes = DecoderConfig::sizes_from_tensors(tensors, Vec::new())?;
        let config = Self {
            embedding_channels: sizes.embedding_channels,
            mask_tokens: sizes.mask_tokens,
            transformer_depth: sizes.transformer_depth,
            heads: sizes.heads,
            mlp_width: sizes.mlp_width,
            cross_width: sizes.cross_width,
            iou_hidden: sizes.iou_hidden,
            iou_depth: sizes.iou_depth,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks that a decoder can be built.
    ///
    /// # Errors
    /// Naming the value that does not fit.
    pub fn validate(&self) -> Result<()> {
        let sizes = self.decoder();
        let e = self.embedding_channels;
        if e == 0 || !e.is_multiple_of(8) {
            return Err(Error::Config(format!("embedding_channels {e} must be a multiple of 8")));
        }
        sizes.validate_heads()?;
        sizes.validate_counts()
    }

    /// Builds the decoder from parameters at `vb`'s root, under `mask_decoder.*`.
    ///
    /// # Errors
    /// When the configuration is not valid, or a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<ClassDecoder> {
        self.validate().map_err(candle_core::Error::wrap)?;
        let (vb, sizes) = (vb.pp("mask_decoder"), self.decoder());
        Ok(ClassDecoder {
            prim: Prim::new(&sizes, vb.clone())?,
            head: SamMaskHead::new(&sizes, vb)?,
            config: self.clone(),
        })
    }

    /// Whether parameter `name` depends on the number of mask tokens, so that a decoder for other
    /// classes cannot take it from a SAM: mask tokens, hypernetworks and IoU head.
    pub fn is_class_specific(name: &str) -> bool {
        let parts = ["mask_tokens.", "output_hypernetworks_mlps.", "iou_prediction_head."];
        let own = name.strip_prefix("mask_decoder.");
        own.is_some_and(|own| parts.iter().any(|part| own.starts_with(part)))
    }

    /// The same sizes as a [`DecoderConfig`], for the modules that both decoders share and for records.
    pub fn decoder(&self) -> DecoderConfig {
        DecoderConfig {
            tap_channels: Vec::new(),
            embedding_channels: self.embedding_channels,
            transformer_depth: self.transformer_depth,
            heads: self.heads,
            mlp_width: self.mlp_width,
            cross_width: self.cross_width,
            mask_tokens: self.mask_tokens,
            iou_hidden: self.iou_hidden,
            iou_depth: self.iou_depth,
            squeeze: crate::SqueezePlacement::Official,
            variant: crate::Variant::ClassDecoder,
            classes: 1,
            deep_supervision: false,
        }
    }
}

/// SAM's mask decoder with one mask token a class, all decoded: the decoder of fine-tuned SAMs that take
/// no prompt from a user. SAM itself decodes four tokens and returns the first, or the others.
#[derive(Debug, Clone)]
pub struct ClassDecoder {
    config: ClassDecoderConfig,
    prim: Prim,
    head: SamMaskHead,
}

/// Masks of a [`ClassDecoder`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClassMasks {
    /// Logits `[B, K, 4 G, 4 G]`.
    pub logits: Tensor,
    /// Predicted IoU `[B, K]`. The official programs' losses leave it out, so it is never trained.
    pub iou: Tensor,
}

impl ClassDecoder {
    /// The configuration it was built from.
    pub fn config(&self) -> &ClassDecoderConfig {
        &self.config
    }

    /// Decodes `embedding [B, E, G, G]` with a dense prompt `[B, E, G, G]` and no sparse one; `position
    /// [1, E, G, G]` is the embedding's positional encoding. With gradients where inputs or parameters
    /// are tracked.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(
        &self,
        embedding: &Tensor,
        dense: &Tensor,
        position: &Tensor,
    ) -> candle_core::Result<ClassMasks> {
        let context = ImageContext {
            embedding: embedding.clone(),
            position: position.clone(),
            levels: Vec::new(),
        };
        let (images, channels) = (dense.dim(0)?, self.config.embedding_channels);
        let sparse = Tensor::zeros((images, 0, channels), dense.dtype(), dense.device())?;
        let prompts = PromptEmbedding { sparse, dense: dense.clone() };
        let output = self.prim.encode_prompts(&context, &prompts)?;
        let logits = self.head.masks(&output, self.config.mask_tokens)?;
        Ok(ClassMasks { logits, iou: output.iou_all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use desam_nn::params::{LoadOptions, load};

    fn config() -> ClassDecoderConfig {
        ClassDecoderConfig { heads: 4, mlp_width: 32, ..ClassDecoderConfig::sam(16, 3) }
    }

    #[test]
    fn every_token_is_decoded_and_the_iou_head_gets_no_gradient() {
        let loaded =
            load(Tensors::new(), &LoadOptions::trainable(3), |vb| config().build(vb)).unwrap();
        let zeros = |b: usize| Tensor::ones((b, 16, 4, 4), DType::F32, &Device::Cpu).unwrap();
        let masks = loaded.module.forward(&zeros(2), &zeros(2), &zeros(1)).unwrap();
        assert_eq!((masks.logits.dims(), masks.iou.dims()), (&[2, 3, 16, 16][..], &[2, 3][..]));
        let grads = masks.logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for (name, var) in &loaded.vars {
            let expected = !name.contains("iou_prediction_head");
            assert_eq!(grads.get(var.as_tensor()).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn parameters_are_counted_as_in_the_official_program() {
        // DAPSAM over SAM's 256 channels: 3 637 377 in the decoder, 131 841 of them in its IoU head,
        // and 197 120 in the prompt generator beside its buffer of 2 × 128. Counted there.
        let decoder = ClassDecoderConfig::sam(256, 1);
        let decoder =
            load(Tensors::new(), &LoadOptions::seeded(1), |vb| decoder.build(vb)).unwrap();
        let prompt = crate::PromptGeneratorConfig::official(256);
        let prompt = load(Tensors::new(), &LoadOptions::seeded(1), |vb| prompt.build(vb)).unwrap();
        let count = |tensors: &Tensors, part: &str| {
            let of = tensors.iter().filter(|(name, _)| name.contains(part));
            of.map(|(_, tensor)| tensor.elem_count()).sum::<usize>()
        };
        assert_eq!(count(&decoder.tensors, ""), 3_637_377);
        assert_eq!(count(&decoder.tensors, "iou_prediction_head"), 131_841);
        assert_eq!(count(&prompt.tensors, ""), 197_120 + 256);
    }

    #[test]
    fn sizes_are_inferred_and_impossible_ones_refused() {
        let loaded =
            load(Tensors::new(), &LoadOptions::seeded(3), |vb| config().build(vb)).unwrap();
        let found = ClassDecoderConfig::from_tensors(&loaded.tensors).unwrap();
        // SAM's 8 heads, since no shape shows them.
        assert_eq!(found, ClassDecoderConfig { heads: 8, ..config() });
        for bad in [
            ClassDecoderConfig { heads: 3, ..config() },
            ClassDecoderConfig { embedding_channels: 12, ..config() },
            ClassDecoderConfig { mask_tokens: 0, ..config() },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        assert!(ClassDecoderConfig::from_tensors(&Tensors::new()).is_err());
    }
}
