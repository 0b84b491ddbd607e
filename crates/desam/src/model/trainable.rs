//! Trainable models: a frozen prompt encoder and a decoder of variables.

use super::ModelRecord;
use super::decoder_config::decoder_config;
use super::start::{DecoderStart, open_start};
use crate::{Error, Result};
use candle_core::Device;
use desam_core::{ClassTable, EncoderSpec};
use desam_decoder::{Decoder, DecoderConfig, SqueezePlacement, Variant};
use desam_encoder::{Checkpoint, PromptEncoderConfig, SamPromptEncoder, checkpoint};
use desam_nn::params::{LoadOptions, LoadReport, Loaded, Tensors, load};
use std::path::{Path, PathBuf};

/// Decoder to train: variant and options; its sizes follow from the weights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecoderChoice {
    /// DeSAM, an ablation, or SAM's own decoder.
    pub variant: Variant,
    /// Placement of PIMM's squeeze-and-excitation.
    pub squeeze: SqueezePlacement,
    /// Deep supervision: whether PIMM's coarser heads are trained, too.
    pub deep_supervision: bool,
    /// The classes to tell apart.
    pub classes: ClassTable,
}

/// Initialisation of a decoder to train.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainableOptions {
    /// Seed of the parameters that no checkpoint provides.
    pub seed: u64,
    /// The checkpoint whose mask decoder is the start; without one, that of the cache's weights.
    pub init: Option<PathBuf>,
    /// The decoder.
    pub decoder: DecoderChoice,
    /// The device that holds the variables.
    pub device: Device,
}

impl TrainableOptions {
    /// DeSAM on the CPU, started from the cache's weights; the rest is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let decoder = DecoderChoice::default();
        Self { seed, init: None, decoder, device: Device::Cpu }
    }

    /// Starts from the mask decoder of another checkpoint.
    #[must_use]
    pub fn with_init(self, init: impl Into<PathBuf>) -> Self {
        Self { init: Some(init.into()), ..self }
    }

    /// Trains another decoder.
    #[must_use]
    pub fn with_decoder(self, decoder: DecoderChoice) -> Self {
        Self { decoder, ..self }
    }

    /// Holds the variables on another device.
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }
}

/// The frozen prompt encoder, a decoder of variables, and the frozen weights to be written back
/// next to it. The image encoder is not built: features come from the cache (paper, section 3.1).
#[derive(Debug)]
pub struct Trainable {
    /// The frozen prompt encoder.
    pub prompt: SamPromptEncoder,
    /// The decoder, its variables by official name.
    pub decoder: Loaded<Decoder>,
    /// The record for the model's file.
    pub record: ModelRecord,
    /// What of a checkpoint for other classes the decoder does not start from, or takes for another class: a
    /// sentence that names the file.
    pub start_warning: Option<String>,
    frozen: Tensors,
    device: Device,
}

impl Trainable {
    /// The frozen weights of a cache, and a decoder that starts as `options` say. Its record names
    /// the decoder, and so does the model that is saved.
    ///
    /// PRIM must be in the checkpoint whole or not at all, PIMM likewise; what is missing is drawn
    /// from the seed, and so are PIMM's heads where the checkpoint has them for another number of classes.
    ///
    /// # Errors
    /// When a file cannot be read, its parameters do not fit (all are listed), or the decoder cannot
    /// be built over this encoder.
    pub fn open(weights: &Path, options: &TrainableOptions) -> Result<Self> {
        Self::from_checkpoint(Checkpoint::open(weights)?, options)
    }

    /// The same from weights that have been read already.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_checkpoint(checkpoint: Checkpoint, options: &TrainableOptions) -> Result<Self> {
        let weights = checkpoint.path.clone();
        let weights = weights.as_path();
        let Some(mut record) = ModelRecord::read(&checkpoint.metadata, weights)? else {
            let reason =
                "was not written with a feature cache: it says nothing about preprocessing";
            return Err(Error::file(weights, reason));
        };
        let (start, from) = match &options.init {
            Some(path) => (open_start(path)?, path.as_path()),
            None => (DecoderStart::from(checkpoint.part("mask_decoder.")), weights),
        };
        if options.init.is_some() && start.tensors.is_empty() {
            return Err(Error::file(from, "holds no mask decoder (mask_decoder.*) to start from"));
        }
        let frozen = Self::frozen_part(checkpoint);
        let choice = &options.decoder;
        (record.variant, record.squeeze) = (choice.variant, choice.squeeze);
        record.classes = choice.classes.clone();
        let prompt = prompt_encoder(&frozen, &record.spec, &options.device)
            .map_err(|e| Error::file(weights, e.to_string()))?;
        let parts = FrozenParts { frozen, prompt };
        Self::assemble(parts, start, record, options).map_err(|e| Error::file(from, e.to_string()))
    }

    /// From frozen tensors under official names (`prompt_encoder.*` at least), for features of an
    /// encoder that is not SAM's. The decoder is that of `record`, drawn from the seed:
    /// `options.init` and the variant of `options.decoder` are not used.
    ///
    /// # Errors
    /// When the record's encoder specification is out of range, or the prompt encoder's parameters do
    /// not fit it.
    pub fn new(frozen: Tensors, record: ModelRecord, options: &TrainableOptions) -> Result<Self> {
        record.spec.validate()?;
        let prompt = prompt_encoder(&frozen, &record.spec, &options.device)?;
        let start = DecoderStart::from(Tensors::new());
        Self::assemble(FrozenParts { frozen, prompt }, start, record, options)
    }

    fn frozen_part(checkpoint: Checkpoint) -> Tensors {
        let decoder = |name: &String| name.starts_with("mask_decoder.");
        checkpoint.tensors.into_iter().filter(|(name, _)| !decoder(name)).collect()
    }

    fn assemble(
        parts: FrozenParts,
        start: DecoderStart,
        record: ModelRecord,
        options: &TrainableOptions,
    ) -> Result<Self> {
        let DecoderStart { tensors: mut start, classes: start_classes } = start;
        let FrozenParts { frozen, prompt } = parts;
        let spec = &record.spec;
        let config = if !start.is_empty() {
            decoder_config(&start, spec)?
        } else if spec.embedding_channels >= 256 {
            // SAM's perceptron is 8 E wide, the tiny preset's 2 E.
            DecoderConfig::sam(spec)
        } else {
            DecoderConfig::tiny(spec)
        };
        let (variant, squeeze) = (record.variant, record.squeeze);
        let deep_supervision = options.decoder.deep_supervision;
        let given = config.classes;
        let classes = record.classes.len();
        let config = DecoderConfig { squeeze, variant, deep_supervision, classes, ..config };
        if !variant.has_pimm() {
            // A DeSAM's SAM part is as good a start as a SAM.
            start.retain(|name, _| !name.starts_with("mask_decoder.pimm."));
        }
        let names: Vec<String> = start.keys().cloned().collect();
        // Heads for another number of classes are no start.
        let drawn = if given == classes { Vec::new() } else { config.class_parameters() };
        start.retain(|name, tensor| {
            !drawn.contains(name) || tensor.dims().first() == config.class_outputs(name).as_ref()
        });
        let redrawn = names.len() - start.len();
        let start_warning = start_classes.and_then(|from| from.warning(&record.classes, redrawn));
        let device = options.device.clone();
        let params = LoadOptions { device: device.clone(), ..LoadOptions::trainable(options.seed) };
        let decoder = load(start, &params, |vb| config.build(vb))?;
        whole_or_absent(&decoder.report, &names, &drawn)?;
        Ok(Self { prompt, decoder, record, start_warning, frozen, device })
    }

    /// The device that holds the variables.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of trainable parameters of the decoder, elements of all tensors together.
    pub fn trainable_numbers(&self) -> usize {
        let module = &self.decoder.module;
        let learning = self.decoder.vars.iter().filter(|(name, _)| !module.is_inert(name));
        learning.map(|(_, var)| var.elem_count()).sum()
    }

    /// Writes the whole model under official names, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path, record: &ModelRecord) -> Result<()> {
        self.save_with(path, record, Tensors::new())
    }

    /// The same with some of the decoder's parameters replaced, such as by their running mean.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_with(&self, path: &Path, record: &ModelRecord, parameters: Tensors) -> Result<()> {
        let mut tensors = self.frozen.clone();
        tensors.extend(self.decoder.tensors.iter().map(|(name, t)| (name.clone(), t.clone())));
        tensors.extend(parameters);
        Ok(checkpoint::write(path, &tensors, &record.to_metadata()?)?)
    }
}

/// The frozen half of a [`Trainable`].
struct FrozenParts {
    frozen: Tensors,
    prompt: SamPromptEncoder,
}

/// The prompt encoder among frozen tensors.
fn prompt_encoder(
    frozen: &Tensors,
    spec: &EncoderSpec,
    device: &Device,
) -> Result<SamPromptEncoder> {
    let sizes = PromptEncoderConfig::from_tensors(frozen, spec)?;
    let own = frozen.iter().filter(|(name, _)| name.starts_with("prompt_encoder."));
    let own: Tensors = own.map(|(name, t)| (name.clone(), t.clone())).collect();
    let params = LoadOptions { device: device.clone(), ..LoadOptions::frozen() };
    let prompt = load(own, &params, |vb| sizes.build(vb.pp("prompt_encoder")))?;
    prompt.report.check()?;
    Ok(prompt.module)
}

/// Checks that the parameters drawn from the seed are all of PIMM, or all of PRIM, or both: a file
/// that holds a part of either is broken, but for heads that are `drawn` in any case.
fn whole_or_absent(report: &LoadReport, given: &[String], drawn: &[String]) -> Result<()> {
    let is_pimm = |name: &str| name.starts_with("mask_decoder.pimm.");
    let partly = |name: &&String| given.iter().any(|g| is_pimm(g) == is_pimm(name));
    let mut report = report.clone();
    let initialised = report.initialised.iter().filter(|name| !drawn.contains(name));
    report.missing = initialised.filter(partly).cloned().collect();
    Ok(report.check()?)
}
