//! Attention of the mask decoder, Adam, and the loss.

use crate::case::Case;
use desam::candle::{Result, Tensor, Var, bail};
use desam::metrics::loss::LossConfig;
use desam::nn::ops::adam::{AdamStep, Moments};
use desam::nn::ops::cross_attention;
use desam::types::{Loss, LossTarget, MaskPrediction};

/// (sequences, queries, keys, channels)
const SMALL: [(usize, usize, usize, usize); 3] = [(3, 5, 37, 24), (2, 41, 3, 64), (2, 7, 7, 64)];
const FULL: [(usize, usize, usize, usize); 4] =
    [(8, 7, 4096, 128), (8, 4096, 7, 128), (81, 7, 7, 256), (81, 7, 4096, 128)];

pub(super) fn cases(quick: bool) -> Vec<Case> {
    let full = if quick { &[][..] } else { &FULL };
    let mut all: Vec<Case> = SMALL.iter().map(|s| attention(s, true)).collect();
    all.extend(full.iter().map(|s| attention(s, false)));
    for count in if quick { &[1001usize][..] } else { &[1001, 10_000_000] } {
        all.push(adam(*count));
    }
    let side = if quick { 16 } else { 256 };
    all.push(loss(3, side));
    all
}

/// Scores, weights, the result.
fn attention(&(n, queries, keys, channels): &(usize, usize, usize, usize), small: bool) -> Case {
    let text = format!("{n}×{queries} to {keys}, 8 heads of {}", channels / 8);
    let case = Case::new("cross attention", text, |t| {
        cross_attention::cross_attention(&t[0], &t[1], &t[2], 8)
    });
    let case = if small {
        case.defined_by(|t| cross_attention::plain(&t[0], &t[1], &t[2], 8))
    } else {
        case
    };
    let case = case.input(&[n, queries, channels]).input(&[n, keys, channels]);
    case.input(&[n, keys, channels]).backward().roundings(3, 4)
}

/// Two steps: a parameter and its moments, all of them f32.
fn adam(count: usize) -> Case {
    fn steps(t: &[Tensor], plain: bool) -> Result<Tensor> {
        let var = Var::from_tensor(&t[0])?;
        let mut moments = Moments::zeros(&t[0])?;
        for step in 1..=2 {
            let step = AdamStep {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                rate: 1e-3,
                step,
                decay: 0.01,
                scale: 0.5,
            };
            if plain {
                step.plain(&var, &t[step.step as usize], &mut moments)?;
            } else {
                step.apply(&var, &t[step.step as usize], &mut moments)?;
            }
        }
        Tensor::cat(&[var.as_tensor(), &moments.first, &moments.second], 0)
    }
    let case = Case::new("Adam, two steps", format!("{count}"), |t: &[Tensor]| steps(t, false));
    case.defined_by(|t| steps(t, true)).single(&[count]).single(&[count]).single(&[count])
}

/// The paper's loss of logits and predicted IoU. It is f32 whatever comes in.
fn loss(n: usize, side: usize) -> Case {
    let of = move |t: &[Tensor]| {
        let mask = t[2].ge(0.0)?.to_dtype(t[2].dtype())?;
        let target = LossTarget { mask, iou: Some(t[3].clone()) };
        let prediction = MaskPrediction::new(t[0].clone(), t[1].clone());
        let loss = match LossConfig::paper_points().build() {
            Ok(loss) => loss,
            Err(why) => bail!("{why}"),
        };
        Ok(loss.forward(&prediction, &target)?.total)
    };
    Case::new("loss", format!("{n}×{side}²"), of)
        .defined_by(of)
        .single(&[n, 1, side, side])
        .single(&[n, 1])
        .single(&[n, 1, side, side])
        .single(&[n, 1])
}
