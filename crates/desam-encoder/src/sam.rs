//! Both frozen encoders together.

use crate::{Checkpoint, PromptEncoderConfig, Result, SamPromptEncoder, VitConfig, VitEncoder};
use candle_core::Device;
use desam_core::{ImageEncoder, Precision};
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
    /// What the image encoder's large products are computed in. With bf16 their weights are held in
    /// it; norms, positions, biases and the stream of tokens between blocks stay f32, and so do the
    /// features that come out.
    pub precision: Precision,
}

impl Default for SamOptions {
    fn default() -> Self {
        Self { input_side: None, device: Device::Cpu, precision: Precision::F32 }
    }
}

/// The encoders with what they were made from.
#[derive(Debug)]
pub struct LoadedSam {
    /// The encoders.
    pub sam: FrozenSam,
    /// Their parameters under official names, in f32 whatever the precision, to be saved or hashed.
    pub tensors: Tensors,
    /// What was missing, unexpected, misshapen or drawn among `image_encoder.*` and
    /// `prompt_encoder.*`. Merge the decoder's into it and call [`LoadReport::check`] before use.
    pub report: LoadReport,
}

impl FrozenSam {
    /// The encoders of a checkpoint, their sizes read off its shapes.
    ///
    /// # Errors
    /// When the weights are another model's, the sizes cannot be read or the input side does not fit
    /// the patch. Parameters that are missing, unexpected or misshapen are in the report.
    pub fn load(checkpoint: &Checkpoint, options: &SamOptions) -> Result<LoadedSam> {
        checkpoint.expect_sam()?;
        let vit = VitConfig::from_tensors(&checkpoint.tensors)?;
        let prompt = PromptEncoderConfig::from_tensors(&checkpoint.tensors, &vit.spec())?;
        let params = LoadOptions { device: options.device.clone(), ..LoadOptions::frozen() };
        let parts = (checkpoint.part("image_encoder."), checkpoint.part("prompt_encoder."));
        build((&vit, &prompt), parts, &params, options)
    }

    /// Encoders drawn from a seed, distributed as in the reference initial checkpoint: features of
    /// such an encoder are random but useful enough to train a decoder on. The same seed gives the
    /// same bits.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn random(config: &VitConfig, seed: u64) -> Result<LoadedSam> {
        Self::random_with(config, seed, &SamOptions::default())
    }

    /// The same on any device: the same bits, for they are drawn on the CPU.
    ///
    /// # Errors
    /// When the configuration is not valid, or the input side does not fit the patch.
    pub fn random_with(config: &VitConfig, seed: u64, options: &SamOptions) -> Result<LoadedSam> {
        config.validate()?;
        let prompt = PromptEncoderConfig::for_encoder(&config.spec());
        let params = LoadOptions {
            missing: Missing::Initialise { seed },
            device: options.device.clone(),
            ..LoadOptions::frozen()
        };
        build((config, &prompt), Default::default(), &params, options)
    }
}

fn build(
    (vit, prompt): (&VitConfig, &PromptEncoderConfig),
    (image_part, prompt_part): (Tensors, Tensors),
    params: &LoadOptions,
    options: &SamOptions,
) -> Result<LoadedSam> {
    let image =
        load(image_part, params, |vb| vit.build_in(vb.pp("image_encoder"), options.precision))?;
    let encoder = match options.input_side {
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
