//! The official checkpoints, and `config.json` of the reference.

use super::ParityOptions;
use super::compare::Comparison;
use super::reference_vectors::ReferenceVectors;
use super::report::Stage;
use crate::{Error, Result};
use candle_core::Tensor;
use desam_core::{EncoderSpec, ImageFeatures, Precision};
use desam_decoder::{Decoder, DecoderConfig};
use desam_encoder::{Checkpoint, PromptEncoderConfig, SamPromptEncoder, VitConfig, VitEncoder};
use desam_nn::params::{LoadOptions, Loaded, load};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `config.json` as the reference writes it; further fields are ignored.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ReferenceConfig {
    /// Sizes of the model.
    pub(super) config: ModelSizes,
    /// Input of the preprocessing vectors.
    pub(super) preprocess: Option<PreprocessInput>,
}

/// A volume and its labels, relative to `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PreprocessInput {
    pub(super) image: PathBuf,
    pub(super) label: PathBuf,
}

/// The model's sizes under the reference's names.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ModelSizes {
    img: usize,
    patch: usize,
    dim: usize,
    depth: usize,
    heads: usize,
    window: usize,
    glob: Vec<usize>,
    out: usize,
    mlp: usize,
    ihd: usize,
    taps: usize,
}

/// A complete official checkpoint.
#[derive(Debug)]
pub(super) struct OfficialModel {
    pub(super) spec: EncoderSpec,
    pub(super) image: VitEncoder,
    pub(super) prompt: SamPromptEncoder,
    pub(super) decoder: Loaded<Decoder>,
    /// Compute precision.
    pub(super) precision: Precision,
    vit: VitConfig,
}

impl OfficialModel {
    /// Loads a checkpoint. Missing, unexpected and misshapen parameters are errors.
    pub(super) fn open(
        path: &Path,
        sizes: Option<&ModelSizes>,
        trainable: bool,
        on: &ParityOptions,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let built = Self::build(&checkpoint, sizes, trainable, on);
        built.map_err(|e| Error::file(path, e.to_string()))
    }

    fn build(
        checkpoint: &Checkpoint,
        sizes: Option<&ModelSizes>,
        trainable: bool,
        on: &ParityOptions,
    ) -> Result<Self> {
        let vit = VitConfig::from_tensors(&checkpoint.tensors)?;
        let vit = sizes.map_or(vit.clone(), |s| s.resolve_blocks(vit));
        vit.validate()?;
        let spec = vit.spec();
        let frozen = LoadOptions { device: on.device.clone(), ..LoadOptions::frozen() };
        let image = load(checkpoint.part("image_encoder."), &frozen, |vb| {
            vit.build_in(vb.pp("image_encoder"), on.precision)
        })?;
        let config = PromptEncoderConfig::from_tensors(&checkpoint.tensors, &spec)?;
        let part = checkpoint.part("prompt_encoder.");
        let prompt = load(part, &frozen, |vb| config.build(vb.pp("prompt_encoder")))?;
        let part = checkpoint.part("mask_decoder.");
        let config = DecoderConfig::from_tensors(&part, &spec)?;
        let options = LoadOptions { trainable, ..frozen };
        let decoder = load(part, &options, |vb| config.build(vb))?;
        let mut report = image.report;
        report.merge(prompt.report);
        report.merge(decoder.report.clone());
        report.check()?;
        let (image, prompt, precision) = (image.module, prompt.module, on.precision);
        Ok(Self { spec, image, prompt, decoder, precision, vit })
    }

    /// Number of blocks of the image encoder.
    pub(super) fn depth(&self) -> usize {
        self.vit.depth
    }

    /// Features of the images `index [B]`, from the tensors `features0..` (the taps, then the embedding), on
    /// the decoder's device and in its precision.
    pub(super) fn features(
        &self,
        train: &ReferenceVectors,
        index: &Tensor,
    ) -> Result<ImageFeatures> {
        let pick = |i: usize| {
            let all = train.get(&format!("features{i}"))?.index_select(index, 0);
            let put = all.and_then(|t| train.put(&t)?.to_dtype(self.precision.dtype()));
            put.map_err(|e| train.wrong(format!("features{i}: {e}")))
        };
        let taps = self.spec.tap_channels.len();
        Ok(ImageFeatures {
            taps: (0..taps).map(pick).collect::<Result<_>>()?,
            embedding: pick(taps)?,
        })
    }
}

impl ModelSizes {
    /// Takes the global blocks from the configuration where a window is as large as the grid: then shapes do
    /// not distinguish windowed from global blocks, which the taps depend on.
    fn resolve_blocks(&self, vit: VitConfig) -> VitConfig {
        let ambiguous = self.window == vit.grid() && vit.window == vit.grid();
        if ambiguous { VitConfig { global_blocks: self.glob.clone(), ..vit } } else { vit }
    }

    /// Compares the configuration with the checkpoint's shapes.
    pub(super) fn stage(&self, model: &OfficialModel) -> Stage {
        let (vit, decoder) = (&model.vit, model.decoder.module.config());
        let mut pairs = vec![
            ("img", self.img, vit.input_side),
            ("patch", self.patch, vit.patch),
            ("dim", self.dim, vit.width),
            ("depth", self.depth, vit.depth),
            ("heads", self.heads, vit.heads),
            ("out", self.out, vit.embedding_channels),
            ("mlp", self.mlp, decoder.mlp_width),
            ("ihd", self.ihd, decoder.iou_hidden),
            ("taps", self.taps, decoder.tap_channels.len()),
            ("glob", self.glob.len(), vit.global_blocks.len()),
        ];
        if vit.global_blocks.len() < vit.depth {
            pairs.push(("window", self.window, vit.window));
        }
        let blocks = self.glob.iter().zip(&vit.global_blocks);
        pairs.extend(blocks.map(|(a, b)| ("glob", *a, *b)));
        let mut compared = Comparison::default();
        let as_f64 = |pick: &dyn Fn(&(&str, usize, usize)) -> usize| {
            pairs.iter().map(|p| pick(p) as f64).collect::<Vec<_>>()
        };
        compared.values(&as_f64(&|p| p.2), &as_f64(&|p| p.1));
        let odd = pairs.iter().filter(|(_, a, b)| a != b);
        let odd: Vec<_> =
            odd.map(|(name, a, b)| format!("{name} is {a}, the checkpoint has {b}")).collect();
        compared.note = odd.join("; ");
        compared.absolute("config.json against the shapes", 0.0)
    }
}

/// Compares two files of one state dict, bit by bit.
pub(super) fn formats(a: &Path, b: &Path) -> Result<Stage> {
    let (first, second) = (Checkpoint::open(a)?, Checkpoint::open(b)?);
    let mut compared = Comparison::default();
    let odd =
        |name: &&String| first.tensors.contains_key(*name) != second.tensors.contains_key(*name);
    if let Some(name) = first.tensors.keys().chain(second.tensors.keys()).find(odd) {
        compared.fail(format!("{name} is in one of them only"));
    }
    for (name, tensor) in &first.tensors {
        if let Some(other) = second.tensors.get(name) {
            compared.tensors(tensor, other)?;
        }
    }
    Ok(compared.absolute("trained: .pth against .safetensors", 0.0))
}
