//! Devices: the CPU, or a GPU.

use crate::{Error, Result};
use candle_core::{Device, DeviceLocation};
use std::fmt;
use std::str::FromStr;

/// A device by name. The device is never selected automatically, because GPU and CPU results differ
/// in rounding, and results should not depend on which machine a command happens to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceChoice {
    /// The CPU.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number, as the driver counts them.
    Cuda(usize),
}

impl DeviceChoice {
    /// Opens the device. All work on a GPU is in one stream, whichever thread submits it, and freed
    /// memory stays in the pool for the next tensor until the program ends. Neither holds for candle's
    /// own `Device::new_cuda`, where every thread has a stream and one thread's tensors must not be used
    /// by another.
    ///
    /// # Errors
    /// [`Error::Device`] when the program was built without CUDA, or the driver has no such GPU or
    /// reports an error.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => cuda(number),
        }
    }

    fn refuse<T>(self, reason: impl Into<String>) -> Result<T> {
        Err(Error::Device { device: self, reason: reason.into() })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some("0"),
            other => other.strip_prefix("cuda:"),
        };
        // Digits alone: `parse` would take a sign.
        let number = number.filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        match number.and_then(|n| n.parse().ok()) {
            Some(number) => Ok(Self::Cuda(number)),
            None => Err(format!("device {text:?}: expected cpu, cuda or cuda:N, such as cuda:0")),
        }
    }
}

/// Whether the program was built with CUDA.
pub const HAS_CUDA: bool = cfg!(feature = "cuda");

/// A GPU that the driver reports.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Gpu {
    /// Its number.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Size of its memory, in bytes.
    pub memory_bytes: usize,
}

/// The GPUs that the driver reports; none without CUDA.
///
/// # Errors
/// The driver's error message, for instance if there is no GPU.
pub fn gpus() -> Result<Vec<Gpu>, String> {
    #[cfg(feature = "cuda")]
    return driver::gpus();
    #[cfg(not(feature = "cuda"))]
    Ok(Vec::new())
}

/// Name of a device for people: `cpu`, or a GPU such as `cuda:0`.
pub fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_owned(),
        DeviceLocation::Cuda { gpu_id } => DeviceChoice::Cuda(gpu_id).to_string(),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// Whether all threads submit to one stream of the device, in order: only then may tensors move
/// between threads.
pub(crate) fn has_one_queue(device: &Device) -> bool {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => driver::has_one_queue(device),
        _ => true,
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(number: usize) -> Result<Device> {
    DeviceChoice::Cuda(number).refuse(
        "this program was built without CUDA; build it with the feature `cuda` (docs/gpu.md)",
    )
}

#[cfg(feature = "cuda")]
fn cuda(number: usize) -> Result<Device> {
    let choice = DeviceChoice::Cuda(number);
    match driver::count() {
        Ok(seen) if number < seen => match driver::open(number) {
            Ok(device) => Ok(device),
            Err(words) => choice.refuse(format!("the driver says {words}")),
        },
        Ok(seen) => choice.refuse(format!("there is no such GPU, the driver reports {seen}")),
        Err(words) => choice.refuse(format!("the driver says {words}")),
    }
}

#[cfg(feature = "cuda")]
mod driver {
    use super::Gpu;
    use candle_core::cuda_backend::cudarc::driver::result::{device, mem_pool};
    use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute;
    use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError};
    use candle_core::{CudaDevice, Device};

    /// `CU_STREAM_PER_THREAD`: one stream for each thread.
    const PER_THREAD: usize = 2;

    pub(super) fn open(number: usize) -> Result<Device, String> {
        let device = Device::new_cuda_with_stream(number).map_err(|e| e.to_string())?;
        if let Device::Cuda(device) = &device {
            // SAFETY: events order the streams that a tensor is used on, and all work of this device is
            // on the one stream that it was created with.
            #[allow(unsafe_code)]
            unsafe {
                device.disable_event_tracking();
            }
            keep_memory(device).map_err(words)?;
        }
        Ok(device)
    }

    /// Keeps freed memory in the pool. By default it is released to the system at every
    /// synchronisation and mapped again for the next slice or step.
    fn keep_memory(on: &CudaDevice) -> Result<(), DriverError> {
        let stream = on.cuda_stream();
        let context = stream.context();
        if context.has_async_alloc() {
            let mut bytes = u64::MAX;
            let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            // SAFETY: the device is there, since a context of it is, and the attribute is a u64.
            #[allow(unsafe_code)]
            unsafe {
                let pool = device::get_default_mem_pool(context.cu_device())?;
                mem_pool::set_attribute(pool, attribute, (&raw mut bytes).cast())?;
            }
        }
        Ok(())
    }

    pub(super) fn has_one_queue(device: &CudaDevice) -> bool {
        device.cuda_stream().cu_stream() as usize != PER_THREAD
    }

    /// `CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected`.
    fn words(error: DriverError) -> String {
        match error.error_string() {
            Ok(text) => format!("{:?}: {}", error.0, text.to_string_lossy()),
            Err(_) => format!("{:?}", error.0),
        }
    }

    pub(super) fn count() -> Result<usize, String> {
        let count = CudaContext::device_count().map_err(words)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub(super) fn gpus() -> Result<Vec<Gpu>, String> {
        let one = |number| {
            let context = CudaContext::new(number).map_err(words)?;
            let name = context.name().map_err(words)?;
            let memory_bytes = context.total_mem().map_err(words)?;
            Ok(Gpu { number, name, memory_bytes })
        };
        (0..count()?).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for (text, choice) in [
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:17", DeviceChoice::Cuda(17)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        let huge = "cuda:99999999999999999999999";
        for wrong in ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda0", huge] {
            let error = wrong.parse::<DeviceChoice>().unwrap_err();
            assert!(error.contains("cuda:N") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_cpu_always_opens() {
        let device = DeviceChoice::default().open().unwrap();
        assert_eq!(name(&device), "cpu");
    }

    #[test]
    fn a_missing_gpu_is_an_error_that_names_it() {
        // No machine has so many: without CUDA this is refused as any other.
        let error = DeviceChoice::Cuda(4_000_000_000).open().unwrap_err();
        assert!(matches!(error, Error::Device { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("cuda:4000000000"), "{text}");
        let why = if HAS_CUDA { "the driver" } else { "feature `cuda`" };
        assert!(text.contains(why), "{text}");
        if !HAS_CUDA {
            assert_eq!(gpus(), Ok(Vec::new()));
        }
    }
}
