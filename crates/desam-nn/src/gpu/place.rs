//! Work on many tensors at once, some of which it changes: no op of candle's has so many inputs.

use super::accelerator::{Accelerator, Arg};
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Tensor, bail};
use std::cell::Cell;

/// What starts kernels on tensors that it holds.
pub(crate) trait Work {
    /// What comes of it.
    type Out;

    /// Starts them.
    fn on<A: Accelerator>(self, on: &A) -> Result<Self::Out>;
}

/// Does `work` on the accelerator that `device` is; see [`super::path`].
pub(crate) fn with<W: Work>(device: &Device, work: W) -> Result<W::Out> {
    match device {
        #[cfg(desam_emulation)]
        Device::Cpu => work.on(&super::emulation::Emulator),
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => work.on(&super::cuda::Cuda::new(device.clone())),
        other => {
            let _ = work;
            bail!("kernels do not run on {:?}", other.location())
        }
    }
}

/// Where the numbers of a tensor without gaps begin, to be read by a kernel while it lives.
pub(crate) fn address<A: Accelerator>(on: &A, tensor: &Tensor) -> Result<Arg> {
    if !tensor.is_contiguous() {
        bail!("a kernel takes tensors without gaps, found {:?}", tensor.layout());
    }
    let (storage, layout) = tensor.storage_and_layout();
    on.address(on.of(&storage)?, layout.start_offset())
}

/// The same of f32 that the kernel is to change. Nobody else may use the tensor until the kernel was
/// started.
pub(crate) fn writable(tensor: &Tensor) -> Result<Arg> {
    if tensor.dtype() != DType::F32 {
        bail!("a kernel changes numbers of type f32, found {:?}", tensor.dtype());
    }
    let place = Place(Cell::new(None));
    tensor.inplace_op1(&place)?;
    match place.0.get() {
        Some(address) => Ok(address),
        None => bail!("a kernel changes tensors without gaps, found {:?}", tensor.layout()),
    }
}

/// Notes where a tensor's numbers are.
struct Place(Cell<Option<Arg>>);

impl InplaceOp1 for Place {
    fn name(&self) -> &'static str {
        "desam-place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        if let (CpuStorage::F32(numbers), Some((start, end))) =
            (storage, layout.contiguous_offsets())
            && end <= numbers.len()
        {
            // The vector's own pointer, by which it may be changed as long as nobody borrows it.
            let begin = numbers.as_mut_ptr() as u64;
            self.0.set(Some(Arg::Pointer(begin + (start * size_of::<f32>()) as u64)));
        }
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut candle_core::CudaStorage, layout: &Layout) -> Result<()> {
        if let Some((start, _)) = layout.contiguous_offsets() {
            let on = super::cuda::Cuda::of(storage);
            self.0.set(Some(on.address(storage, start)?));
        }
        Ok(())
    }
}
