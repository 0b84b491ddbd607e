//! Loading of official checkpoints: DAPSAM's one file, SAMed's update file with the SAM it belongs to.

use super::{AdaptedSam, DensePrompt};
use crate::Result;
use candle_core::{Device, Tensor, Var};
use desam_core::PromptEncoder;
use desam_decoder::{ClassDecoderConfig, PromptGeneratorConfig};
use desam_encoder::adapter::{AdaptedEncoder, BlockAdapter, DapsamAxes, DapsamConfig, LoraConfig};
use desam_encoder::{PromptEncoderConfig, VitConfig};
use desam_nn::params::{LoadOptions, LoadReport, Loaded, Missing, Tensors, VarBuilder, load};
use std::collections::BTreeMap;

/// Options for loading an [`AdaptedSam`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdaptedOptions {
    /// Axes of DAPSAM's features and filters.
    pub axes: DapsamAxes,
    /// Whether adapters, prompt and decoder are variables. The encoder's own parameters never are.
    pub trainable: bool,
    /// Input side in pixels, where it differs from that of the SAM: its position tables are resized.
    pub input_side: Option<usize>,
    /// Heads of the decoder's attentions, which no shape shows; SAM has 8.
    pub heads: usize,
    /// Device of the parameters.
    pub device: Device,
}

impl Default for AdaptedOptions {
    /// The official DAPSAM, frozen, on the CPU.
    fn default() -> Self {
        Self {
            axes: DapsamAxes::Official,
            trainable: false,
            input_side: None,
            heads: 8,
            device: Device::Cpu,
        }
    }
}

impl AdaptedOptions {
    /// Sets [`axes`](Self::axes).
    #[must_use]
    pub fn with_axes(self, axes: DapsamAxes) -> Self {
        Self { axes, ..self }
    }

    /// Sets [`trainable`](Self::trainable).
    #[must_use]
    pub fn trainable(self, trainable: bool) -> Self {
        Self { trainable, ..self }
    }

    /// Sets [`input_side`](Self::input_side).
    #[must_use]
    pub fn with_input_side(self, input_side: usize) -> Self {
        Self { input_side: Some(input_side), ..self }
    }

    /// Sets [`heads`](Self::heads).
    #[must_use]
    pub fn with_heads(self, heads: usize) -> Self {
        Self { heads, ..self }
    }

    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }
}

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

/// What [`Parts::finish`] joins to a model.
struct Assembly<'a, A> {
    vit: &'a VitConfig,
    adapter: A,
    prompt: DensePrompt,
    position: Tensor,
    decoder: &'a ClassDecoderConfig,
}

/// Loads a model part by part, each from its tensors, and collects what loading found.
struct Parts {
    /// Tensors that no part has taken.
    left: Tensors,
    trained: LoadOptions,
    tensors: Tensors,
    vars: BTreeMap<String, Var>,
    report: LoadReport,
}

impl Parts {
    fn new(tensors: &Tensors, missing: Missing, options: &AdaptedOptions) -> Self {
        let AdaptedOptions { trainable, ref device, .. } = *options;
        let trained = LoadOptions { missing, trainable, device: device.clone() };
        let left = tensors.clone();
        let (tensors, vars, report) = Default::default();
        Self { left, trained, tensors, vars, report }
    }

    /// Builds a part from the tensors whose names are its own.
    fn trained<M>(
        &mut self,
        is_own: impl Fn(&str) -> bool,
        build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<M>,
    ) -> Result<M> {
        let own = self.take(is_own);
        let loaded = load(own, &self.trained, build)?;
        Ok(self.collect(loaded))
    }

    fn take(&mut self, is_own: impl Fn(&str) -> bool) -> Tensors {
        let (own, left) =
            std::mem::take(&mut self.left).into_iter().partition(|(name, _)| is_own(name));
        self.left = left;
        own
    }

    fn collect<M>(&mut self, loaded: Loaded<M>) -> M {
        self.tensors.extend(loaded.tensors);
        self.vars.extend(loaded.vars);
        self.report.merge(loaded.report);
        loaded.module
    }

    fn finish<A: BlockAdapter + 'static>(
        mut self,
        assembly: Assembly<'_, A>,
    ) -> Result<LoadedAdaptedSam> {
        let Assembly { vit, adapter, prompt, position, decoder } = assembly;
        let is_decoder = |name: &str| name.starts_with("mask_decoder.");
        let decoder = self.trained(is_decoder, |vb| decoder.build(vb))?;
        // SAM's own parameters are complete in any case: nothing of the encoder is drawn.
        let frozen = LoadOptions {
            missing: Missing::Refuse,
            trainable: false,
            device: self.trained.device.clone(),
        };
        let own = self.take(|name| name.starts_with("image_encoder."));
        let image = load(own, &frozen, |vb| vit.build(vb.pp("image_encoder")))?;
        let encoder = AdaptedEncoder::new(self.collect(image), adapter);
        self.report.unexpected.extend(std::mem::take(&mut self.left).into_keys());
        self.report.check()?;
        self.vars.retain(|name, _| !name.ends_with(BUFFER));
        let model = AdaptedSam { encoder, prompt, decoder, position };
        Ok(LoadedAdaptedSam { model, tensors: self.tensors, vars: self.vars })
    }
}

/// The buffer of a positional encoding, in prompt encoder and prompt generator.
const BUFFER: &str = ".positional_encoding_gaussian_matrix";
