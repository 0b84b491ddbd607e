//! Lazy mask decoding, in the order in which the selection rule asks for masks.

use super::SlicePredictor;
use super::slice::planes;
use crate::Result;
use candle_core::Tensor;
use desam_core::{Error, ImageContext, Point, PromptOutput, PromptReader};
use std::collections::HashMap;

/// Points whose masks are kept at most for other classes.
const MOST_KEPT: usize = 64;

/// Batch sizes, in prompts. They bound memory, which therefore does not grow with the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchSizes {
    /// Prompts encoded at once.
    pub(super) read_at_once: usize,
    /// Largest grid whose prompt encodings are all kept for decoding.
    pub(super) kept: usize,
    /// Largest number of masks decoded at once.
    pub(super) drawn_at_once: usize,
}

impl BatchSizes {
    /// On a CPU a prompt's encoding is large and few masks are decoded: those prompts are encoded
    /// again, and decoded one by one. A GPU has memory for a grid of 11 × 11 (2 MiB of bf16 a prompt at
    /// SAM's size, about four of which are held while it is encoded), is underused by few prompts, and
    /// synchronises each time that a mask is fetched: it decodes the masks that may be needed next
    /// together with the one that is needed now.
    pub(super) fn new(accelerator: bool) -> Self {
        if accelerator {
            Self { read_at_once: 128, kept: 128, drawn_at_once: 8 }
        } else {
            Self { read_at_once: 32, kept: 0, drawn_at_once: 1 }
        }
    }
}

/// Decodes the masks of a grid's points on demand.
pub(super) struct LazyMasks<'a> {
    pub(super) predictor: &'a SlicePredictor<'a>,
    pub(super) context: &'a ImageContext,
    pub(super) points: &'a [Point],
    pub(super) reader: &'a mut dyn PromptReader,
    /// Prompt encodings of all points, if they are kept.
    pub(super) kept: Option<PromptOutput>,
    /// The points in the order in which the rule asks for their masks.
    pub(super) order: Vec<usize>,
    /// Masks to decode next: mostly the first one is selected, so their number grows from 1.
    pub(super) at_once: usize,
    pub(super) most_at_once: usize,
    /// The class whose masks the rule asks for, by index from 0.
    pub(super) class: usize,
    /// Decoded masks that the rule has not asked for yet, or may ask for of another class: a plane a class,
    /// empty once it was taken.
    pub(super) drawn: HashMap<usize, Vec<Vec<f32>>>,
}

impl LazyMasks<'_> {
    /// Turns to another class, whose rule asks for masks in another order.
    pub(super) fn begin_class(&mut self, class: usize, order: Vec<usize>) {
        (self.class, self.order, self.at_once) = (class, order, 1);
    }

    /// Logits of a point's mask of the class, `M·M` numbers.
    pub(super) fn logits(&mut self, point: usize) -> Result<Vec<f32>, Error> {
        if let Some(logits) = self.taken(point) {
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
        let logits = planes(&self.predictor.decoder.decode_masks(self.context, &reading)?)?;
        if self.drawn.len() > MOST_KEPT {
            self.drawn.clear();
        }
        self.drawn.extend(next.into_iter().zip(logits));
        self.taken(point).ok_or_else(|| Error::shape("masks drawn", self.at_once, 0))
    }

    /// The class's plane of a point that has been decoded.
    fn taken(&mut self, point: usize) -> Option<Vec<f32>> {
        let planes = self.drawn.get_mut(&point)?;
        let plane = planes.get_mut(self.class).map(std::mem::take).filter(|p| !p.is_empty());
        if planes.iter().all(Vec::is_empty) {
            self.drawn.remove(&point);
        }
        plane
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
