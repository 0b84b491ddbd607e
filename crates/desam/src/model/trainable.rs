//! A model whose decoder can learn.

use super::{ModelRecord, decoder_config};
use crate::{Error, Result};
use candle_core::Device;
use desam_core::EncoderSpec;
use desam_data::cache::FeatureCache;
use desam_decoder::{Decoder, DecoderConfig, SqueezePlacement, Variant};
use desam_encoder::{Checkpoint, PromptEncoderConfig, SamPromptEncoder, checkpoint};
use desam_nn::params::{LoadOptions, LoadReport, Loaded, Tensors, load};
use std::path::Path;

/// Which decoder to train; its sizes follow from the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecoderChoice {
    /// DeSAM, an ablation, or SAM's own.
    pub variant: Variant,
    /// Where PIMM's squeeze-excitation looks.
    pub squeeze: SqueezePlacement,
    /// Whether PIMM's coarser heads learn too.
    pub deep_supervision: bool,
}

/// The frozen prompt encoder, a decoder of variables, and the frozen weights to be written back
/// beside it. The image encoder is not built: features come from the cache (paper, section 3.1).
#[derive(Debug)]
pub struct Trainable {
    /// The frozen prompt encoder.
    pub prompt: SamPromptEncoder,
    /// The decoder, its variables by official name.
    pub decoder: Loaded<Decoder>,
    /// What its file says about itself.
    pub record: ModelRecord,
    frozen: Tensors,
    device: Device,
}

impl Trainable {
    /// The weights of a cache, and a decoder from `init` or, without one, from the same weights.
    ///
    /// PRIM must be there whole or not at all, PIMM likewise; what is not there at all is drawn
    /// from the seed.
    ///
    /// # Errors
    /// When a file cannot be read, or its parameters do not fit; they are all listed.
    pub fn open(weights: &Path, options: (Option<&Path>, u64, Device)) -> Result<Self> {
        Self::open_as(weights, DecoderChoice::default(), options)
    }

    /// The same for any decoder. Its record says which one it is, and so does the model that is
    /// saved.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when the decoder cannot be built over this encoder.
    pub fn open_as(
        weights: &Path,
        choice: DecoderChoice,
        options: (Option<&Path>, u64, Device),
    ) -> Result<Self> {
        Self::from_checkpoint(Checkpoint::open(weights)?, choice, options)
    }

    /// The same from weights that have been read already.
    ///
    /// # Errors
    /// As [`open_as`](Self::open_as).
    pub fn from_checkpoint(
        checkpoint: Checkpoint,
        choice: DecoderChoice,
        (init, seed, device): (Option<&Path>, u64, Device),
    ) -> Result<Self> {
        let weights = checkpoint.path.clone();
        let weights = weights.as_path();
        let Some(mut record) = ModelRecord::read(&checkpoint.metadata, weights)? else {
            let reason = "was not written by `desam embed`: it says nothing about preprocessing";
            return Err(Error::file(weights, reason));
        };
        let (start, from) = match init {
            Some(path) => {
                let start = Checkpoint::open(path)?;
                start.expect_sam()?;
                (start.part("mask_decoder."), path)
            }
            None => (checkpoint.part("mask_decoder."), weights),
        };
        if init.is_some() && start.is_empty() {
            return Err(Error::file(from, "holds no mask decoder (mask_decoder.*) to start from"));
        }
        let frozen = Self::frozen_part(checkpoint);
        (record.variant, record.squeeze) = (choice.variant, choice.squeeze);
        let prompt = prompt_encoder(&frozen, &record.spec, &device)
            .map_err(|e| Error::file(weights, e.to_string()))?;
        let parts = (frozen, prompt, start);
        Self::assemble(parts, record, choice.deep_supervision, (seed, device))
            .map_err(|e| Error::file(from, e.to_string()))
    }

    /// From frozen tensors under official names (`prompt_encoder.*` at least), for features of an
    /// encoder that is not SAM's; the decoder is the record's variant, drawn from the seed.
    ///
    /// # Errors
    /// When there can be no such encoder as the record's, or the prompt encoder's parameters do not
    /// fit it.
    pub fn new(
        frozen: Tensors,
        record: ModelRecord,
        (seed, device): (u64, Device),
    ) -> Result<Self> {
        record.spec.validate()?;
        let prompt = prompt_encoder(&frozen, &record.spec, &device)?;
        Self::assemble((frozen, prompt, Tensors::new()), record, false, (seed, device))
    }

    fn frozen_part(checkpoint: Checkpoint) -> Tensors {
        let decoder = |name: &String| name.starts_with("mask_decoder.");
        checkpoint.tensors.into_iter().filter(|(name, _)| !decoder(name)).collect()
    }

    fn assemble(
        (frozen, prompt, mut start): (Tensors, SamPromptEncoder, Tensors),
        record: ModelRecord,
        deep_supervision: bool,
        (seed, device): (u64, Device),
    ) -> Result<Self> {
        let spec = &record.spec;
        let config = match start.is_empty() {
            // SAM's perceptron is 8 E wide, the tiny preset's 2 E.
            true if spec.embedding_channels >= 256 => DecoderConfig::sam(spec),
            true => DecoderConfig::tiny(spec),
            false => decoder_config(&start, spec)?,
        };
        let (variant, squeeze) = (record.variant, record.squeeze);
        let config = DecoderConfig { squeeze, variant, deep_supervision, ..config };
        if !variant.has_pimm() {
            // A DeSAM's SAM part is as good a start as a SAM.
            start.retain(|name, _| !name.starts_with("mask_decoder.pimm."));
        }
        let params = LoadOptions { device: device.clone(), ..LoadOptions::trainable(seed) };
        let names: Vec<String> = start.keys().cloned().collect();
        let decoder = load(start, &params, |vb| config.build(vb))?;
        whole_or_absent(&decoder.report, &names)?;
        Ok(Self { prompt, decoder, record, frozen, device })
    }

    /// Where its variables live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Numbers in the decoder's parameters that can learn.
    pub fn trainable_numbers(&self) -> usize {
        let module = &self.decoder.module;
        let learning = self.decoder.vars.iter().filter(|(name, _)| !module.is_inert(name));
        learning.map(|(_, var)| var.elem_count()).sum()
    }

    /// Refuses a cache whose features these weights did not make.
    ///
    /// # Errors
    /// When encoder or preprocessing differ.
    pub fn check_cache(&self, cache: &FeatureCache) -> Result<()> {
        let recipe = &cache.header().recipe;
        let same = recipe.encoder.weights_blake3 == self.record.encoder_blake3
            && recipe.spec == self.record.spec
            && recipe.preprocess == self.record.preprocess;
        if same {
            return Ok(());
        }
        let reason = "its features were not made with the weights in its model.safetensors; \
                      run `desam embed` again";
        Err(Error::file(cache.dir(), reason))
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

/// What was drawn from the seed must be all of PIMM, or all of PRIM, or both: a file that holds a
/// part of either is broken.
fn whole_or_absent(report: &LoadReport, given: &[String]) -> Result<()> {
    let is_pimm = |name: &str| name.starts_with("mask_decoder.pimm.");
    let partly = |name: &&String| given.iter().any(|g| is_pimm(g) == is_pimm(name));
    let mut report = report.clone();
    report.missing = report.initialised.iter().filter(partly).cloned().collect();
    Ok(report.check()?)
}
