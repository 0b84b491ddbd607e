//! A GPU: its events, and the pool that candle's tensors come from.

use super::{Description, Result};
use desam::candle::cuda_backend::cudarc::driver::result::{device, mem_pool};
use desam::candle::cuda_backend::cudarc::driver::sys::{CUevent_flags, CUmemPool_attribute};
use desam::candle::cuda_backend::cudarc::driver::{CudaEvent, CudaStream};
use desam::candle::{CudaDevice, Device};
use std::sync::Arc;

pub(crate) fn describe(device: &Device) -> Result<Description> {
    let version = env!("CARGO_PKG_VERSION");
    let Device::Cuda(device) = device else {
        return Ok(Description { device: "the processor".to_owned(), memory: None, version });
    };
    let stream = device.cuda_stream();
    let context = stream.context();
    let (major, minor) = context.compute_capability()?;
    let device = format!("{} (sm_{major}{minor})", context.name()?);
    Ok(Description { device, memory: Some(context.total_mem()? as u64), version })
}

/// The time since an event of the stream that all of candle's work is on.
pub(crate) struct Events {
    stream: Arc<CudaStream>,
    begin: CudaEvent,
}

const TIMED: Option<CUevent_flags> = Some(CUevent_flags::CU_EVENT_DEFAULT);

impl Events {
    /// Nothing on a CPU.
    pub(crate) fn begin(device: &Device) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else { return Ok(None) };
        let stream = device.cuda_stream();
        stream.synchronize()?;
        let begin = stream.record_event(TIMED)?;
        Ok(Some(Self { stream, begin }))
    }

    /// Milliseconds.
    pub(crate) fn end(self) -> Result<f64> {
        let end = self.stream.record_event(TIMED)?;
        Ok(f64::from(self.begin.elapsed_ms(&end)?))
    }
}

/// Resets the peak of memory in use.
pub(crate) fn reset_peak(device: &Device) -> Result<()> {
    if let Device::Cuda(device) = device {
        with_pool(device, |pool, high| {
            let mut zero = 0u64;
            // SAFETY: the pool is the device's own; the attribute is a number of 64 bits.
            #[allow(unsafe_code, reason = "cudarc has no safe way to a pool's figures")]
            unsafe {
                mem_pool::set_attribute(pool, high, std::ptr::from_mut(&mut zero).cast())
            }
        })?;
    }
    Ok(())
}

/// The most bytes of tensors at once.
pub(crate) fn peak(device: &Device) -> Result<Option<u64>> {
    let Device::Cuda(device) = device else { return Ok(None) };
    if !device.cuda_stream().context().has_async_alloc() {
        return Ok(None);
    }
    let mut bytes = 0u64;
    with_pool(device, |pool, high| {
        // SAFETY: as above.
        #[allow(unsafe_code, reason = "cudarc has no safe way to a pool's figures")]
        unsafe {
            mem_pool::get_attribute(pool, high, std::ptr::from_mut(&mut bytes).cast())
        }
    })?;
    Ok(Some(bytes))
}

type Pool = desam::candle::cuda_backend::cudarc::driver::sys::CUmemoryPool;
type Outcome = std::result::Result<(), desam::candle::cuda_backend::cudarc::driver::DriverError>;

fn with_pool(
    of: &CudaDevice,
    work: impl FnOnce(Pool, CUmemPool_attribute) -> Outcome,
) -> Result<()> {
    let stream = of.cuda_stream();
    let context = stream.context();
    if context.has_async_alloc() {
        context.bind_to_thread()?;
        // SAFETY: the number is that of a device which is open.
        #[allow(unsafe_code, reason = "cudarc has no safe way to a device's pool")]
        let pool = unsafe { device::get_mem_pool(device::get(context.ordinal() as i32)?)? };
        work(pool, CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?;
    }
    Ok(())
}
