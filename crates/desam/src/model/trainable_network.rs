//! Trainable networks: an image encoder with adapters and the decoder behind it, of variables.

use super::adapted::network_prompt_encoder;
use super::{ModelRecord, Trainable, TrainableOptions};
use crate::adapted::{
    AdaptedNetwork, AdapterChoice, AdapterRecord, LoadedNetwork, NetworkOptions, NetworkStart,
};
use crate::{Error, Result};
use candle_core::{Device, Var};
use desam_decoder::{DecoderConfig, Variant};
use desam_encoder::{Checkpoint, SamPromptEncoder, checkpoint};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;
use std::path::Path;

/// A network with adapters in its image encoder, whose encoder runs in every step. The encoder's own
/// parameters are frozen; adapters and decoder are variables.
#[derive(Debug)]
#[non_exhaustive]
pub struct TrainableNetwork {
    /// The frozen prompt encoder.
    pub prompt: SamPromptEncoder,
    /// The network, built over `vars`.
    pub network: AdaptedNetwork,
    /// What is trained, by official parameter name.
    pub vars: BTreeMap<String, Var>,
    /// The record for the model's file.
    pub record: ModelRecord,
    /// Sizes of the decoder.
    pub decoder: DecoderConfig,
    /// Number of parameters that were in no file and were drawn from the seed.
    pub initialised: usize,
    own: Tensors,
    device: Device,
}

impl TrainableNetwork {
    /// An initial network from a cache's weights: `adapter` in the image encoder, and the decoder that
    /// `options` describe. [`Variant::ClassDecoder`] is the adapter's own: with DAPSAM's a generated
    /// prompt and a mask token a class, with LoRA a constant prompt and one token more for the background.
    /// Other variants are DeSAM's decoders over the adapted encoder's taps.
    ///
    /// # Errors
    /// When the input side is no multiple of the patch, parameters do not fit, or `options` name a
    /// checkpoint to start from, which is not supported with adapters.
    pub fn from_checkpoint(
        checkpoint: Checkpoint,
        options: &TrainableOptions,
        adapter: &AdapterChoice,
    ) -> Result<Self> {
        let weights = checkpoint.path.clone();
        if let Some(init) = &options.init {
            let reason = "networks with adapters start from the cache's weights, not from another \
                          checkpoint";
            return Err(Error::file(init, reason));
        }
        let record = ModelRecord::read(&checkpoint.metadata, &weights)?;
        let side = adapter.input_side.or(record.map(|r| r.spec.input_side)).unwrap_or_default();
        let wrong = |e: Error| Error::file(&weights, e.to_string());
        let sam = checkpoint.tensors.clone();
        // DeSAM's decoder and the record are those of a training on frozen features.
        let (variant, classes) = (options.decoder.variant, options.decoder.classes.len());
        let stand_in = match variant {
            Variant::ClassDecoder => Variant::Desam,
            other => other,
        };
        let mut with_decoder = options.clone();
        with_decoder.decoder.variant = stand_in;
        let Trainable { decoder, mut record, .. } =
            Trainable::from_checkpoint(checkpoint, &with_decoder)?;
        record.variant = variant;
        let base = std::fs::canonicalize(&weights).map_err(Error::io("find", &weights))?;
        record.adapter = Some(AdapterRecord::new(adapter.kind, side, base));
        let sizes = NetworkOptions {
            kind: adapter.kind,
            input_side: side,
            mask_side: record.spec.mask_side(),
            device: options.device.clone(),
        };
        let start = NetworkStart { classes, rank: adapter.rank, seed: options.seed };
        let loaded = match variant {
            Variant::ClassDecoder => sizes.start_classes(&sam, start),
            _ => sizes.start_desam(&sam, decoder, start),
        };
        let LoadedNetwork { network, decoder, own, vars, initialised } = loaded.map_err(wrong)?;
        let device = &options.device;
        let prompt = network_prompt_encoder(&sam, &record.spec, side, device).map_err(wrong)?;
        let device = device.clone();
        Ok(Self { prompt, network, vars, record, decoder, initialised, own, device })
    }

    /// The device that holds the variables.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of trainable parameters, elements of all tensors together.
    pub fn trainable_numbers(&self) -> usize {
        let learning = self.vars.iter().filter(|(name, _)| !self.network.is_inert(name));
        learning.map(|(_, var)| var.elem_count()).sum()
    }

    /// Writes what was trained under the official programs' names, atomically, with some of the
    /// parameters replaced, such as by their running mean. The base is not written: the record has its path
    /// and the hash of its image encoder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_with(&self, path: &Path, record: &ModelRecord, parameters: Tensors) -> Result<()> {
        let mut tensors = self.own.clone();
        tensors.extend(parameters);
        Ok(checkpoint::write(path, &tensors, &record.to_metadata()?)?)
    }
}
