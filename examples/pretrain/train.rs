//! The loop.

use super::batch::{Asking, Batch, ask};
use super::held_out::{Found, HeldOutScenes, measure};
use super::loss::loss;
use super::model::{Modules, TinySam};
use super::recipe::Recipe;
use super::rng::{Purpose, stream};
use super::scene;
use desam::nn::params::Tensors;
use desam_study::train::{Adam, AdamConfig};
use rand::Rng;
use std::time::Instant;

/// The best weights so far.
#[derive(Debug, Clone)]
pub(crate) struct Best {
    pub(crate) tensors: Tensors,
    pub(crate) found: Found,
    /// Steps taken.
    pub(crate) steps: usize,
}

/// Log row of the training loop: means over the steps since the row before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Steps taken.
    pub(crate) steps: usize,
    /// Means over the steps since the last row: all, first mask, best mask, IoU.
    pub(crate) loss: [f64; 4],
    /// On held-out scenes.
    pub(crate) found: Found,
    /// Since the loop began.
    pub(crate) seconds: f64,
}

/// Runs all steps of `recipe`, which records how many they were. `tell` is called before
/// the first step and after every logging interval, with the best weights so far.
pub(crate) fn train(
    sam: &TinySam,
    recipe: &mut Recipe,
    mut tell: impl FnMut(&Row, &Best, &Recipe) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Best, Box<dyn std::error::Error>> {
    let mut adam = Adam::new(AdamConfig { beta2: 0.99, ..AdamConfig::default() });
    let began = Instant::now();
    let mut timed = recipe.minutes > 0.0;
    if timed {
        recipe.steady = usize::MAX / 2;
    }
    let mut best: Option<Best> = None;
    let (mut sums, mut since, mut steps) = ([0f64; 4], 0usize, 0usize);
    loop {
        let done = steps == recipe.steps();
        if done || steps % recipe.every == 0 {
            let modules = Modules::new(&sam.config, sam.numbers())?;
            let scenes = HeldOutScenes {
                seed: recipe.seed,
                purpose: Purpose::HeldOut,
                count: recipe.scenes,
            };
            let found = measure(&modules, scenes, sam.config.input_side)?;
            if best.as_ref().is_none_or(|b| found.score() > b.found.score()) {
                best = Some(Best { tensors: copied(sam.numbers())?, found, steps });
            }
            let loss = sums.map(|sum| sum / since.max(1) as f64);
            let row = Row { steps, loss, found, seconds: began.elapsed().as_secs_f64() };
            if let Some(best) = &best {
                tell(&row, best, recipe)?;
            }
            (sums, since) = ([0.0; 4], 0);
        }
        if done {
            break;
        }
        let parts = one_step(sam, &mut adam, recipe, steps)?;
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        (steps, since) = (steps + 1, since + 1);
        // Two steps at the full rate for each on the way down.
        if timed && began.elapsed().as_secs_f64() > 40.0 * recipe.minutes {
            (recipe.steady, recipe.cooldown, timed) = (steps, (steps / 2).max(1), false);
        }
    }
    best.ok_or_else(|| "nothing was measured".into())
}

/// One step of Adam; total loss, first mask, best mask, IoU.
fn one_step(
    sam: &TinySam,
    adam: &mut Adam,
    recipe: &Recipe,
    step: usize,
) -> Result<[f64; 4], Box<dyn std::error::Error>> {
    let batch = batch(sam, recipe, step)?;
    let modules = Modules::new(&sam.config, sam.learning())?;
    let loss = loss(&modules.answer(&batch)?, &batch.targets)?;
    let grads = loss.total.backward()?;
    adam.step(&sam.vars, &grads, recipe.rate(step))?;
    let mut parts = [0f64; 4];
    for (part, tensor) in parts.iter_mut().zip([&loss.total, &loss.first, &loss.best, &loss.iou]) {
        *part = f64::from(tensor.to_scalar::<f32>()?);
    }
    if parts[0].is_finite() {
        Ok(parts)
    } else {
        Err(format!("the loss of step {step} is {}", parts[0]).into())
    }
}

fn batch(sam: &TinySam, recipe: &Recipe, step: usize) -> desam::candle::Result<Batch> {
    let side = sam.config.input_side;
    let scenes = (0..recipe.batch).map(|i| {
        let index = (step * recipe.batch + i) as u64;
        let mut rng = stream(recipe.seed, Purpose::Training, index);
        (scene::draw(side, &mut rng), rng)
    });
    let mut scenes: Vec<_> = scenes.collect();
    // Mostly one point, sometimes two or three.
    let points = scenes.first_mut().map_or(1, |(_, rng)| [1, 1, 1, 2, 3][rng.random_range(0..5)]);
    ask(&mut scenes, Asking { objects: recipe.objects, points, mask_side: side / 4 })
}

/// Tensors that later steps do not change.
fn copied(tensors: Tensors) -> desam::candle::Result<Tensors> {
    tensors.into_iter().map(|(name, t)| Ok((name, t.copy()?))).collect()
}
