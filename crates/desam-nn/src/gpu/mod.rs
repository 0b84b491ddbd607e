//! Kernels of our own for GPUs, and how ops start them.
//!
//! A kernel's text (`ops/*/*.cu`) is compiled twice: by nvcc for a GPU, with the feature `cuda`, and
//! by the host's C++ compiler for tests, with the feature `emulation`. What starts a kernel (its
//! grid, its shared memory, its arguments) is written once, over an `Accelerator`: the GPU is one,
//! the emulation another. So tests run kernels and launches alike where there is no GPU.

mod accelerator;
mod cast;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(desam_emulation)]
mod emulation;
mod launched;
mod place;
#[cfg(test)]
#[cfg(desam_emulation)]
mod tests;
/// A constant for each file of kernels: its PTX, under the file's name.
#[cfg(feature = "cuda")]
pub(crate) mod ptx {
    #![allow(missing_docs, unreachable_pub)]
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

pub(crate) use accelerator::{Accelerator, Arg, Launch, Module, Operand, blocks, suffix};
pub(crate) use cast::Cast;
pub(crate) use launched::{KernelOp, apply};
pub(crate) use place::{Work, address, with, writable};

#[cfg(feature = "emulation")]
use candle_core::Result;
use candle_core::{DType, Device, Tensor};

/// The [`Module`] of a file of kernels: `module!("layer_norm", LAYER_NORM)` of `layer_norm.cu`.
macro_rules! module {
    ($name:literal, $ptx:ident) => {
        $crate::gpu::Module {
            name: concat!("desam-", $name),
            #[cfg(feature = "cuda")]
            ptx: $crate::gpu::ptx::$ptx,
            #[cfg(not(feature = "cuda"))]
            ptx: "",
        }
    };
}
pub(crate) use module;

/// Files of kernels that were compiled to nothing: nvcc's stand-in took its place. Empty in a program
/// that can use a GPU.
#[cfg(feature = "cuda")]
pub fn files_without_kernels() -> Vec<&'static str> {
    let empty = ptx::ALL.iter().filter(|(_, ptx)| !ptx.contains(".entry"));
    empty.map(|(name, _)| *name).collect()
}

/// What an op is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// Vectors of the CPU: f32 in its memory.
    Cpu,
    /// Kernels of a GPU, for f32, bf16 and f16.
    Kernels,
    /// Candle's elementary ops.
    Plain,
}

/// What an op on these tensors is done with. Their types may differ; each op knows which it takes.
pub(crate) fn path(tensors: &[&Tensor]) -> Path {
    let all = |fits: fn(&Tensor) -> bool| tensors.iter().all(|t| fits(t));
    let single = |t: &Tensor| t.dtype() == DType::F32;
    if all(on_accelerator) {
        let known = |t: &Tensor| matches!(t.dtype(), DType::F32 | DType::BF16 | DType::F16);
        return if all(known) { Path::Kernels } else { Path::Plain };
    }
    if all(|t| t.device().is_cpu()) && all(single) { Path::Cpu } else { Path::Plain }
}

/// Runs `work`, in which tensors of the CPU are taken for a GPU's: every op with kernels is done by
/// them, thread by thread on the CPU. It is done twice, with the threads in opposite orders; that
/// they do not give the same bits is an error. For tests, with the feature `emulation`.
///
/// `None` where there was no C++ compiler to build the kernels with.
///
/// # Errors
/// What `work` fails with, or what is wrong with a kernel.
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

/// Whether ops on this device's tensors are done by kernels, which take bf16 and f16 beside f32.
pub fn has_kernels(device: &Device) -> bool {
    #[cfg(desam_emulation)]
    if device.is_cpu() {
        return emulation::is_on();
    }
    cfg!(feature = "cuda") && device.is_cuda()
}

/// Whether ops on a tensor are done by kernels: it is on a GPU, or in the emulation of one.
pub fn on_accelerator(tensor: &Tensor) -> bool {
    has_kernels(tensor.device())
}

#[cfg(test)]
#[cfg(feature = "cuda")]
mod ptx_tests {
    /// cargo does not see that another nvcc was asked: a target folder that the stand-in has been in
    /// may keep its empty files.
    #[test]
    fn kernels_were_compiled_by_a_real_nvcc() {
        assert_eq!(super::files_without_kernels(), Vec::<&str>::new());
        assert!(super::ptx::ALL.len() > 10);
    }
}
