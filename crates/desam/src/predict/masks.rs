//! Masks drawn in the order in which the rule asks for them.

use super::SlicePredictor;
use super::slice::rows;
use crate::Result;
use candle_core::Tensor;
use desam_core::{Error, ImageContext, Point, PromptOutput, PromptReader};
use std::collections::HashMap;

/// How many prompts are held in memory. Their number bounds it, so it does not grow with the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Prompts read at once.
    pub(super) read_at_once: usize,
    /// Grids of up to so many points keep what drawing needs of every point.
    pub(super) kept: usize,
    /// Most masks drawn at once.
    pub(super) drawn_at_once: usize,
}

impl Memory {
    /// On a CPU what drawing needs of a prompt is large and few are drawn: those are read once more,
    /// and drawn one by one. A GPU has the room for a grid of 11 × 11 (2 MiB of bf16 a prompt at SAM's
    /// size, some four of which are held while it is read), is left idle by few prompts, and is waited
    /// for each time that a mask is fetched: it draws those that may be asked for next along with one
    /// that is.
    pub(super) fn of(accelerator: bool) -> Self {
        match accelerator {
            false => Self { read_at_once: 32, kept: 0, drawn_at_once: 1 },
            true => Self { read_at_once: 128, kept: 128, drawn_at_once: 8 },
        }
    }
}

/// Draws the masks of a grid's points.
pub(super) struct Masks<'a> {
    pub(super) predictor: &'a SlicePredictor<'a>,
    pub(super) context: &'a ImageContext,
    pub(super) points: &'a [Point],
    pub(super) reader: &'a mut dyn PromptReader,
    /// What was read of all points, where it was kept.
    pub(super) kept: Option<PromptOutput>,
    /// The points in the order in which they will be asked for.
    pub(super) order: Vec<usize>,
    /// Masks to draw next; mostly the first is the last, so they become more by and by.
    pub(super) at_once: usize,
    pub(super) most_at_once: usize,
    /// What was drawn and not yet asked for.
    pub(super) drawn: HashMap<usize, Vec<f32>>,
}

impl Masks<'_> {
    /// The logits of a point's mask, `M·M` numbers.
    pub(super) fn logits(&mut self, point: usize) -> Result<Vec<f32>, Error> {
        if let Some(logits) = self.drawn.remove(&point) {
            return Ok(logits);
        }
        let from = self.order.iter().position(|&p| p == point);
        let ahead = from.and_then(|from| self.order.get(from..)).unwrap_or_default();
        let mut next: Vec<usize> = ahead.iter().copied().take(self.at_once).collect();
        if next.is_empty() {
            next.push(point);
        }
        self.at_once = (2 * self.at_once).min(self.most_at_once);
        let reading = self.reading(&next)?;
        let logits = rows(&self.predictor.decoder.decode_masks(self.context, &reading)?)?;
        self.drawn.extend(next.into_iter().zip(logits));
        match self.drawn.remove(&point) {
            Some(logits) => Ok(logits),
            None => Err(Error::shape("masks drawn", self.at_once, 0)),
        }
    }

    fn reading(&mut self, next: &[usize]) -> Result<PromptOutput, Error> {
        if let Some(kept) = &self.kept {
            let pick = |from: &Tensor| -> candle_core::Result<Tensor> {
                let each = next.iter().map(|&i| from.narrow(0, i, 1));
                Tensor::cat(&each.collect::<candle_core::Result<Vec<_>>>()?, 0)
            };
            return Ok(PromptOutput {
                iou_all: pick(&kept.iou_all)?,
                mask_tokens: pick(&kept.mask_tokens)?,
                mask_embedding: pick(&kept.mask_embedding)?,
            });
        }
        let points: Vec<Point> = next.iter().filter_map(|&i| self.points.get(i)).copied().collect();
        Ok(self.reader.encode_prompts(&self.predictor.embed(&points)?)?)
    }
}
