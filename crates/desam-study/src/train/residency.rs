//! Feature residency: whether cached features stay in GPU memory during training.

use super::TrainConfig;
use crate::{Error, Result};
use candle_core::Device;
use desam_data::cache::human_bytes;

desam_core::named! {
    /// Residency of cached features between training steps: GPU memory, or the cache with
    /// prefetching. It changes no bit of the model.
    #[derive(Default)]
    pub enum FeatureResidency: "features" {
        /// In GPU memory where they fit next to what a step needs, else in the cache.
        #[default]
        Auto = "auto",
        /// In GPU memory.
        Device = "yes",
        /// In the cache, from which each batch is read; on a GPU, prefetched while a step computes.
        Cache = "no",
    }
}

/// Reason why features cannot stay in GPU memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResidencyRefusal {
    /// The image encoder computes the features in every step.
    #[error("the image encoder computes features in every step")]
    LiveEncoder,
    /// Augmentation changes the features in host memory.
    #[error("augmentation changes features in the computer's own memory")]
    Augmented,
    /// Training runs on the CPU.
    #[error("a CPU reads features through a memory map")]
    Cpu,
    /// They do not fit.
    #[error(
        "features take {}, and a step up to {}, but {} are free on the GPU",
        human_bytes(*need),
        human_bytes(*reserve),
        human_bytes(*free)
    )]
    Memory {
        /// Bytes of the features.
        need: u64,
        /// Bytes reserved for a step.
        reserve: u64,
        /// Free bytes on the GPU.
        free: u64,
    },
}

/// Memory reserved next to resident features, whatever the batch size: the parameters with their
/// moments, libraries, and the allocators' overhead.
const RESERVE: u64 = 3 << 30;
/// Memory reserved in addition for each slice of a step: the paper's program takes 7.8 GB for 8.
const RESERVE_PER_SLICE: u64 = 1 << 30;

impl FeatureResidency {
    /// Whether features of `need` bytes are to stay on `device`.
    pub(super) fn decide(self, need: u64, config: &TrainConfig, device: &Device) -> Result<bool> {
        let refusal = if config.live {
            Some(ResidencyRefusal::LiveEncoder)
        } else if !config.augment.is_none() {
            Some(ResidencyRefusal::Augmented)
        } else if device.is_cpu() {
            Some(ResidencyRefusal::Cpu)
        } else {
            None
        };
        match (refusal, self) {
            (Some(reason), Self::Device) => Err(Error::FeatureResidency { reason }),
            (Some(_), _) | (None, Self::Cache) => Ok(false),
            (None, _) => {
                let reserve = RESERVE + RESERVE_PER_SLICE * config.batch as u64;
                self.fitting(need, free_memory(device)?, reserve)
            }
        }
    }

    /// Whether `need` bytes are to stay on a device with `free` bytes; `None` is not known.
    fn fitting(self, need: u64, free: Option<u64>, reserve: u64) -> Result<bool> {
        let lacking = free.filter(|free| need.saturating_add(reserve) > *free);
        match (self, lacking) {
            (Self::Device, Some(free)) => Err(Error::FeatureResidency {
                reason: ResidencyRefusal::Memory { need, reserve, free },
            }),
            (Self::Device, None) => Ok(true),
            (Self::Auto, lacking) => Ok(free.is_some() && lacking.is_none()),
            (Self::Cache, _) => Ok(false),
        }
    }
}

/// Free bytes on a GPU; `None` where the driver does not report them.
fn free_memory(device: &Device) -> Result<Option<u64>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        use candle_core::cuda_backend::WrapErr;
        let stream = device.cuda_stream();
        let (free, _) = stream.context().mem_get_info().w()?;
        return Ok(Some(free as u64));
    }
    let _ = device;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Augment, Preset};
    use desam::Mode;
    use desam_data::augment::FeatureAugment;

    #[test]
    fn features_stay_on_the_device_where_they_fit_next_to_a_step() {
        use FeatureResidency::{Auto, Cache, Device};
        let fitting = |keep: FeatureResidency, need, free| keep.fitting(need, free, 10);
        for (need, free, fits) in
            [(5, Some(15), true), (5, Some(14), false), (u64::MAX, None, false)]
        {
            assert_eq!(fitting(Auto, need, free).unwrap(), fits);
            assert!(!fitting(Cache, need, free).unwrap());
        }
        assert!(fitting(Device, 5, Some(15)).unwrap() && fitting(Device, 5, None).unwrap());
        let error = fitting(Device, 2 << 30, Some(1 << 30)).unwrap_err().to_string();
        assert!(error.contains("take 2.0 GiB") && error.contains("1.0 GiB are free"), "{error}");
    }

    #[test]
    fn the_cpu_and_augmented_features_are_never_resident() {
        let config = TrainConfig::preset(Preset::Paper, "A", Mode::Points);
        let changed = Augment::Features(FeatureAugment::regular());
        let all = [
            (config.clone(), ResidencyRefusal::Cpu),
            (TrainConfig { augment: changed, ..config.clone() }, ResidencyRefusal::Augmented),
            (TrainConfig { live: true, ..config }, ResidencyRefusal::LiveEncoder),
        ];
        for (config, expected) in all {
            for keep in [FeatureResidency::Auto, FeatureResidency::Cache] {
                assert!(!keep.decide(1, &config, &Device::Cpu).unwrap());
            }
            let error = FeatureResidency::Device.decide(1, &config, &Device::Cpu).unwrap_err();
            let Error::FeatureResidency { reason } = error else { panic!("{error}") };
            assert_eq!(reason, expected);
        }
    }

    #[test]
    fn names_round_trip() {
        for keep in FeatureResidency::ALL {
            assert_eq!(keep.to_string().parse(), Ok(keep));
        }
        assert!("on".parse::<FeatureResidency>().is_err());
    }
}
