//! Mini-batches: slices with their prompts, collated into the tensors of one step.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use desam_core::{
    ClassMask, EncoderSpec, ImageFeatures, LossTarget, Prompt, PromptSampler, Prompts,
};
use desam_data::cache::CachedSlice;
use rand_chacha::ChaCha8Rng;

/// Inputs and targets of one step, `N = B`.
pub(crate) struct Batch {
    pub(crate) features: ImageFeatures,
    pub(crate) prompts: Prompts,
    pub(crate) target: LossTarget,
}

/// A slice with the prompt drawn for it, and the IoU target that goes with the prompt.
pub(crate) struct PromptedSlice {
    slice: CachedSlice,
    prompt: Prompt,
    ious: Vec<f32>,
}

impl PromptedSlice {
    pub(crate) fn draw(
        slice: CachedSlice,
        sampler: &dyn PromptSampler,
        spec: &EncoderSpec,
        mut rng: ChaCha8Rng,
    ) -> Result<Self> {
        let drawn = sampler.sample(&slice.mask, spec.input_side, &mut rng)?;
        Ok(Self { slice, prompt: drawn.prompt, ious: drawn.iou_targets })
    }

    pub(crate) fn mask(&self) -> &ClassMask {
        &self.slice.mask
    }

    pub(crate) fn case(&self) -> usize {
        self.slice.case
    }
}

impl Batch {
    /// Collates slices on `device`, features as `dtype`, targets as f32. There is an IoU target when
    /// every sampler call returned one of each class.
    pub(crate) fn new(items: &[PromptedSlice], dtype: DType, device: &Device) -> Result<Self> {
        // Transferred before widening: the stored type is the smallest.
        let features = items.iter().map(|i| i.slice.features.to_device(device));
        let features = ImageFeatures::cat(&features.collect::<Result<Vec<_>, _>>()?)?;
        let features = features.to_dtype(dtype)?;
        let prompts = Prompts::new(items.iter().map(|i| i.prompt.clone()).collect())?;
        let masks = mask_tensor(items, device)?;
        let classes = items.first().map_or(1, |i| i.mask().classes());
        let ious: Vec<f32> = items.iter().flat_map(|i| &i.ious).copied().collect();
        let (given, total) = (ious.len(), items.len() * classes);
        let iou = match given {
            0 => None,
            _ if given == total && items.iter().all(|i| i.ious.len() == classes) => {
                Some(Tensor::from_vec(ious, (items.len(), classes), device)?)
            }
            _ => {
                let reason = format!(
                    "the sampler gave {given} IoU targets for {} slices of {classes} classes; expected \
                     {total}",
                    items.len()
                );
                return Err(Error::Invalid(reason));
            }
        };
        Ok(Self { features, prompts, target: LossTarget { mask: masks, iou } })
    }
}

/// The masks of slices of one size, a plane a class, `[N, L, H, W]`, f32.
fn mask_tensor(items: &[PromptedSlice], device: &Device) -> Result<Tensor> {
    let first = items.first().map(PromptedSlice::mask);
    let (height, width, classes) =
        first.map_or((0, 0, 1), |mask| (mask.height(), mask.width(), mask.classes()));
    let planes =
        items.iter().flat_map(|i| (1..=classes).map(|class| i.mask().class(class).into_data()));
    let pixels: Vec<u8> = planes.flatten().collect();
    let masks = Tensor::from_vec(pixels, (items.len(), classes, height, width), device)?;
    Ok(masks.to_dtype(DType::F32)?)
}

/// Threads that read the slices of one batch.
const READER_THREADS: usize = 8;

/// The slices of a batch in order, read sequentially or, with `parallel`, by up to 8 threads.
///
/// The threads are not rayon's: the caller may be a rayon worker, and waiting for a job of the same
/// pool could deadlock.
pub(super) fn read_batch<I: Copy + Sync, T: Send>(
    items: &[I],
    parallel: bool,
    read: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let sequential = |part: &[I]| part.iter().map(|item| read(*item)).collect::<Result<Vec<T>>>();
    if !parallel {
        return sequential(items);
    }
    std::thread::scope(|scope| {
        let chunk = items.len().div_ceil(READER_THREADS).max(1);
        let readers: Vec<_> =
            items.chunks(chunk).map(|part| scope.spawn(move || sequential(part))).collect();
        let mut all = Vec::with_capacity(items.len());
        for reader in readers {
            match reader.join() {
                Ok(part) => all.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_in_order_whether_it_is_read_in_parallel_or_not() {
        for count in [0, 1, 7, 8, 9, 16, 23] {
            let indices: Vec<usize> = (0..count).map(|i| i * 5 % 23).collect();
            for parallel in [false, true] {
                assert_eq!(read_batch(&indices, parallel, Ok).unwrap(), indices);
                let broken = |i| Error::Invalid(format!("slice {i}"));
                let few = |i| if i < 10 { Ok(i) } else { Err(broken(i)) };
                match (read_batch(&indices, parallel, few), indices.iter().find(|i| **i >= 10)) {
                    (Ok(all), None) => assert_eq!(all, indices),
                    (Err(e), Some(i)) => assert_eq!(e.to_string(), format!("slice {i}")),
                    (found, first) => panic!("{found:?} {first:?}"),
                }
            }
        }
    }
}
