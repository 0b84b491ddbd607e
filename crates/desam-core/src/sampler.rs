//! The prompt sampler trait.

use crate::{ClassMask, Prompt, Result};
use rand::RngCore;

/// A training prompt, with the IoU that PRIM should predict for it.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledPrompt {
    /// The prompt, in pixels of the encoder's input.
    pub prompt: Prompt,
    /// Targets of the IoU head, one a class; empty where the mode does not train it.
    pub iou_targets: Vec<f32>,
}

/// Sampler of training prompts from a ground-truth mask.
pub trait PromptSampler: Send + Sync {
    /// Samples one prompt for `truth`, a slice's ground truth on any grid, in pixels of an encoder input
    /// of side `input_side`.
    ///
    /// # Errors
    /// When the ground truth has no pixels at all.
    fn sample(
        &self,
        truth: &ClassMask,
        input_side: usize,
        rng: &mut dyn RngCore,
    ) -> Result<SampledPrompt>;
}
