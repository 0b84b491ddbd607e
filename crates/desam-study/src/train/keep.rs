//! Whether features lie on the GPU while a decoder trains.

use super::TrainConfig;
use crate::{Error, Result};
use candle_core::Device;
use desam_data::cache::human_bytes;

/// Where the features of a training are between its steps. It changes no bit of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepFeatures {
    /// On a GPU whose free memory holds them beside what a step takes; else in the cache.
    #[default]
    Auto,
    /// On the GPU.
    Yes,
    /// In the cache, from which each batch is read: on a GPU while the step before computes.
    No,
}

impl std::fmt::Display for KeepFeatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Yes => "yes",
            Self::No => "no",
        })
    }
}

impl std::str::FromStr for KeepFeatures {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "yes" => Ok(Self::Yes),
            "no" => Ok(Self::No),
            other => Err(format!("features {other:?}: expected auto, yes or no")),
        }
    }
}

/// Memory that a training is left beside kept features, whatever its batch: the parameters with
/// their moments, libraries, and what allocators hold back.
const RESERVE: u64 = 3 << 30;
/// And for each slice of a step: the paper's program takes 7.8 GB for 8.
const RESERVE_OF_A_SLICE: u64 = 1 << 30;

impl KeepFeatures {
    /// Whether features of `need` bytes are to be kept on `device`.
    pub(super) fn decide(self, need: u64, config: &TrainConfig, device: &Device) -> Result<bool> {
        let reason = if config.live {
            Some("--no-cache makes features anew in every step")
        } else if !config.augment.is_none() {
            Some("--augment features changes features in the computer's own memory")
        } else if device.is_cpu() {
            Some("a CPU reads features through a memory map")
        } else {
            None
        };
        match (reason, self) {
            (Some(reason), Self::Yes) => Err(Error::Invalid(format!(
                "training: --keep-features yes: {reason}; leave it out"
            ))),
            (Some(_), _) | (None, Self::No) => Ok(false),
            (None, _) => {
                let reserve = RESERVE + RESERVE_OF_A_SLICE * config.batch as u64;
                self.fitting(need, free_memory(device)?, reserve)
            }
        }
    }

    /// The same from the device's `free` memory, where it is known.
    fn fitting(self, need: u64, free: Option<u64>, reserve: u64) -> Result<bool> {
        let fits = free.map(|free| need.saturating_add(reserve) <= free);
        match (self, fits) {
            (Self::No, _) | (Self::Auto, None | Some(false)) => Ok(false),
            (_, Some(true)) | (Self::Yes, None) => Ok(true),
            (Self::Yes, Some(false)) => Err(Error::Invalid(format!(
                "training: --keep-features yes: features take {}, and a step up to {}, but {} are free \
                 on the GPU; leave it out, or take a smaller --batch",
                human_bytes(need),
                human_bytes(reserve),
                human_bytes(free.unwrap_or_default())
            ))),
        }
    }
}

/// Bytes that are free on a GPU; `None` where nobody says.
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
    fn they_are_kept_where_they_fit_beside_a_step() {
        use KeepFeatures::{Auto, No, Yes};
        let fitting = |keep: KeepFeatures, need, free| keep.fitting(need, free, 10);
        for (need, free, fits) in
            [(5, Some(15), true), (5, Some(14), false), (u64::MAX, None, false)]
        {
            assert_eq!(fitting(Auto, need, free).unwrap(), fits);
            assert!(!fitting(No, need, free).unwrap());
        }
        assert!(fitting(Yes, 5, Some(15)).unwrap() && fitting(Yes, 5, None).unwrap());
        let error = fitting(Yes, 2 << 30, Some(1 << 30)).unwrap_err().to_string();
        assert!(error.contains("take 2.0 GiB") && error.contains("1.0 GiB are free"), "{error}");
    }

    #[test]
    fn the_cpu_and_changed_features_keep_none() {
        let config = TrainConfig::preset(Preset::Paper, "A", Mode::Points);
        let changed = Augment::Features(FeatureAugment::regular());
        let all = [
            (config.clone(), "memory map"),
            (TrainConfig { augment: changed, ..config.clone() }, "--augment"),
            (TrainConfig { live: true, ..config }, "--no-cache"),
        ];
        for (config, why) in all {
            for keep in [KeepFeatures::Auto, KeepFeatures::No] {
                assert!(!keep.decide(1, &config, &Device::Cpu).unwrap());
            }
            let error = KeepFeatures::Yes.decide(1, &config, &Device::Cpu).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn names_go_both_ways() {
        for keep in [KeepFeatures::Auto, KeepFeatures::Yes, KeepFeatures::No] {
            assert_eq!(keep.to_string().parse(), Ok(keep));
        }
        assert!("on".parse::<KeepFeatures>().is_err());
    }
}
