//! IoU on held-out scenes.

use super::batch::{Asking, Batch, ask};
use super::loss::overlap;
use super::model::Modules;
use super::rng::{Purpose, stream};
use super::scene;
use desam::candle::{Device, Result, Tensor};

/// Scenes answered at once.
const AT_ONCE: usize = 8;

/// Scenes that are not trained on, drawn from a seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldOutScenes {
    pub(crate) seed: u64,
    /// Validation or test.
    pub(crate) purpose: Purpose,
    pub(crate) count: usize,
}

/// Mean IoU over prompts; `first` is the mask drawn without a choice, `chosen` the one of all that
/// the model itself predicts the highest IoU for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Found {
    pub(crate) point_first: f64,
    pub(crate) point_chosen: f64,
    pub(crate) box_first: f64,
    pub(crate) box_chosen: f64,
    /// What the box itself would score as a mask: nothing learnt at all.
    pub(crate) box_filled: f64,
}

impl Found {
    /// Score that selects the best checkpoint.
    pub(crate) fn score(&self) -> f64 {
        (self.point_first + self.box_first) / 2.0
    }
}

/// Measures IoU on held-out scenes, four objects each, by one point and by a noisy box.
pub(crate) fn measure(modules: &Modules, held_out: HeldOutScenes, side: usize) -> Result<Found> {
    let HeldOutScenes { seed, purpose, count: scenes } = held_out;
    let asking = Asking { objects: 4, points: 1, mask_side: side / 4 };
    let mut sums = [[0f64; 2]; 2];
    let (mut prompts, mut filled) = (0usize, 0f64);
    for start in (0..scenes).step_by(AT_ONCE) {
        let some = (start..scenes.min(start + AT_ONCE)).map(|i| {
            let mut rng = stream(seed, purpose, i as u64);
            (scene::draw(side, &mut rng), rng)
        });
        let batch = ask(&mut some.collect::<Vec<_>>(), asking)?;
        let answers = modules.answer(&batch)?;
        let real = overlap(&answers.masks, &batch.targets)?.to_vec2::<f32>()?;
        let predicted = answers.iou.to_vec2::<f32>()?;
        let half = real.len() / 2;
        let boxes = fill(&batch, side, asking.mask_side)?;
        let wanted = batch.targets.narrow(0, half, half)?;
        filled += f64::from(overlap(&boxes, &wanted)?.sum_all()?.to_scalar::<f32>()?);
        for (i, (real, predicted)) in real.iter().zip(&predicted).enumerate() {
            let best = (1..real.len()).max_by(|a, b| predicted[*a].total_cmp(&predicted[*b]));
            let sums = &mut sums[usize::from(i >= half)];
            sums[0] += f64::from(real[0]);
            sums[1] += f64::from(real[best.unwrap_or(0)]);
        }
        prompts += half;
    }
    let [[point_first, point_chosen], [box_first, box_chosen]] =
        sums.map(|pair| pair.map(|sum| sum / prompts.max(1) as f64));
    let box_filled = filled / prompts.max(1) as f64;
    Ok(Found { point_first, point_chosen, box_first, box_chosen, box_filled })
}

/// The boxes as masks, logits of 1 where a pixel's middle is inside: `[N, 1, M, M]`.
fn fill(batch: &Batch, side: usize, mask_side: usize) -> Result<Tensor> {
    let step = side as f32 / mask_side as f32;
    let within = |i: usize, low: f32, high: f32| {
        let middle = (i as f32 + 0.5) * step;
        (low..=high + 1.0).contains(&middle)
    };
    let mut values = Vec::with_capacity(batch.boxes.len() * mask_side * mask_side);
    for b in batch.boxes.as_slice().iter().map(|p| p.bbox) {
        let inside = |i: usize| {
            let (x, y) = (i % mask_side, i / mask_side);
            b.is_some_and(|b| within(x, b.x0, b.x1) && within(y, b.y0, b.y1))
        };
        values.extend((0..mask_side * mask_side).map(|i| f32::from(u8::from(inside(i)))));
    }
    Tensor::from_vec(values, (batch.boxes.len(), 1, mask_side, mask_side), &Device::Cpu)
}
