//! SAM's image encoder and prompt encoder, frozen, from one checkpoint or seed.

use crate::{
    Checkpoint, PromptEncoderConfig, Result, SamImageConfig, SamImageEncoder, SamPromptEncoder,
    VitConfig,
};
use candle_core::Device;
use desam_core::{ImageEncoder, Precision};
use desam_nn::params::{LoadOptions, LoadReport, Missing, Tensors, load};

/// SAM's image encoder and prompt encoder, frozen.
#[derive(Debug, Clone)]
pub struct FrozenSam {
    /// The image encoder.
    pub image: SamImageEncoder,
    /// The prompt encoder, for the same input side.
    pub prompt: SamPromptEncoder,
}

/// Options for loading the encoders.
#[derive(Debug, Clone)]
pub struct SamOptions {
    /// Input side in pixels, where it differs from the checkpoint's; a ViT's position tables are then
    /// resampled.
    pub input_side: Option<usize>,
    /// Device of the parameters.
    pub device: Device,
    /// Compute precision of the image encoder's matrix multiplications. With bf16 their weights are
    /// stored in it; norms, positions, biases and the residual stream between blocks stay f32, and so
    /// do the features. A TinyViT computes in f32 in any precision.
    pub precision: Precision,
}

impl Default for SamOptions {
    fn default() -> Self {
        Self { input_side: None, device: Device::Cpu, precision: Precision::F32 }
    }
}

/// Encoders with their parameters and the report of loading.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadedSam {
    /// The encoders.
    pub sam: FrozenSam,
    /// Their parameters under official names, in f32 whatever the precision, to be saved or hashed.
    pub tensors: Tensors,
    /// Report on the parameters that were missing, unexpected, misshapen or initialised, of
    /// `image_encoder.*` and `prompt_encoder.*`. Merge the decoder's report into it and call
    /// [`LoadReport::check`] before use.
    pub report: LoadReport,
}

impl FrozenSam {
    /// Loads the encoders of a checkpoint, their configuration inferred from its shapes.
    ///
    /// # Errors
    /// When the weights are another model's, the configuration cannot be inferred or the input side is
    /// no multiple of the patch. Parameters that are missing, unexpected or misshapen are in the report.
    pub fn load(checkpoint: &Checkpoint, options: &SamOptions) -> Result<LoadedSam> {
        // Before shapes are read, which in another model would be misleading.
        checkpoint.expect_sam()?;
        // SAM's checkpoints come without a configuration file; their shapes determine it.
        let image = SamImageConfig::from_tensors(&checkpoint.tensors)?;
        let prompt = PromptEncoderConfig::from_tensors(&checkpoint.tensors, &image.spec())?;
        let params = LoadOptions { device: options.device.clone(), ..LoadOptions::frozen() };
        let parts = EncoderTensors {
            image: checkpoint.part("image_encoder."),
            prompt: checkpoint.part("prompt_encoder."),
        };
        build(EncoderConfigs { image: &image, prompt: &prompt }, parts, &params, options)
    }

    /// Encoders with random weights from a seed, distributed as in the reference initial checkpoint:
    /// features of such an encoder are random but useful enough to train a decoder on. The same seed
    /// gives the same bits.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn random(config: &VitConfig, seed: u64) -> Result<LoadedSam> {
        Self::random_with(config, seed, &SamOptions::default())
    }

    /// [`random`](Self::random) on any device: the same bits, because they are drawn on the CPU.
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
        let image = SamImageConfig::Vit(config.clone());
        let configs = EncoderConfigs { image: &image, prompt: &prompt };
        build(configs, EncoderTensors::default(), &params, options)
    }
}

/// Configurations of both encoders.
struct EncoderConfigs<'a> {
    image: &'a SamImageConfig,
    prompt: &'a PromptEncoderConfig,
}

/// Tensors of both encoders; empty to initialise them.
#[derive(Default)]
struct EncoderTensors {
    image: Tensors,
    prompt: Tensors,
}

fn build(
    configs: EncoderConfigs<'_>,
    parts: EncoderTensors,
    params: &LoadOptions,
    options: &SamOptions,
) -> Result<LoadedSam> {
    let image = load(parts.image, params, |vb| {
        configs.image.build_in(vb.pp("image_encoder"), options.precision)
    })?;
    let encoder = match options.input_side {
        Some(side) => image.module.with_input_side(side)?,
        None => image.module,
    };
    let spec = encoder.spec();
    // The prompt encoder takes the grid and input side that the image encoder ended up with.
    let (grid, input_side) = (spec.grid(), spec.input_side);
    // Prompts are in pixels of the input, and a dense embedding is added to the features' grid.
    let prompt = PromptEncoderConfig { grid, input_side, ..configs.prompt.clone() };
    let prompts = load(parts.prompt, params, |vb| prompt.build(vb.pp("prompt_encoder")))?;
    let mut report = image.report;
    report.merge(prompts.report);
    let mut tensors = image.tensors;
    tensors.extend(prompts.tensors);
    Ok(LoadedSam { sam: FrozenSam { image: encoder, prompt: prompts.module }, tensors, report })
}
