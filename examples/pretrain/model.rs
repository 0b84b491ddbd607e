//! The whole tiny SAM with all its parameters learning.

use super::batch::Batch;
use desam::candle::{Result, Tensor, Var};
use desam::decoder::{DecoderConfig, SamDecoder, Variant};
use desam::encoder::{FrozenSam, PromptEncoderConfig, SamPromptEncoder, VitConfig, VitEncoder};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::types::{
    ImageEncoder, ImageFeatures, MaskDecoder, PromptEmbedding, PromptEncoder, PromptOutput,
};
use std::collections::BTreeMap;

/// The random frequencies of positions: SAM draws them once and never trains them.
const FREQUENCIES: &str = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix";

/// Parameters by official name, and the sizes that they are of.
#[derive(Debug)]
pub(crate) struct TinySam {
    pub(crate) config: VitConfig,
    pub(crate) vars: BTreeMap<String, Var>,
    frequencies: Tensor,
}

/// The three modules over one set of parameters.
pub(crate) struct Modules {
    image: VitEncoder,
    prompt: SamPromptEncoder,
    decoder: SamDecoder,
}

/// What all mask tokens say about `N` prompts.
pub(crate) struct Answers {
    /// Logits `[N, K, M, M]`.
    pub(crate) masks: Tensor,
    /// Predicted IoU `[N, K]`.
    pub(crate) iou: Tensor,
}

impl TinySam {
    /// What `--encoder tiny-random` is with this seed, and a decoder drawn from the same seed.
    pub(crate) fn random(config: VitConfig, seed: u64) -> desam::Result<Self> {
        let mut tensors = FrozenSam::random(&config, seed)?.tensors;
        let sizes = decoder_sizes(&config);
        let seeded = LoadOptions::seeded(seed);
        let decoder =
            load(Tensors::new(), &seeded, |vb| SamDecoder::new(&sizes, vb.pp("mask_decoder")))?;
        tensors.extend(decoder.tensors);
        let Some(frequencies) = tensors.remove(FREQUENCIES) else {
            return Err(desam::Error::Invalid(format!("{FREQUENCIES} was not drawn")));
        };
        let vars = tensors.iter().map(|(name, t)| Ok((name.clone(), Var::from_tensor(t)?)));
        let vars = vars.collect::<Result<_>>()?;
        Ok(Self { config, vars, frequencies })
    }

    /// All parameters, as variables that gradients flow to.
    pub(crate) fn learning(&self) -> Tensors {
        let vars = self.vars.iter().map(|(name, v)| (name.clone(), v.as_tensor().clone()));
        vars.chain([(FREQUENCIES.to_owned(), self.frequencies.clone())]).collect()
    }

    /// All parameters, as numbers.
    pub(crate) fn numbers(&self) -> Tensors {
        self.learning().into_iter().map(|(name, t)| (name, t.detach())).collect()
    }
}

fn decoder_sizes(config: &VitConfig) -> DecoderConfig {
    DecoderConfig { variant: Variant::SamDecoder, ..DecoderConfig::tiny(&config.spec()) }
}

impl Modules {
    /// Rebuilt for every step: tensors that a constructor derives from parameters (concatenated tables
    /// and the like) must follow them.
    pub(crate) fn new(config: &VitConfig, tensors: Tensors) -> desam::Result<Self> {
        let part = |prefix: &str| -> Tensors {
            let part = tensors.iter().filter(|(name, _)| name.starts_with(prefix));
            part.map(|(name, t)| (name.clone(), t.clone())).collect()
        };
        let as_given = LoadOptions::frozen();
        let prompt = PromptEncoderConfig::for_encoder(&config.spec());
        let image =
            load(part("image_encoder."), &as_given, |vb| config.build(vb.pp("image_encoder")))?;
        let prompt =
            load(part("prompt_encoder."), &as_given, |vb| prompt.build(vb.pp("prompt_encoder")))?;
        let sizes = decoder_sizes(config);
        let decoder = load(part("mask_decoder."), &as_given, |vb| {
            SamDecoder::new(&sizes, vb.pp("mask_decoder"))
        })?;
        for report in [&image.report, &prompt.report, &decoder.report] {
            report.check()?;
        }
        Ok(Self { image: image.module, prompt: prompt.module, decoder: decoder.module })
    }

    /// The answers to all prompts of a batch, points first.
    pub(crate) fn answer(&self, batch: &Batch) -> Result<Answers> {
        let features = self.image.encode(&batch.pixels)?;
        let own = features.embedding.index_select(&batch.images, 0)?;
        let features = ImageFeatures { taps: Vec::new(), embedding: own };
        let context = self.decoder.context(&features, self.prompt.dense_pe())?;
        let (points, boxes) =
            (self.prompt.encode(&batch.points)?, self.prompt.encode(&batch.boxes)?);
        let prompts = PromptEmbedding {
            sparse: Tensor::cat(&[points.sparse, boxes.sparse], 0)?,
            dense: Tensor::cat(&[points.dense, boxes.dense], 0)?,
        };
        let reading: PromptOutput = self.decoder.encode_prompts(&context, &prompts)?;
        Ok(Answers { masks: self.decoder.masks(&reading)?, iou: reading.iou_all })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{batch, loss, rng, scene};
    use super::*;

    /// A network of the same make, but small.
    pub(crate) fn small() -> VitConfig {
        VitConfig {
            input_side: 64,
            width: 16,
            depth: 4,
            heads: 2,
            mlp_width: 32,
            window: 3,
            global_blocks: vec![0, 1, 2, 3],
            embedding_channels: 16,
            ..VitConfig::tiny()
        }
    }

    #[test]
    fn every_parameter_that_can_matter_gets_a_gradient() {
        let config = VitConfig { global_blocks: vec![0, 2, 3], ..small() };
        let sam = TinySam::random(config, 1).unwrap();
        let modules = Modules::new(&sam.config, sam.learning()).unwrap();
        let scene = |i| {
            let mut rng = rng::stream(1, rng::Purpose::Training, i);
            (scene::draw(64, &mut rng), rng)
        };
        let asking = batch::Asking { objects: 4, points: 2, mask_side: 16 };
        let batch = batch::ask(&mut [scene(0), scene(1)], asking).unwrap();
        let answers = modules.answer(&batch).unwrap();
        let loss = loss::loss(&answers, &batch.targets).unwrap().total;
        let grads = loss.backward().unwrap();
        for (name, var) in &sam.vars {
            // Mask prompts are never given; a bias of keys shifts all of a query's scores alike; of
            // the other masks only the best learns.
            let other =
                ["1", "2", "3"].map(|i| format!("mask_decoder.output_hypernetworks_mlps.{i}."));
            let idle = name.starts_with("prompt_encoder.mask_downscaling.")
                || name.ends_with("k_proj.bias")
                || other.iter().any(|prefix| name.starts_with(prefix));
            let size = grads
                .get(var.as_tensor())
                .map_or(0.0, |g| g.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap());
            assert!(size.is_finite() && (idle || size > 0.0), "{name}: {size}");
        }
    }
}
