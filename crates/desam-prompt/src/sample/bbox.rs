//! Box sampler, for whole box mode.

use crate::whole_box;
use desam_core::{ClassMask, Error, Prompt, PromptSampler, Result, SampledPrompt};
use rand::RngCore;

/// Sampler that always returns the [`whole_box`]. Its IoU target is the membership that a point has,
/// carried over to a box: 1 where the slice holds the class, which then lies in the box, and 0 where it
/// does not. The paper's loss for whole box mode has no IoU term (Eq. 2) and ignores it; training on
/// slices without foreground uses it. The random number generator is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxSampler {}

impl PromptSampler for BoxSampler {
    fn sample(
        &self,
        truth: &ClassMask,
        input_side: usize,
        _rng: &mut dyn RngCore,
    ) -> Result<SampledPrompt> {
        let bbox = whole_box(input_side as f32).map_err(Error::external)?;
        let present = |class| if truth.class(class).is_empty() { 0.0 } else { 1.0 };
        let iou_targets = (1..=truth.classes()).map(present).collect();
        Ok(SampledPrompt { prompt: Prompt::boxed(bbox), iou_targets })
    }
}
