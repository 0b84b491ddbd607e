//! Loading of official checkpoints: DAPSAM's one file, SAMed's update file with the SAM it belongs to.

use super::parts::{Assembly, Parts};
use super::{AdaptedOptions, AdaptedSam, DensePrompt};
use crate::Result;
use candle_core::Var;
use desam_core::PromptEncoder;
use desam_decoder::{ClassDecoderConfig, PromptGeneratorConfig};
use desam_encoder::adapter::{DapsamConfig, LoraConfig};
use desam_encoder::{PromptEncoderConfig, VitConfig};
use desam_nn::params::{Missing, Tensors};
use std::collections::BTreeMap;

/// A loaded model with its parameters.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadedAdaptedSam {
    /// The model.
    pub model: AdaptedSam,
    /// All parameters and buffers under the names of the official files.
    pub tensors: Tensors,
    /// The trained ones; empty unless they are trainable. Buffers are none of them.
    pub vars: BTreeMap<String, Var>,
    /// Number of parameters that were in no file and were drawn from the seed.
    pub initialised: usize,
}

impl AdaptedSam {
    /// Loads DAPSAM's file: `image_encoder.*` with the adapters, `prompt_generator.*` and
    /// `mask_decoder.*`, everything inferred from the shapes. Its position tables have the input's size,
    /// so [`AdaptedOptions::input_side`] is not used.
    ///
    /// # Errors
    /// When sizes cannot be inferred, or a parameter is missing, misshapen, or unexpected.
    pub fn dapsam(tensors: &Tensors, options: &AdaptedOptions) -> Result<LoadedAdaptedSam> {
        let vit = VitConfig::from_tensors(tensors)?;
        let configs = DapsamConfigs {
            adapter: DapsamConfig {
                axes: options.axes,
                ..DapsamConfig::from_tensors(tensors, &vit)?
            },
            prompt: PromptGeneratorConfig::from_tensors(tensors)?,
            decoder: ClassDecoderConfig {
                heads: options.heads,
                ..ClassDecoderConfig::from_tensors(tensors)?
            },
            vit,
        };
        configs.build(tensors, Missing::Refuse, options)
    }

    /// Loads SAMed's file, `lora`: the factors `w_a_*` and `w_b_*`, `prompt_encoder.*` and
    /// `mask_decoder.*`; and the image encoder of `sam`, the state dict that it was trained from, whose
    /// other parts are not used.
    ///
    /// # Errors
    /// When sizes cannot be inferred, or a parameter is missing, misshapen, or unexpected.
    pub fn lora(
        sam: &Tensors,
        lora: &Tensors,
        options: &AdaptedOptions,
    ) -> Result<LoadedAdaptedSam> {
        let frozen = part(sam, "image_encoder.");
        let vit = VitConfig::from_tensors(&frozen)?;
        let (vit, mut tensors) = match options.input_side {
            Some(side) => {
                let resized = vit.resize_positions(&frozen, side)?;
                (resized.config, resized.tensors)
            }
            None => (vit, frozen),
        };
        tensors.extend(lora.iter().map(|(name, tensor)| (name.clone(), tensor.clone())));
        let configs = LoraConfigs {
            adapter: LoraConfig::from_tensors(lora, &vit)?,
            prompt: PromptEncoderConfig::from_tensors(lora, &vit.spec())?,
            decoder: ClassDecoderConfig {
                heads: options.heads,
                ..ClassDecoderConfig::from_tensors(lora)?
            },
            vit,
        };
        configs.build(&tensors, Missing::Refuse, options)
    }
}

/// The tensors whose names begin with `prefix`.
pub(super) fn part(tensors: &Tensors, prefix: &str) -> Tensors {
    let part = tensors.iter().filter(|(name, _)| name.starts_with(prefix));
    part.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
}

/// Configurations of DAPSAM's parts.
pub(super) struct DapsamConfigs {
    pub(super) vit: VitConfig,
    pub(super) adapter: DapsamConfig,
    pub(super) prompt: PromptGeneratorConfig,
    pub(super) decoder: ClassDecoderConfig,
}

impl DapsamConfigs {
    pub(super) fn build(
        &self,
        tensors: &Tensors,
        missing: Missing,
        options: &AdaptedOptions,
    ) -> Result<LoadedAdaptedSam> {
        let mut parts = Parts::new(tensors, missing, options);
        let adapter = parts.trained(DapsamConfig::is_adapter, |vb| self.adapter.build(vb))?;
        let is_prompt = |name: &str| name.starts_with("prompt_generator.");
        let generator = parts.trained(is_prompt, |vb| self.prompt.build(vb))?;
        let position = generator.dense_pe(self.vit.grid())?;
        let prompt = DensePrompt::Generated(generator);
        parts.finish(Assembly { vit: &self.vit, adapter, prompt, position, decoder: &self.decoder })
    }
}

/// Configurations of the parts of a SAM with LoRA.
pub(super) struct LoraConfigs {
    pub(super) vit: VitConfig,
    pub(super) adapter: LoraConfig,
    pub(super) prompt: PromptEncoderConfig,
    pub(super) decoder: ClassDecoderConfig,
}

impl LoraConfigs {
    pub(super) fn build(
        &self,
        tensors: &Tensors,
        missing: Missing,
        options: &AdaptedOptions,
    ) -> Result<LoadedAdaptedSam> {
        let mut parts = Parts::new(tensors, missing, options);
        let adapter = parts.trained(LoraConfig::is_adapter, |vb| self.adapter.build(vb))?;
        let is_prompt = |name: &str| name.starts_with("prompt_encoder.");
        let encoder = parts.trained(is_prompt, |vb| self.prompt.build(vb.pp("prompt_encoder")))?;
        let position = encoder.dense_pe().clone();
        let prompt = DensePrompt::Constant(encoder);
        parts.finish(Assembly { vit: &self.vit, adapter, prompt, position, decoder: &self.decoder })
    }
}
