//! Box sampler, for whole box mode.

use crate::whole_box;
use desam_core::{BinaryMask, Error, Prompt, PromptSampler, Result, SampledPrompt};
use rand::RngCore;

/// Sampler that always returns the [`whole_box`], without an IoU target: whole box mode has one prompt
/// an image, so there is nothing to rank (paper, Eq. 2). It does not use the random number generator.
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
