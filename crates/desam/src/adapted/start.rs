//! Initial models: a SAM with adapters, prompt and class heads drawn from a seed.

use super::load::{DapsamConfigs, LoraConfigs, part};
use super::{AdaptedOptions, AdaptedSam, LoadedAdaptedSam};
use crate::Result;
use desam_decoder::{ClassDecoderConfig, PromptGeneratorConfig};
use desam_encoder::adapter::{DapsamConfig, LoraConfig};
use desam_encoder::{PromptEncoderConfig, VitConfig};
use desam_nn::params::{Missing, Tensors};

impl AdaptedSam {
    /// DAPSAM's initial model for `classes` from a SAM's state dict. Adapters, prompt generator (also its
    /// matrix of the positional encoding, which is not SAM's), mask tokens, hypernetworks and IoU head
    /// are drawn from `seed`; everything else is SAM's, its position tables resized.
    ///
    /// # Errors
    /// When sizes cannot be inferred, or a parameter of the SAM is missing or misshapen.
    pub fn dapsam_from_sam(
        sam: &Tensors,
        classes: usize,
        seed: u64,
        options: &AdaptedOptions,
    ) -> Result<LoadedAdaptedSam> {
        let start = Start::new(sam, classes, options)?;
        let adapter = DapsamConfig { axes: options.axes, ..DapsamConfig::for_vit(&start.vit) };
        let prompt = PromptGeneratorConfig::official(start.decoder.embedding_channels);
        let Start { vit, decoder, tensors } = start;
        let configs = DapsamConfigs { vit, adapter, prompt, decoder };
        configs.build(&tensors, Missing::Initialise { seed }, options)
    }

    /// SAMed's initial model of `rank` for `classes` and the background from a SAM's state dict: updates
    /// are zero, and mask tokens, hypernetworks and IoU head are drawn from `seed`.
    ///
    /// # Errors
    /// When sizes cannot be inferred, or a parameter of the SAM is missing or misshapen.
    pub fn lora_from_sam(
        sam: &Tensors,
        sizes: LoraStart,
        seed: u64,
        options: &AdaptedOptions,
    ) -> Result<LoadedAdaptedSam> {
        let start = Start::new(sam, sizes.classes + 1, options)?;
        let Start { vit, decoder, mut tensors } = start;
        tensors.extend(part(sam, "prompt_encoder."));
        let adapter = LoraConfig::for_vit(&vit, sizes.rank);
        let prompt = PromptEncoderConfig::from_tensors(&tensors, &vit.spec())?;
        let configs = LoraConfigs { vit, adapter, prompt, decoder };
        configs.build(&tensors, Missing::Initialise { seed }, options)
    }
}

/// Sizes of a new SAM with LoRA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoraStart {
    /// Classes without the background.
    pub classes: usize,
    /// Rank of the updates; 4 in SAMed.
    pub rank: usize,
}

/// The parts of a SAM that an initial model takes.
struct Start {
    vit: VitConfig,
    decoder: ClassDecoderConfig,
    /// The image encoder, resized, and what of the mask decoder does not depend on the classes.
    tensors: Tensors,
}

impl Start {
    fn new(sam: &Tensors, mask_tokens: usize, options: &AdaptedOptions) -> Result<Self> {
        let vit = VitConfig::from_tensors(sam)?;
        let side = options.input_side.unwrap_or(vit.input_side);
        let resized = vit.resize_positions(&part(sam, "image_encoder."), side)?;
        // An encoder that comes without a mask decoder gets one of SAM's sizes, drawn from the seed.
        let sizes = if sam.keys().any(|name| name.starts_with("mask_decoder.")) {
            ClassDecoderConfig::from_tensors(sam)?
        } else {
            ClassDecoderConfig::sam(vit.embedding_channels, mask_tokens)
        };
        let decoder = ClassDecoderConfig { heads: options.heads, mask_tokens, ..sizes };
        let mut tensors = resized.tensors;
        tensors.extend(part(sam, "mask_decoder."));
        tensors.retain(|name, _| !ClassDecoderConfig::is_class_specific(name));
        Ok(Self { vit: resized.config, decoder, tensors })
    }
}
