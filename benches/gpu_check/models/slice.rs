//! Grid points mode, from a slice's features to its mask.

use super::limits;
use crate::Result;
use desam::candle::{Device, Tensor};
use desam::core::{EncoderSpec, ImageFeatures, Precision};
use desam::decoder::{Decoder, DecoderConfig};
use desam::encoder::{PromptEncoderConfig, SamPromptEncoder, VitConfig};
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use desam::predict::{SliceEvidence, SlicePrediction, SlicePredictor};
use desam::{Automatic, Mode};
use desam_benches::features;

/// Everything that a slice's prediction works on.
pub(crate) struct Slice {
    spec: EncoderSpec,
    prompt: Loaded<SamPromptEncoder>,
    decoder: Loaded<Decoder>,
    features: ImageFeatures,
    automatic: Automatic,
}

impl Slice {
    /// A grid of `points × points`. The weights are random: no point is filtered out by its IoU, and
    /// nothing counts as a speck, so that one mask is drawn, as of a trained model mostly.
    pub(crate) fn new(
        config: &VitConfig,
        points: usize,
        (precision, device): (Precision, &Device),
    ) -> Result<Self> {
        let spec = config.spec();
        let decoder = match spec.embedding_channels {
            256 => DecoderConfig::sam(&spec),
            _ => DecoderConfig::tiny(&spec),
        };
        let sizes = PromptEncoderConfig::for_encoder(&spec);
        let mut automatic = Automatic::new(Mode::Points, points, spec.mask_side());
        automatic.selection.iou_threshold = 0.0;
        automatic.selection.min_region_px = 0;
        let put = |t: Tensor| t.to_device(device)?.to_dtype(precision.dtype());
        let ImageFeatures { taps, embedding } = features(&spec, 1);
        let taps = taps.into_iter().map(put).collect::<desam::candle::Result<_>>()?;
        let seeded = |seed| LoadOptions { device: device.clone(), ..LoadOptions::seeded(seed) };
        Ok(Self {
            prompt: load(Tensors::new(), &seeded(1), |vb| sizes.build(vb))?,
            decoder: load(Tensors::new(), &seeded(2), |vb| decoder.build(vb))?,
            features: ImageFeatures { taps, embedding: put(embedding)? },
            spec,
            automatic,
        })
    }

    pub(crate) fn run(&self) -> Result<(SlicePrediction, SliceEvidence)> {
        let (prompt, decoder) = (&self.prompt.module, &self.decoder.module);
        let predictor = SlicePredictor::new(prompt, decoder, &self.spec);
        Ok(predictor.predict_with_evidence(&self.features, &self.automatic)?)
    }
}

/// Predicted IoU of all points, and the share of the mask's pixels that are others. A random mask is
/// half edge, so where the two take different points for the best, the pixels are not compared.
pub(super) fn check(
    preset: &str,
    precision: Precision,
    device: &Device,
) -> Result<Vec<(&'static str, f64, f64)>> {
    let config = VitConfig { input_side: 256, ..VitConfig::preset(preset)? };
    let (_, expected) = Slice::new(&config, 4, (Precision::F32, &Device::Cpu))?.run()?;
    let (_, found) = Slice::new(&config, 4, (precision, device))?.run()?;
    let limit = limits(precision).results;
    let mut rows = vec![("IoU of points", distance(&found.ious, &expected.ious)?, limit)];
    let best = |e: &SliceEvidence| e.ious.iter().copied().map(f64::from).fold(f64::MIN, f64::max);
    let place = |e: &SliceEvidence| e.ious.iter().position(|&i| f64::from(i) == best(e));
    if place(&found) == place(&expected) {
        rows.push(("logits", distance(&found.logits, &expected.logits)?, limit));
    }
    Ok(rows)
}

fn distance(found: &[f32], expected: &[f32]) -> Result<f64> {
    if found.len() != expected.len() {
        return Err(format!("{} numbers, expected {}", found.len(), expected.len()).into());
    }
    let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu);
    crate::case::apart(&tensor(found)?, &tensor(expected)?, true)
}
