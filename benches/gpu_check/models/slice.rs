//! Grid points mode, from a slice's features to its mask.

use super::{Found, Limits, decoder_for};
use crate::Result;
use crate::distance::apart;
use crate::gauge::TargetDevice;
use desam::candle::{Device, Tensor};
use desam::decoder::Decoder;
use desam::encoder::{PromptEncoderConfig, SamPromptEncoder, VitConfig};
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use desam::predict::{SliceEvidence, SlicePrediction, SlicePredictor};
use desam::types::{EncoderSpec, ImageFeatures, Precision};
use desam::{Mode, PromptingConfig};
use desam_benches::features;

/// Everything that a slice's prediction works on.
pub(crate) struct Slice {
    spec: EncoderSpec,
    prompt: Loaded<SamPromptEncoder>,
    decoder: Loaded<Decoder>,
    features: ImageFeatures,
    automatic: PromptingConfig,
    precision: Precision,
}

impl Slice {
    /// A grid of `points × points`. The weights are random: no point is filtered out by its IoU, and
    /// nothing counts as a speck, so that one mask is drawn, as of a trained model mostly.
    pub(crate) fn new(
        config: &VitConfig,
        points: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let spec = config.spec();
        let decoder = decoder_for(&spec);
        let sizes = PromptEncoderConfig::for_encoder(&spec);
        let mut automatic = PromptingConfig::new(Mode::Points, points, spec.mask_side());
        automatic.selection.iou_threshold = 0.0;
        automatic.selection.min_region_px = 0;
        let seeded = |seed| LoadOptions { device: device.clone(), ..LoadOptions::seeded(seed) };
        Ok(Self {
            prompt: load(Tensors::new(), &seeded(1), |vb| sizes.build(vb))?,
            decoder: load(Tensors::new(), &seeded(2), |vb| decoder.build(vb))?,
            features: features(&spec, 1).to_device(device)?.to_dtype(precision.dtype())?,
            spec,
            automatic,
            precision,
        })
    }

    /// IoU and logits.
    fn numbers(&self) -> Result<Vec<Tensor>> {
        let (_, SliceEvidence { ious, logits, .. }) = self.run()?;
        Ok(vec![Tensor::new(ious, &Device::Cpu)?, Tensor::new(logits, &Device::Cpu)?])
    }

    pub(crate) fn run(&self) -> Result<(SlicePrediction, SliceEvidence)> {
        let (prompt, decoder) = (&self.prompt.module, &self.decoder.module);
        let predictor = SlicePredictor::new(prompt, decoder, &self.spec);
        let predictor = predictor.with_precision(self.precision);
        Ok(predictor.predict_with_evidence(&self.features, &self.automatic)?)
    }
}

/// Predicted IoU of all points, and the logits of the mask that wins. Where the two take different
/// points for the best, there is no second.
pub(super) fn check(preset: &str, precision: Precision, target: &TargetDevice) -> Found {
    let config = VitConfig { input_side: 256, ..VitConfig::preset(preset)? };
    let here = Slice::new(&config, 4, Precision::F32, &Device::Cpu)?;
    let there = Slice::new(&config, 4, precision, &target.device)?;
    let (expected, found) = (here.numbers()?, target.run(|| there.numbers())?);
    let limit = Limits::decoder(precision).results;
    let mut rows = vec![("IoU of points", apart(&found[0], &expected[0], true)?, limit)];
    let best = |ious: &Tensor| ious.argmax(0)?.to_scalar::<u32>();
    if best(&found[0])? == best(&expected[0])? {
        rows.push(("logits", apart(&found[1], &expected[1], true)?, limit));
    }
    Ok(rows)
}
