//! Building of adapted networks: initial ones from a SAM, trained ones from the SAM and what was trained.

use super::load::part;
use super::network::{AdaptedNetwork, NetworkInput, NetworkSides};
use super::{AdaptedOptions, AdaptedSam, LoadedAdaptedSam, LoraStart};
use crate::Result;
use candle_core::{Device, Var};
use desam_decoder::{Decoder, DecoderConfig};
use desam_encoder::adapter::{AdaptedEncoder, AdapterKind, DapsamAxes, DapsamConfig, LoraConfig};
use desam_encoder::{ResizedPositions, VitConfig};
use desam_nn::params::{LoadOptions, Loaded, Missing, Tensors, load};
use std::collections::BTreeMap;

/// A network with its parameters.
#[derive(Debug)]
pub(crate) struct LoadedNetwork {
    pub(crate) network: AdaptedNetwork,
    /// Sizes of its decoder.
    pub(crate) decoder: DecoderConfig,
    /// Parameters and buffers that are not the base's, under the official programs' names.
    pub(crate) own: Tensors,
    /// The trained ones; empty unless they are trainable.
    pub(crate) vars: BTreeMap<String, Var>,
    /// Number of parameters that no file held.
    pub(crate) initialised: usize,
}

/// What a network is built with, beside parameters.
#[derive(Debug, Clone)]
pub(crate) struct NetworkOptions {
    pub(crate) kind: AdapterKind,
    /// Side of the network's input, in pixels.
    pub(crate) input_side: usize,
    /// Side of the mask logits.
    pub(crate) mask_side: usize,
    pub(crate) device: Device,
}

/// Sizes and seed of a network that is to be trained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NetworkStart {
    /// Classes without the background.
    pub(crate) classes: usize,
    /// Rank of the updates of a LoRA.
    pub(crate) rank: usize,
    pub(crate) seed: u64,
}

impl NetworkOptions {
    /// An initial network without prompts, of variables.
    pub(crate) fn start_classes(
        &self,
        base: &Tensors,
        start: NetworkStart,
    ) -> Result<LoadedNetwork> {
        let options = self.adapted(true);
        let NetworkStart { classes, rank, seed } = start;
        let loaded = match self.kind {
            AdapterKind::Lora => {
                AdaptedSam::lora_from_sam(base, LoraStart { classes, rank }, seed, &options)?
            }
            AdapterKind::Dapsam | AdapterKind::DapsamIntended => {
                AdaptedSam::dapsam_from_sam(base, classes, seed, &options)?
            }
        };
        Ok(self.of_sam(loaded))
    }

    /// A trained network without prompts, from the base and its own tensors.
    pub(crate) fn load_classes(&self, base: &Tensors, own: &Tensors) -> Result<LoadedNetwork> {
        let options = self.adapted(false);
        let loaded = match self.kind {
            AdapterKind::Lora => AdaptedSam::lora(base, own, &options)?,
            AdapterKind::Dapsam | AdapterKind::DapsamIntended => {
                let mut tensors = self.resized(base)?.tensors;
                tensors.extend(own.iter().map(|(name, tensor)| (name.clone(), tensor.clone())));
                AdaptedSam::dapsam(&tensors, &options)?
            }
        };
        Ok(self.of_sam(loaded))
    }

    /// An initial network with DeSAM's decoder, of variables.
    pub(crate) fn start_desam(
        &self,
        base: &Tensors,
        decoder: Loaded<Decoder>,
        start: NetworkStart,
    ) -> Result<LoadedNetwork> {
        let resized = self.resized(base)?;
        let vit = &resized.config;
        let params =
            LoadOptions { device: self.device.clone(), ..LoadOptions::trainable(start.seed) };
        let configs = AdapterConfigs {
            dapsam: DapsamConfig { axes: self.axes(), ..DapsamConfig::for_vit(vit) },
            lora: LoraConfig::for_vit(vit, start.rank),
        };
        let encoder = self.adapt(&resized, &configs, Tensors::new(), &params)?;
        Ok(self.of_desam(encoder, decoder))
    }

    /// A trained network with DeSAM's decoder, from the base and its own tensors.
    pub(crate) fn load_desam(
        &self,
        base: &Tensors,
        own: &Tensors,
        decoder: Loaded<Decoder>,
    ) -> Result<LoadedNetwork> {
        let resized = self.resized(base)?;
        let vit = &resized.config;
        let params = LoadOptions { device: self.device.clone(), ..LoadOptions::frozen() };
        let mut adapter = own.clone();
        adapter.retain(|name, _| !name.starts_with("mask_decoder."));
        // Only the sizes of the adapter that there is are in the tensors.
        let mut configs = AdapterConfigs {
            dapsam: DapsamConfig::for_vit(vit),
            lora: LoraConfig::for_vit(vit, 1),
        };
        match self.kind {
            AdapterKind::Lora => configs.lora = LoraConfig::from_tensors(own, vit)?,
            AdapterKind::Dapsam | AdapterKind::DapsamIntended => {
                configs.dapsam =
                    DapsamConfig { axes: self.axes(), ..DapsamConfig::from_tensors(own, vit)? };
            }
        }
        let encoder = self.adapt(&resized, &configs, adapter, &params)?;
        Ok(self.of_desam(encoder, decoder))
    }

    /// The image encoder with the adapter of the kind in its blocks.
    fn adapt(
        &self,
        frozen: &ResizedPositions,
        configs: &AdapterConfigs,
        adapter: Tensors,
        params: &LoadOptions,
    ) -> Result<Loaded<AdaptedEncoder>> {
        let base =
            LoadOptions { missing: Missing::Refuse, trainable: false, device: self.device.clone() };
        let tensors = frozen.tensors.clone();
        let image = load(tensors, &base, |vb| frozen.config.build(vb.pp("image_encoder")))?;
        image.report.check()?;
        let image = image.module;
        let loaded = match self.kind {
            AdapterKind::Lora => {
                load(adapter, params, |vb| Ok(AdaptedEncoder::new(image, configs.lora.build(vb)?)))
            }
            AdapterKind::Dapsam | AdapterKind::DapsamIntended => load(adapter, params, |vb| {
                Ok(AdaptedEncoder::new(image, configs.dapsam.build(vb)?))
            }),
        }?;
        loaded.report.check()?;
        Ok(loaded)
    }

    /// The base's image encoder at the network's input side.
    fn resized(&self, base: &Tensors) -> Result<ResizedPositions> {
        let vit = VitConfig::from_tensors(base)?;
        Ok(vit.resize_positions(&part(base, "image_encoder."), self.input_side)?)
    }

    fn axes(&self) -> DapsamAxes {
        match self.kind {
            AdapterKind::DapsamIntended => DapsamAxes::Intended,
            AdapterKind::Dapsam | AdapterKind::Lora => DapsamAxes::Official,
        }
    }

    fn adapted(&self, trainable: bool) -> AdaptedOptions {
        AdaptedOptions::default()
            .with_axes(self.axes())
            .with_input_side(self.input_side)
            .with_device(self.device.clone())
            .trainable(trainable)
    }

    fn sides(&self) -> NetworkSides {
        NetworkSides { input: self.input_side, mask: self.mask_side }
    }

    fn input(&self) -> NetworkInput {
        match self.kind {
            AdapterKind::Lora => NetworkInput::Sam,
            AdapterKind::Dapsam | AdapterKind::DapsamIntended => NetworkInput::Standardised,
        }
    }

    fn of_sam(&self, loaded: LoadedAdaptedSam) -> LoadedNetwork {
        let LoadedAdaptedSam { model, tensors, vars, initialised } = loaded;
        LoadedNetwork {
            decoder: model.decoder().config().decoder(),
            network: AdaptedNetwork::classes(model, self.sides(), self.input()),
            own: tensors.into_iter().filter(|(name, _)| is_own(name)).collect(),
            vars,
            initialised,
        }
    }

    fn of_desam(&self, encoder: Loaded<AdaptedEncoder>, decoder: Loaded<Decoder>) -> LoadedNetwork {
        let initialised = encoder.report.initialised.len() + decoder.report.initialised.len();
        let (mut own, mut vars) = (encoder.tensors, encoder.vars);
        own.extend(decoder.tensors);
        vars.extend(decoder.vars);
        let config = decoder.module.config().clone();
        let (sides, input) = (self.sides(), self.input());
        let network = AdaptedNetwork::desam(encoder.module, decoder.module, sides, input);
        LoadedNetwork { network, decoder: config, own, vars, initialised }
    }
}

/// Sizes of an adapter of either kind.
struct AdapterConfigs {
    dapsam: DapsamConfig,
    lora: LoraConfig,
}

/// Whether a tensor is the network's own and not the base's.
fn is_own(name: &str) -> bool {
    !name.starts_with("image_encoder.") || DapsamConfig::is_adapter(name)
}
