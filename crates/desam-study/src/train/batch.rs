//! From slices to what one step reads.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use desam_core::{
    BinaryMask, EncoderSpec, ImageFeatures, LossTarget, Prompt, PromptSampler, Prompts,
};
use desam_data::cache::CachedSlice;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for; each purpose, epoch and slice has a stream of its own, so
/// that none depends on how many another drew.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// The order of slices in an epoch.
    Order,
    /// The prompt of a training slice.
    Prompt,
    /// The prompt of a validation slice: the same in every epoch.
    Validation,
    /// How a training slice is changed.
    Augment,
}

/// The stream for `purpose` in `epoch` at slice `index`.
pub(crate) fn stream(seed: u64, purpose: Purpose, epoch: usize, index: usize) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8 + 1;
    key[16..24].copy_from_slice(&(epoch as u64).to_le_bytes());
    key[24..].copy_from_slice(&(index as u64).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The order of `n` slices in `epoch`.
pub(crate) fn order(n: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut rng = stream(seed, Purpose::Order, epoch, 0);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, rng.random_range(0..=last as u64) as usize);
    }
    order
}

/// What one step reads, `N = B`.
pub(crate) struct Batch {
    pub(crate) features: ImageFeatures,
    pub(crate) prompts: Prompts,
    pub(crate) target: LossTarget,
}

/// A slice with the prompt that was drawn for it.
pub(crate) struct Prompted {
    slice: CachedSlice,
    prompt: Prompt,
    iou: Option<f32>,
}

impl Prompted {
    pub(crate) fn draw(
        slice: CachedSlice,
        sampler: &dyn PromptSampler,
        spec: &EncoderSpec,
        mut rng: ChaCha8Rng,
    ) -> Result<Self> {
        let drawn = sampler.sample(&slice.mask, spec.input_side, &mut rng)?;
        Ok(Self { slice, prompt: drawn.prompt, iou: drawn.iou_target })
    }

    pub(crate) fn mask(&self) -> &BinaryMask {
        &self.slice.mask
    }

    pub(crate) fn case(&self) -> usize {
        self.slice.case
    }
}

impl Batch {
    /// Puts slices together on `device`, features in the type `dtype`, targets in f32. The IoU target
    /// is there when every sampler call gave one.
    pub(crate) fn new(items: &[Prompted], dtype: DType, device: &Device) -> Result<Self> {
        // To the device as they are stored, which is the least.
        let features = items.iter().map(|i| i.slice.features.to_device(device));
        let features = ImageFeatures::cat(&features.collect::<Result<Vec<_>, _>>()?)?;
        let features = features.to_dtype(dtype)?;
        let prompts = Prompts::new(items.iter().map(|i| i.prompt.clone()).collect())?;
        let masks = mask_tensor(items, device)?;
        let iou: Vec<f32> = items.iter().filter_map(|i| i.iou).collect();
        let iou = match iou.len() {
            0 => None,
            n if n == items.len() => Some(Tensor::from_vec(iou, (n, 1), device)?),
            n => {
                let total = items.len();
                let reason = format!("the sampler gave IoU targets for {n} of {total} slices");
                return Err(Error::Invalid(reason));
            }
        };
        Ok(Self { features, prompts, target: LossTarget { mask: masks, iou } })
    }
}

/// The masks of slices of one size, `[N, 1, H, W]`, f32.
fn mask_tensor(items: &[Prompted], device: &Device) -> Result<Tensor> {
    let (height, width) = items.first().map_or((0, 0), |i| (i.mask().height(), i.mask().width()));
    let pixels: Vec<u8> = items.iter().flat_map(|i| i.mask().data()).copied().collect();
    let masks = Tensor::from_vec(pixels, (items.len(), 1, height, width), device)?;
    Ok(masks.to_dtype(DType::F32)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_that_the_seed_and_the_epoch_decide() {
        let mut sorted = order(50, 3, 1);
        assert_eq!(order(50, 3, 1), sorted);
        assert_ne!(order(50, 3, 2), sorted);
        assert_ne!(order(50, 4, 1), sorted);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn every_purpose_epoch_and_slice_has_its_own_stream() {
        let first = |p, e, i| stream(1, p, e, i).random::<u64>();
        let drawn = [
            first(Purpose::Order, 0, 0),
            first(Purpose::Prompt, 0, 0),
            first(Purpose::Validation, 0, 0),
            first(Purpose::Augment, 0, 0),
            first(Purpose::Prompt, 1, 0),
            first(Purpose::Prompt, 0, 1),
        ];
        let distinct: std::collections::HashSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), drawn.len());
    }
}
