//! The device: opening it, its clock, and its memory.

use crate::Result;
use desam::candle::{Device, Tensor};
use desam::device::DeviceChoice;
use serde::Serialize;
use std::time::Instant;

/// The device that was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Description {
    pub(crate) device: String,
    /// Bytes; nothing for a CPU.
    pub(crate) memory: Option<u64>,
    pub(crate) version: &'static str,
}

/// Times of the repetitions.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Samples {
    /// Milliseconds, each.
    pub(crate) ms: Vec<f64>,
    /// The most bytes of tensors at once, what was there before among them; nothing for a CPU.
    pub(crate) peak: Option<u64>,
}

impl Samples {
    /// Of the repetitions.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        }
    }
}

/// How often work is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repetitions {
    /// Warm-up repetitions, not timed.
    pub(crate) warm: usize,
    /// Timed repetitions.
    pub(crate) count: usize,
    /// Calls per repetition, so that a short op is not dominated by its launch.
    pub(crate) each: usize,
    /// By the host's clock, from the call to its return with all work done, for work that ends on the
    /// host. A GPU's time is else between two of its events.
    pub(crate) host: bool,
}

/// Times `work`, after warm-up repetitions.
pub(crate) fn measure(
    device: &Device,
    Repetitions { warm, count, each, host }: Repetitions,
    work: &mut dyn FnMut() -> Result<()>,
) -> Result<Samples> {
    for _ in 0..warm {
        work()?;
    }
    device.synchronize()?;
    reset_peak(device)?;
    let mut ms = Vec::with_capacity(count);
    for _ in 0..count {
        let events = if host { None } else { Events::begin(device)? };
        let begin = Instant::now();
        for _ in 0..each {
            work()?;
        }
        let all = match events {
            Some(events) => events.end()?,
            None => {
                device.synchronize()?;
                begin.elapsed().as_secs_f64() * 1e3
            }
        };
        ms.push(all / each as f64);
    }
    device.synchronize()?;
    Ok(Samples { ms, peak: peak(device)? })
}

/// The device under test.
#[derive(Debug, Clone)]
pub(crate) struct TargetDevice {
    pub(crate) device: Device,
    /// The CPU, running kernels as if it were a GPU.
    pub(crate) emulated: bool,
}

impl TargetDevice {
    /// `cpu`, `cuda`, `cuda:N`, or `emulated`, ready to compute.
    pub(crate) fn open(name: &str) -> Result<Self> {
        if name == "emulated" {
            if cfg!(feature = "emulation") {
                return Ok(Self { device: Device::Cpu, emulated: true });
            }
            return Err("built without the emulation of a GPU (--features emulation)".into());
        }
        let choice = name.parse::<DeviceChoice>()?;
        #[cfg(feature = "cuda")]
        if let ([first, rest @ ..], DeviceChoice::Cuda(_)) =
            (desam::nn::gpu::files_without_kernels().as_slice(), choice)
        {
            let more = rest.len();
            return Err(format!(
                "built without nvcc: {first} and {more} other files of kernels hold none. Build it \
                 with a real one, in a separate target folder (scripts/cuda-toolkit)"
            )
            .into());
        }
        let device = choice.open()?;
        Ok(Self { device, emulated: false })
    }

    pub(crate) fn describe(&self) -> Result<Description> {
        let found = describe(&self.device)?;
        if self.emulated {
            return Ok(Description { device: "the emulation of a GPU".to_owned(), ..found });
        }
        Ok(found)
    }

    /// The CPU's own paths: f32 alone.
    pub(crate) fn is_processor(&self) -> bool {
        self.device.is_cpu() && !self.emulated
    }

    /// What `work` gives here. An emulation does it twice, with a kernel's threads in opposite orders,
    /// which must not matter.
    pub(crate) fn run(&self, work: impl Fn() -> Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
        if !self.emulated {
            return work();
        }
        #[cfg(feature = "emulation")]
        {
            let work = || work().map_err(|e| desam::candle::Error::Msg(e.to_string()));
            desam::nn::gpu::emulated(work)?.ok_or("there was no C++ compiler".into())
        }
        #[cfg(not(feature = "emulation"))]
        Err("built without the emulation".into())
    }
}

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
use cuda::{Events, describe, peak, reset_peak};

#[cfg(not(feature = "cuda"))]
mod cpu;
#[cfg(not(feature = "cuda"))]
use cpu::{Events, describe, peak, reset_peak};
