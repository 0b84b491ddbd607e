//! A step of training: prediction, loss, gradients, Adam.

use super::{Found, Limits, decoder_for};
use crate::Result;
use crate::distance::apart;
use crate::gauge::TargetDevice;
use desam::candle::backprop::GradStore;
use desam::candle::{DType, Device, Tensor};
use desam::decoder::Decoder;
use desam::encoder::VitConfig;
use desam::metrics::loss::{DesamLoss, LossConfig};
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use desam::types::{
    ImageFeatures, Loss, LossTarget, MaskDecoder, MaskPrediction, Precision, PromptEmbedding,
};
use desam_benches::{discs, features, wave};
use desam_study::train::{Adam, AdamConfig};

/// Everything that a step works on. Features and prompts are in the type of the products.
pub(crate) struct Step {
    decoder: Loaded<Decoder>,
    features: ImageFeatures,
    position: Tensor,
    prompts: PromptEmbedding,
    target: LossTarget,
    loss: DesamLoss,
    adam: Adam,
}

/// What a step gives before Adam.
pub(crate) struct Outcome {
    prediction: MaskPrediction,
    loss: Tensor,
    gradients: GradStore,
}

impl Step {
    pub(crate) fn new(
        config: &VitConfig,
        batch: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let spec = config.spec();
        let decoder = decoder_for(&spec);
        let (e, g) = (spec.embedding_channels, spec.grid());
        let dtype = precision.dtype();
        let put = |t: Tensor| t.to_device(device)?.to_dtype(dtype);
        let options = LoadOptions { device: device.clone(), ..LoadOptions::trainable(1) };
        Ok(Self {
            decoder: load(Tensors::new(), &options, |vb| decoder.build(vb))?,
            features: features(&spec, batch).to_device(device)?.to_dtype(dtype)?,
            position: put(wave(&[1, e, g, g], 5.0))?,
            prompts: PromptEmbedding {
                sparse: put(wave(&[batch, 2, e], 3.0))?, // a point and SAM's padding point
                dense: put(wave(&[batch, e, g, g], 4.0))?,
            },
            target: LossTarget {
                mask: discs(batch, spec.mask_side()).to_device(device)?,
                iou: Some(wave(&[batch, 1], 6.0).to_device(device)?),
            },
            loss: LossConfig::paper_points().build()?,
            adam: Adam::new(AdamConfig::default()),
        })
    }

    fn outcome(&self) -> Result<Outcome> {
        let model = &self.decoder.module;
        let out = model.decode(&self.features, &self.position, &self.prompts)?;
        let single = |t: &Tensor| t.to_dtype(DType::F32);
        let prediction = MaskPrediction::new(single(&out.logits)?, single(&out.iou)?);
        let loss = self.loss.forward(&prediction, &self.target)?.total;
        let gradients = loss.backward()?;
        Ok(Outcome { prediction, loss, gradients })
    }

    /// The whole of it.
    pub(crate) fn run(&mut self) -> Result<()> {
        let Outcome { gradients, prediction, loss } = self.outcome()?;
        drop((prediction, loss));
        self.adam.step(&self.decoder.vars, &gradients, 1e-4)?;
        Ok(())
    }

    /// Logits, IoU, loss, and all gradients.
    fn numbers(&self) -> Result<Vec<Tensor>> {
        let Outcome { prediction, loss, gradients } = self.outcome()?;
        Ok(vec![prediction.logits, prediction.iou, loss, self.all(&gradients)?])
    }

    /// All gradients, concatenated: some alone are nothing but rounding (key biases).
    fn all(&self, gradients: &GradStore) -> Result<Tensor> {
        let mut all = vec![];
        for (name, var) in &self.decoder.vars {
            if let Some(gradient) = gradients.get(var.as_tensor()) {
                if gradient.dtype() != DType::F32 {
                    return Err(format!("{name} has a gradient in {:?}", gradient.dtype()).into());
                }
                all.push(gradient.to_device(&Device::Cpu)?.flatten_all()?);
            }
        }
        Ok(Tensor::cat(&all, 0)?)
    }
}

pub(super) fn check(preset: &str, precision: Precision, target: &TargetDevice) -> Found {
    let config = VitConfig { input_side: 256, ..VitConfig::preset(preset)? };
    let here = Step::new(&config, 2, Precision::F32, &Device::Cpu)?;
    let there = Step::new(&config, 2, precision, &target.device)?;
    let (expected, found) = (here.numbers()?, target.run(|| there.numbers())?);
    let Limits { results, gradients } = Limits::decoder(precision);
    let rows = ["logits", "IoU", "loss", "gradients"].into_iter().zip(found.iter().zip(&expected));
    rows.map(|(what, (found, expected))| {
        let limit = if what == "gradients" { gradients } else { results };
        // A number about 1, of which random weights leave next to nothing.
        let distance = what != "IoU";
        Ok((what, apart(found, expected, distance)?, limit))
    })
    .collect()
}
