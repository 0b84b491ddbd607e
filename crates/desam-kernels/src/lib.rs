//! CUDA kernels of DeSAM's tensor ops, their launch code, and an emulation of both on the CPU.
//!
//! `desam-nn` decides where an op runs; this crate runs it on an NVIDIA GPU. Each folder of [`ops`]
//! holds an op's kernels (`*.cu`) next to the Rust that launches them: grid, shared memory and
//! arguments. The launch code is generic over an [`Accelerator`], of which there are two:
//!
//! - a GPU, through candle's CUDA backend. nvcc compiles the kernels to PTX at build time.
//! - the emulation. The host's C++ compiler compiles the same kernel source, and every GPU thread
//!   runs in turn on the CPU. Tests thereby cover kernels and launch code on machines without a GPU
//!   (`emulated`, with the feature). It is slow, and for tests only.
//!
//! | feature | adds | needs |
//! |---|---|---|
//! | (none) | launch code alone: ops return an error | |
//! | `cuda` | the CUDA backend and the kernels' PTX | nvcc, see `docs/gpu.md` |
//! | `emulation` | the kernels on the CPU | a C++ compiler; without one [`has_kernels`] stays false |
//!
//! An op is a [`KernelOp`] of one to three inputs, with its gradient; [`apply`] makes it an op of
//! candle. Work on many tensors at once (an optimizer step) is a [`MultiTensorOp`].
//!
//! Kernels take f32, bf16 and f16 and accumulate in f32. They use no atomics, so the same launch gives
//! the same bits every time. Shapes are given in the letters of `desam_core`.

mod accelerator;
mod cast;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(desam_emulation)]
mod emulation;
mod kernel_op;
mod multi_tensor;
pub mod ops;
/// The PTX of each kernel file, one constant per file, named after it.
#[cfg(feature = "cuda")]
pub(crate) mod ptx {
    #![allow(missing_docs, unreachable_pub)]
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

pub(crate) use accelerator::TypedKernel;
pub use accelerator::{Accelerator, KernelArgument, Launch, Module, Operand, blocks, suffix};
pub(crate) use cast::Cast;
pub use kernel_op::{KernelOp, StoreGradient, apply, run_op};
pub use multi_tensor::{MultiTensorOp, run_multi_tensor};
pub(crate) use multi_tensor::{device_ptr, device_ptr_mut};

use candle_core::Device;
#[cfg(feature = "emulation")]
use candle_core::{Result, Tensor};

/// The [`Module`] of a kernel file: `module!("layer_norm", LAYER_NORM)` of `layer_norm.cu`.
macro_rules! module {
    ($name:literal, $ptx:ident) => {
        $crate::Module {
            name: concat!("desam-", $name),
            #[cfg(feature = "cuda")]
            ptx: $crate::ptx::$ptx,
            #[cfg(not(feature = "cuda"))]
            ptx: "",
        }
    };
}
pub(crate) use module;

/// Kernel files whose PTX holds no kernel, because a stand-in for nvcc compiled them. Empty in a
/// program that can use a GPU.
#[cfg(feature = "cuda")]
pub fn files_without_kernels() -> Vec<&'static str> {
    let empty = ptx::ALL.iter().filter(|(_, ptx)| !ptx.contains(".entry"));
    empty.map(|(name, _)| *name).collect()
}

/// Whether kernels run on this device's tensors: on a GPU, or on CPU tensors inside `emulated`.
pub fn has_kernels(device: &Device) -> bool {
    #[cfg(desam_emulation)]
    if device.is_cpu() {
        return emulation::is_on();
    }
    cfg!(feature = "cuda") && device.is_cuda()
}

/// Runs `work` with CPU tensors treated as GPU tensors: every op that has kernels runs them, emulated
/// thread by thread. Runs it twice, with the threads of a block in opposite orders; results that
/// differ in a bit are an error (a missing barrier).
///
/// `None` where there was no C++ compiler to build the kernels with.
///
/// # Errors
/// Errors of `work`, and faults that the emulation finds in a kernel.
#[cfg(feature = "emulation")]
pub fn emulated(work: impl Fn() -> Result<Vec<Tensor>>) -> Result<Option<Vec<Tensor>>> {
    #[cfg(desam_emulation)]
    return emulation::emulated(&work).map(Some);
    #[cfg(not(desam_emulation))]
    {
        let _ = work;
        Ok(None)
    }
}

#[cfg(test)]
#[cfg(feature = "cuda")]
mod ptx_tests {
    /// cargo does not notice a change of nvcc: a target folder that the stand-in was used in may keep
    /// its empty files.
    #[test]
    fn kernels_were_compiled_by_a_real_nvcc() {
        assert_eq!(super::files_without_kernels(), Vec::<&str>::new());
        assert!(super::ptx::ALL.len() > 10);
    }
}
