//! One step of training the decoder: prediction, the paper's loss, gradients, Adam.

use crate::{Result, Subject};
use desam::candle::Tensor;
use desam::decoder::{Decoder, DecoderConfig};
use desam::encoder::VitConfig;
use desam::metrics::loss::{DesamLoss, LossConfig};
use desam::nn::gradients::backward;
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use desam::types::{
    ImageFeatures, Loss, LossTarget, LossValue, MaskDecoder, MaskPrediction, PromptEmbedding,
};
use desam_benches::{discs, features, wave};
use desam_study::train::{Adam, AdamConfig};

pub(crate) struct Step {
    decoder: Loaded<Decoder>,
    features: ImageFeatures,
    position: Tensor,
    prompts: PromptEmbedding,
    target: LossTarget,
    loss: DesamLoss,
    adam: Adam,
}

impl Step {
    pub(crate) fn new(preset: &str, side: usize, batch: usize) -> Result<Self> {
        let spec = VitConfig { input_side: side, ..VitConfig::preset(preset)? }.spec();
        let config = match preset {
            "tiny" => DecoderConfig::tiny(&spec),
            _ => DecoderConfig::sam(&spec),
        };
        let (e, g) = (spec.embedding_channels, spec.grid());
        Ok(Self {
            decoder: load(Tensors::new(), &LoadOptions::trainable(1), |vb| config.build(vb))?,
            features: features(&spec, batch),
            position: wave(&[1, e, g, g], 5.0),
            prompts: PromptEmbedding {
                sparse: wave(&[batch, 2, e], 3.0), // a point and SAM's padding point
                dense: wave(&[batch, e, g, g], 4.0),
            },
            target: LossTarget {
                mask: discs(batch, spec.mask_side()),
                iou: Some(wave(&[batch, 1], 6.0)),
            },
            loss: LossConfig::paper_points().build()?,
            adam: Adam::new(AdamConfig::default()),
        })
    }

    fn forward(&self) -> Result<(MaskPrediction, LossValue)> {
        let model = &self.decoder.module;
        let prediction = model.decode(&self.features, &self.position, &self.prompts)?;
        let value = self.loss.forward(&prediction, &self.target)?;
        Ok((prediction, value))
    }
}

impl Subject for Step {
    fn run(&mut self) -> Result<()> {
        // The prediction is not kept for the backward pass: the trainer does not either.
        let (_, value) = self.forward()?;
        let gradients = backward(&value.total)?;
        self.adam.step(&self.decoder.vars, &gradients, 1e-4)?;
        Ok(())
    }

    fn dump(&mut self) -> Result<Tensors> {
        let (prediction, value) = self.forward()?;
        let gradients = value.total.backward()?;
        let mut out = self.decoder.tensors.clone();
        for (name, var) in &self.decoder.vars {
            if let Some(gradient) = gradients.get(var.as_tensor()) {
                out.insert(format!("gradient.{name}"), gradient.clone());
            }
        }
        for (i, tap) in self.features.taps.iter().enumerate() {
            out.insert(format!("input.tap{i}"), tap.clone());
        }
        let mut put = |name: &str, t: &Tensor| out.insert(name.into(), t.clone());
        put("input.embedding", &self.features.embedding);
        put("input.position", &self.position);
        put("input.sparse", &self.prompts.sparse);
        put("input.dense", &self.prompts.dense);
        put("input.mask", &self.target.mask);
        if let Some(iou) = &self.target.iou {
            put("input.iou", iou);
        }
        put("output.logits", &prediction.logits);
        put("output.iou", &prediction.iou);
        put("output.loss", &value.total);
        Ok(out)
    }
}
