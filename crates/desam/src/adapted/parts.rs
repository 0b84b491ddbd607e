//! Loading of a model part by part.

use super::{AdaptedOptions, AdaptedSam, DensePrompt, LoadedAdaptedSam};
use crate::Result;
use candle_core::{Tensor, Var};
use desam_decoder::ClassDecoderConfig;
use desam_encoder::VitConfig;
use desam_encoder::adapter::{AdaptedEncoder, BlockAdapter};
use desam_nn::params::{LoadOptions, LoadReport, Loaded, Missing, Tensors, VarBuilder, load};
use std::collections::BTreeMap;

/// What [`Parts::finish`] joins to a model.
pub(super) struct Assembly<'a, A> {
    pub(super) vit: &'a VitConfig,
    pub(super) adapter: A,
    pub(super) prompt: DensePrompt,
    pub(super) position: Tensor,
    pub(super) decoder: &'a ClassDecoderConfig,
}

/// Loads a model part by part, each from its tensors, and collects what loading found.
pub(super) struct Parts {
    /// Tensors that no part has taken.
    left: Tensors,
    trained: LoadOptions,
    tensors: Tensors,
    vars: BTreeMap<String, Var>,
    report: LoadReport,
}

impl Parts {
    pub(super) fn new(tensors: &Tensors, missing: Missing, options: &AdaptedOptions) -> Self {
        let AdaptedOptions { trainable, ref device, .. } = *options;
        let trained = LoadOptions { missing, trainable, device: device.clone() };
        let left = tensors.clone();
        let (tensors, vars, report) = Default::default();
        Self { left, trained, tensors, vars, report }
    }

    /// Builds a part from the tensors whose names are its own.
    pub(super) fn trained<M>(
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

    pub(super) fn finish<A: BlockAdapter + 'static>(
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
        let initialised = self.report.initialised.len();
        Ok(LoadedAdaptedSam { model, tensors: self.tensors, vars: self.vars, initialised })
    }
}

/// The buffer of a positional encoding, in prompt encoder and prompt generator.
const BUFFER: &str = ".positional_encoding_gaussian_matrix";
