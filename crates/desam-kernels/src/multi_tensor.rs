//! Ops on many tensors at once, some of them in place (multi-tensor apply): candle's custom ops have
//! three inputs at most.

use super::accelerator::{Accelerator, KernelArgument};
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Tensor, bail};
use std::cell::Cell;

/// An op that launches kernels on tensors it holds.
pub trait MultiTensorOp {
    /// Its result.
    type Output;

    /// Launches its kernels.
    ///
    /// # Errors
    /// When a tensor is not on `on` or a kernel does not start.
    fn run<A: Accelerator>(self, on: &A) -> Result<Self::Output>;
}

/// Runs `op` on the accelerator behind `device`; see [`has_kernels`](super::has_kernels).
///
/// # Errors
/// When no kernels run on `device`, or with the error of `op`.
pub fn run_multi_tensor<M: MultiTensorOp>(device: &Device, op: M) -> Result<M::Output> {
    match device {
        #[cfg(desam_emulation)]
        Device::Cpu => op.run(&super::emulation::Emulator),
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => op.run(&super::cuda::Cuda::new(device.clone())),
        other => {
            let _ = op;
            bail!("kernels do not run on {:?}", other.location())
        }
    }
}

/// Device pointer to a contiguous tensor, for a kernel to read while the tensor lives.
pub(crate) fn device_ptr<A: Accelerator>(on: &A, tensor: &Tensor) -> Result<KernelArgument> {
    if !tensor.is_contiguous() {
        bail!("a kernel takes contiguous tensors, found {:?}", tensor.layout());
    }
    let (storage, layout) = tensor.storage_and_layout();
    on.address(on.of(&storage)?, layout.start_offset())
}

/// Device pointer to a contiguous f32 tensor that the kernel changes in place. Nothing else may use
/// the tensor until the kernel was started.
pub(crate) fn device_ptr_mut(tensor: &Tensor) -> Result<KernelArgument> {
    if tensor.dtype() != DType::F32 {
        bail!("a kernel changes tensors of type f32, found {:?}", tensor.dtype());
    }
    let pointer = MutPointer(Cell::new(None));
    tensor.inplace_op1(&pointer)?;
    match pointer.0.get() {
        Some(address) => Ok(address),
        None => bail!("a kernel changes contiguous tensors, found {:?}", tensor.layout()),
    }
}

/// Reads the pointer to a tensor's storage through an in-place op, the only mutable access that candle
/// gives.
struct MutPointer(Cell<Option<KernelArgument>>);

impl InplaceOp1 for MutPointer {
    fn name(&self) -> &'static str {
        "desam-device-pointer"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        if let (CpuStorage::F32(numbers), Some((start, end))) =
            (storage, layout.contiguous_offsets())
            && end <= numbers.len()
        {
            // From `as_mut_ptr`, so that writing through it is allowed while nothing borrows the vector.
            let begin = numbers.as_mut_ptr() as u64;
            self.0.set(Some(KernelArgument::Pointer(begin + (start * size_of::<f32>()) as u64)));
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
