//! The sampler of whole box mode.

use crate::whole_box;
use desam_core::{BinaryMask, Error, Prompt, PromptSampler, Result, SampledPrompt};
use rand::RngCore;

/// Always the [`whole_box`], with no IoU target: whole box mode has one prompt an image, so there
/// is nothing to rank (paper, Eq. 2). Draws nothing from the rng.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxSampler {}

impl PromptSampler for BoxSampler {
    fn sample(
        &self,
        _mask: &BinaryMask,
        input_side: usize,
        _rng: &mut dyn RngCore,
    ) -> Result<SampledPrompt> {
        let bbox = whole_box(input_side as f32).map_err(Error::external)?;
        Ok(SampledPrompt { prompt: Prompt::boxed(bbox), iou_target: None })
    }
}
