//! Grid points mode from a slice's features to its mask.

use crate::{Result, Subject};
use desam::decoder::{Decoder, DecoderConfig};
use desam::encoder::{PromptEncoderConfig, SamPromptEncoder, VitConfig};
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use desam::predict::{SliceEvidence, SlicePrediction, SlicePredictor};
use desam::prompt::grid_points;
use desam::types::{EncoderSpec, ImageFeatures, MaskDecoder, PromptEncoder, Prompts};
use desam::{Mode, PromptingConfig};
use desam_benches::features;
use std::hint::black_box;

/// Which way is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing is repaired, so one mask is drawn.
    One,
    /// Random masks are nothing but specks: all need repair, and all that survive are drawn.
    All,
    /// The plain way: every prompt and every mask, as the official program does it.
    Plain,
}

pub(crate) struct Grid {
    spec: EncoderSpec,
    prompt: Loaded<SamPromptEncoder>,
    decoder: Loaded<Decoder>,
    features: ImageFeatures,
    automatic: PromptingConfig,
    way: Way,
}

impl Grid {
    pub(crate) fn new(preset: &str, side: usize, way: &str) -> Result<Self> {
        let spec = VitConfig::preset(preset)?.spec();
        let config = match preset {
            "tiny" => DecoderConfig::tiny(&spec),
            _ => DecoderConfig::sam(&spec),
        };
        let way = match way {
            "one" => Way::One,
            "all" => Way::All,
            "plain" => Way::Plain,
            _ => return Err(format!("no such way: {way:?}").into()),
        };
        let mut automatic = PromptingConfig::new(Mode::Points, side, spec.mask_side());
        // An untrained PRIM expects nothing of any point; at 0 the filter is off.
        automatic.selection.iou_threshold = 0.0;
        if way == Way::One {
            automatic.selection.min_region_px = 0;
        }
        let sizes = PromptEncoderConfig::for_encoder(&spec);
        Ok(Self {
            prompt: load(Tensors::new(), &LoadOptions::seeded(1), |vb| sizes.build(vb))?,
            decoder: load(Tensors::new(), &LoadOptions::seeded(2), |vb| config.build(vb))?,
            features: features(&spec, 1),
            spec,
            automatic,
            way,
        })
    }

    fn predict(&self) -> Result<(SlicePrediction, SliceEvidence)> {
        let (prompt, decoder) = (&self.prompt.module, &self.decoder.module);
        let predictor = SlicePredictor::new(prompt, decoder, &self.spec);
        Ok(match self.way {
            Way::Plain => predictor.predict_plain(&self.features, &self.automatic)?,
            _ => predictor.predict_with_evidence(&self.features, &self.automatic)?,
        })
    }
}

impl Subject for Grid {
    fn run(&mut self) -> Result<()> {
        black_box(self.predict()?);
        Ok(())
    }

    /// With the IoU of all prompts, and the logits that every prompt would give.
    fn dump(&mut self) -> Result<Tensors> {
        let (_, SliceEvidence { ious, logits, .. }) = self.predict()?;
        let (prompt, decoder) = (&self.prompt.module, &self.decoder.module);
        let points = grid_points(self.automatic.grid, self.spec.input_side as f32)?;
        let embedding = prompt.encode(&Prompts::points(&points)?)?;
        let mut best = 0;
        for (i, iou) in ious.iter().enumerate() {
            if *iou > ious[best] {
                best = i;
            }
        }
        let side = self.spec.mask_side();
        let device = desam_benches::DEVICE;
        let tensor = |numbers: Vec<f32>, shape: &[usize]| {
            desam::candle::Tensor::from_vec(numbers, shape, &device)
        };
        let context = decoder.context(&self.features, prompt.dense_pe())?;
        let mut out = self.decoder.tensors.clone();
        for (i, tap) in self.features.taps.iter().enumerate() {
            out.insert(format!("input.tap{i}"), tap.clone());
        }
        out.insert("input.embedding".into(), context.embedding);
        out.insert("input.position".into(), context.position);
        out.insert("input.sparse".into(), embedding.sparse);
        out.insert("input.dense".into(), embedding.dense.narrow(0, 0, 1)?.contiguous()?);
        out.insert("input.best".into(), tensor(vec![best as f32], &[1])?);
        out.insert("output.iou".into(), tensor(ious, &[points.len(), 1])?);
        out.insert("output.logits".into(), tensor(logits, &[1, 1, side, side])?);
        Ok(out)
    }
}
