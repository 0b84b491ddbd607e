//! An image encoder of one's own behind the trait: `own_backbone DATA SITE WORK [EPOCHS]`.
//! This one knows nothing of SAM: its "features" are a slice's mean, deviation and gradients at
//! three scales. It is embedded, cached and trained on like any other. Depends on `desam`,
//! `desam-study`, and `candle-core` for tensors.

use candle_core::{Device, Result as TensorResult, Tensor};
use desam::data::cache::{CachedSlices, EncoderRecord, FeatureCache};
use desam::data::embed::{EmbedOptions, embed};
use desam::data::layout::discover;
use desam::data::preprocess::PreprocessConfig;
use desam::encoder::PromptEncoderConfig;
use desam::model::{ModelInput, Trainable, TrainableOptions};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::types::{EncoderSpec, ImageEncoder, ImageFeatures};
use desam::{Mode, ModelRecord, Quiet};
use desam_study::train::{Preset, TrainConfig, Trainer};
use std::path::Path;
use std::sync::Arc;

/// Local statistics of a 128-pixel image on a 16×16 grid.
struct Statistics {
    spec: EncoderSpec,
}

impl Statistics {
    fn new() -> Self {
        let spec = EncoderSpec {
            input_side: 128,
            patch: 8,
            tap_channels: vec![4, 4, 4],
            embedding_channels: 32,
        };
        Self { spec }
    }

    /// `[B, 4, G, G]`: mean, deviation, and the two gradients, pooled over windows of `step`.
    fn statistics(&self, pixels: &Tensor, step: usize) -> TensorResult<Tensor> {
        let grey = pixels.mean_keepdim(1)?;
        let side = self.spec.input_side;
        let down =
            |t: &Tensor| t.avg_pool2d(step)?.upsample_nearest2d(self.spec.grid(), self.spec.grid());
        let mean = down(&grey)?;
        let deviation = (down(&grey.sqr()?)? - mean.sqr()?)?.abs()?.sqrt()?;
        let slope = |dim: usize| -> TensorResult<Tensor> {
            let ahead = grey.narrow(dim, 1, side - 1)?;
            let change = (ahead - grey.narrow(dim, 0, side - 1)?)?.pad_with_zeros(dim, 0, 1)?;
            down(&change)
        };
        Tensor::cat(&[&mean, &deviation, &slope(2)?, &slope(3)?], 1)
    }
}

impl ImageEncoder for Statistics {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn encode(&self, pixels: &Tensor) -> TensorResult<ImageFeatures> {
        let taps = [8, 16, 32].map(|step| self.statistics(pixels, step));
        let taps = taps.into_iter().collect::<TensorResult<Vec<_>>>()?;
        let all = Tensor::cat(&taps, 1)?;
        let embedding = Tensor::cat(&[&all, &all.sqr()?, &all.narrow(1, 0, 8)?], 1)?;
        Ok(ImageFeatures { taps, embedding })
    }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [data, site, work, rest @ ..] = args.as_slice() else {
        return Err("usage: own_backbone DATA SITE WORK [EPOCHS]".into());
    };
    let encoder = Statistics::new();
    let spec = encoder.spec().clone();
    let identity = EncoderRecord::new("statistics", "statistics-1");
    let preprocess = PreprocessConfig::paper();
    let options = EmbedOptions::new(
        Path::new(work).join("cache"),
        data,
        discover(Path::new(data))?,
        identity.clone(),
    )
    .with_preprocess(preprocess.clone());
    embed(&options, &encoder, &Device::Cpu, &Quiet)?;

    // The prompt encoder's sizes follow from the encoder's; its weights are drawn from a seed.
    let sizes = PromptEncoderConfig::for_encoder(&spec);
    let prompt =
        load(Tensors::new(), &LoadOptions::seeded(7), |vb| sizes.build(vb.pp("prompt_encoder")))?;
    let input = ModelInput { spec, preprocess };
    let record = ModelRecord::untrained(identity.name, identity.weights_blake3, input);
    let model = Trainable::new(prompt.tensors, record, &TrainableOptions::new(0))?;

    let mut config = TrainConfig::preset(Preset::Paper, site.as_str(), Mode::Box);
    config.learning_rate = 1e-3;
    config.epochs = rest.first().map_or(Ok(20), |n| n.parse())?;
    let cache = Arc::new(FeatureCache::open(&options.dir)?);
    let cases = cache.site_cases(site);
    let (validation, training) = cases.split_first().ok_or("the data has no such site")?;
    let training = CachedSlices::new(cache.clone(), training, &Device::Cpu)?;
    let validation = CachedSlices::new(cache, &[*validation], &Device::Cpu)?;
    let history = Trainer::new(&model, &config)?.fit(&training, &validation, &Quiet, |_| Ok(()))?;
    for row in history {
        println!("{:3}  loss {:.4}  Dice {:.4}", row.epoch, row.train_loss, row.validation_dice);
    }
    Ok(())
}
