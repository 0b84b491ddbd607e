//! Models with adapters: opening a file of what was trained, over the base that it was trained on.

use super::decoder_config::decoder_config;
use super::{CheckpointNotes, Model, ModelParts, ModelRecord, WEIGHTS_FILE};
use crate::adapted::{AdapterRecord, LoadedNetwork, NetworkOptions, PixelEncoder};
use crate::{Compute, Error, Result};
use candle_core::Device;
use desam_core::EncoderSpec;
use desam_decoder::{DecoderConfig, Variant};
use desam_encoder::checkpoint::is_model_folder;
use desam_encoder::{Checkpoint, PromptEncoderConfig, SamPromptEncoder, VitConfig};
use desam_nn::params::{LoadOptions, Tensors, load};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model's file with the record of its adapter.
pub(super) struct AdaptedFile<'a> {
    pub(super) path: &'a Path,
    pub(super) record: ModelRecord,
    pub(super) adapter: AdapterRecord,
}

impl AdaptedFile<'_> {
    /// Opens the model over the recorded base, or over `base` where it lies elsewhere now.
    pub(super) fn open(self, base: Option<&Path>, compute: &Compute) -> Result<Model> {
        if !compute.precision().is_f32() {
            let reason = format!(
                "a model with adapters computes in f32, found precision {}",
                compute.precision()
            );
            return Err(Error::Invalid(reason));
        }
        let own = Checkpoint::open_verbatim(self.path)?;
        let sam = self.open_base(base)?;
        let device = compute.device();
        let prompt = network_prompt_encoder(
            &sam.tensors,
            &self.record.spec,
            self.adapter.input_side,
            device,
        )?;
        let network = self.network(&sam.tensors, &own.tensors, device);
        let network = network.map_err(|e| Error::file(self.path, e.to_string()))?;
        let parts = ModelParts {
            encoder: Arc::new(PixelEncoder::new(self.record.spec.clone())),
            prompt_encoder: Arc::new(prompt),
            decoder: Arc::new(network.network),
            record: Arc::new(self.record),
            compute: compute.clone(),
        };
        let notes = Arc::new(CheckpointNotes::of(&sam));
        Ok(Model { parts, decoder_config: Some(network.decoder), notes })
    }

    fn network(&self, sam: &Tensors, own: &Tensors, device: &Device) -> Result<LoadedNetwork> {
        let options = NetworkOptions {
            kind: self.adapter.kind,
            input_side: self.adapter.input_side,
            mask_side: self.record.spec.mask_side(),
            device: device.clone(),
        };
        let (variant, classes) = (self.record.variant, self.record.classes.len());
        if variant == Variant::ClassDecoder {
            let loaded = options.load_classes(sam, own)?;
            return expect_classes(&loaded, classes).map(|()| loaded);
        }
        let is_decoder = |(name, _): &(&String, _)| name.starts_with("mask_decoder.");
        let part: Tensors =
            own.iter().filter(is_decoder).map(|(name, t)| (name.clone(), t.clone())).collect();
        let squeeze = self.record.squeeze;
        let sizes = decoder_config(&part, &self.record.spec)?;
        let config = DecoderConfig { squeeze, variant, classes, ..sizes };
        let params = LoadOptions { device: device.clone(), ..LoadOptions::frozen() };
        let decoder = load(part, &params, |vb| config.build(vb))?;
        decoder.report.check()?;
        options.load_desam(sam, own, decoder)
    }

    /// The base, whose image encoder is the one that the record names by its hash.
    fn open_base(&self, base: Option<&Path>) -> Result<Checkpoint> {
        let path = weights_file(base.unwrap_or(&self.adapter.base));
        if !path.exists() {
            return Err(Error::BaseMissing { model: self.path.to_owned(), base: path });
        }
        let checkpoint = Checkpoint::open(&path)?;
        checkpoint.expect_sam()?;
        let (expected, found) =
            (&self.record.encoder_blake3, checkpoint.weights_hash(&["image_encoder."])?);
        if found == *expected {
            return Ok(checkpoint);
        }
        let reason = format!(
            "is not the image encoder that {} was trained on ({}): its hash is {found}, expected \
             {expected}",
            self.path.display(),
            self.record.encoder
        );
        Err(Error::file(&path, reason))
    }
}

/// The weights of a cache whose folder this is, or the file itself.
fn weights_file(path: &Path) -> PathBuf {
    let inside = path.join(WEIGHTS_FILE);
    let is_cache = path.is_dir() && !is_model_folder(path) && inside.is_file();
    if is_cache { inside } else { path.to_owned() }
}

fn expect_classes(loaded: &LoadedNetwork, classes: usize) -> Result<()> {
    let found = desam_core::MaskDecoder::classes(&loaded.network);
    if found == classes {
        return Ok(());
    }
    let reason = format!(
        "its decoder has masks of {found} classes, its record names {classes}; get the file \
                 again from where it was trained"
    );
    Err(Error::Invalid(reason))
}

/// The prompt encoder of a base, for a network whose input side is not that of the images: prompts are in
/// pixels of the images, and its grid is that of the network.
pub(super) fn network_prompt_encoder(
    base: &Tensors,
    images: &EncoderSpec,
    input_side: usize,
    device: &Device,
) -> Result<SamPromptEncoder> {
    let vit = VitConfig { input_side, ..VitConfig::from_tensors(base)? };
    let sizes = PromptEncoderConfig {
        input_side: images.input_side,
        ..PromptEncoderConfig::from_tensors(base, &vit.spec())?
    };
    let own = base.iter().filter(|(name, _)| name.starts_with("prompt_encoder."));
    let own: Tensors = own.map(|(name, t)| (name.clone(), t.clone())).collect();
    let params = LoadOptions { device: device.clone(), ..LoadOptions::frozen() };
    let prompt = load(own, &params, |vb| sizes.build(vb.pp("prompt_encoder")))?;
    prompt.report.check()?;
    Ok(prompt.module)
}
