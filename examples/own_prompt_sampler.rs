//! A prompt sampler of one's own: `own_prompt_sampler CACHE SITE [EPOCHS]`.
//! It draws points around the mask's bounding box, the region in which prompts are hardest to
//! judge, and trains with them. Depends on `desam`, `desam-study`, and
//! `rand` for the random numbers that it receives.

use desam::data::cache::{CachedSlices, FeatureCache};
use desam::model::{Trainable, TrainableOptions, WEIGHTS_FILE};
use desam::types::{ClassMask, Dataset, Point, Prompt, PromptSampler, SampledPrompt};
use desam::{Mode, Quiet};
use desam_study::train::{Preset, TrainConfig, Trainer};
use rand::{Rng, RngCore};
use std::path::Path;
use std::sync::Arc;

/// Points within the mask's box grown by `margin` mask pixels; in an empty slice, anywhere.
struct AroundTheMask {
    margin: usize,
}

impl PromptSampler for AroundTheMask {
    fn sample(
        &self,
        truth: &ClassMask,
        input_side: usize,
        rng: &mut dyn RngCore,
    ) -> desam::types::Result<SampledPrompt> {
        let mask = truth.foreground();
        let (height, width) = (mask.height(), mask.width());
        let (rows, columns) = match mask.bounding_box() {
            Some(b) => {
                let grow = |lo: f32, hi: f32, n: usize| {
                    let last = (hi as usize + self.margin).min(n - 1);
                    (lo as usize).saturating_sub(self.margin)..=last
                };
                (grow(b.y0, b.y1, height), grow(b.x0, b.x1, width))
            }
            None => (0..=height - 1, 0..=width - 1),
        };
        let (row, column) = (rng.random_range(rows), rng.random_range(columns));
        let scale = input_side as f32 / width as f32;
        Ok(SampledPrompt {
            prompt: Prompt::point(Point::foreground(column as f32 * scale, row as f32 * scale)),
            iou_targets: vec![f32::from(u8::from(mask.get(row, column)))],
        })
    }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [cache, site, rest @ ..] = args.as_slice() else {
        return Err("usage: own_prompt_sampler CACHE SITE [EPOCHS]".into());
    };
    let mut config = TrainConfig::preset(Preset::Paper, site.as_str(), Mode::Points);
    config.learning_rate = 1e-3;
    config.epochs = rest.first().map_or(Ok(10), |n| n.parse())?;

    let weights = Path::new(cache).join(WEIGHTS_FILE);
    let cache = Arc::new(FeatureCache::open(cache)?);
    let device = desam::candle::Device::Cpu;
    let model = Trainable::open(&weights, &TrainableOptions::new(config.seed))?;
    let cases = cache.site_cases(site);
    let (validation, training) = cases.split_first().ok_or("the cache has no such site")?;
    let training = CachedSlices::new(cache.clone(), training, &device)?;
    let validation = CachedSlices::new(cache, &[*validation], &device)?;
    println!("{} slices to train on, {} held out", training.len(), validation.len());

    let mut trainer =
        Trainer::new(&model, &config)?.with_sampler(Box::new(AroundTheMask { margin: 4 }));
    let history = trainer.fit(&training, &validation, &Quiet, |_| Ok(()))?;
    for row in history {
        println!("{:3}  loss {:.4}  Dice {:.4}", row.epoch, row.train_loss, row.validation_dice);
    }
    Ok(())
}
