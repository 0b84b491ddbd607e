//! Both frozen encoders together.

use crate::{Checkpoint, PromptEncoderConfig, Result, SamPromptEncoder, VitConfig, VitEncoder};
use candle_core::Device;
use desam_core::ImageEncoder;
use desam_nn::params::{LoadOptions, LoadReport, Missing, Tensors, load};

/// SAM's two encoders, frozen.
#[derive(Debug, Clone)]
pub struct FrozenSam {
    /// The image encoder.
    pub image: VitEncoder,
    /// The prompt encoder, for the same input side.
    pub prompt: SamPromptEncoder,
}

/// How to load the encoders.
#[derive(Debug, Clone)]
pub struct SamOptions {
    /// Another input side than the checkpoint's, pixels; the position tables are then resampled.
    pub input_side: Option<usize>,
    /// Where the parameters shall live.
    pub device: Device,
}

impl Default for SamOptions {
    fn default() -> Self {
        Self { input_side: None, device: Device::Cpu }
    }
}

/// The encoders with what they were made from.
#[derive(Debug)]
pub struct LoadedSam {
    /// The encoders.
    pub sam: FrozenSam,
    /// Their parameters under official names, to be saved or hashed.
    pub tensors: Tensors,
    /// What was missing, unexpected, misshapen or drawn among `image_encoder.*` and
    /// `prompt_encoder.*`. Merge the decoder's into it and call [`LoadReport::check`] before use.
    pub report: LoadReport,
}

impl FrozenSam {
    /// The encoders of a checkpoint, their sizes read off its shapes.
    ///
    /// # Errors
    /// When the sizes cannot be read or the input side does not fit the patch. Parameters that are
    /// missing, unexpected or misshapen are in the report.
    pub fn load(checkpoint: &Checkpoint, options: &SamOptions) -> Result<LoadedSam> {
        let vit = VitConfig::from_tensors(&checkpoint.tensors)?;
        let prompt = PromptEncoderConfig::from_tensors(&checkpoint.tensors, &vit.spec())?;
        let params = LoadOptions { device: options.device.clone(), ..LoadOptions::frozen() };
        let parts = (checkpoint.part("image_encoder."), checkpoint.part("prompt_encoder."));
        build((&vit, &prompt), parts, &params, options.input_side)
    }

    /// Encoders drawn from a seed, distributed as in the reference initial checkpoint: features of
    /// such an encoder are random but useful enough to train a decoder on. The same seed gives the
    /// same bits.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn random(config: &VitConfig, seed: u64) -> Result<LoadedSam> {
        config.validate()?;
        let prompt = PromptEncoderConfig::for_encoder(&config.spec());
        let params = LoadOptions { missing: Missing::Initialise { seed }, ..LoadOptions::frozen() };
        build((config, &prompt), Default::default(), &params, None)
    }
}

fn build(
    (vit, prompt): (&VitConfig, &PromptEncoderConfig),
    (image_part, prompt_part): (Tensors, Tensors),
    params: &LoadOptions,
    input_side: Option<usize>,
) -> Result<LoadedSam> {
    let image = load(image_part, params, |vb| vit.build(vb.pp("image_encoder")))?;
    let encoder = match input_side {
        Some(side) => image.module.with_input_side(side)?,
        None => image.module,
    };
    let spec = encoder.spec();
    let prompt =
        PromptEncoderConfig { grid: spec.grid(), input_side: spec.input_side, ..prompt.clone() };
    let prompts = load(prompt_part, params, |vb| prompt.build(vb.pp("prompt_encoder")))?;
    let mut report = image.report;
    report.merge(prompts.report);
    let mut tensors = image.tensors;
    tensors.extend(prompts.tensors);
    Ok(LoadedSam { sam: FrozenSam { image: encoder, prompt: prompts.module }, tensors, report })
}
