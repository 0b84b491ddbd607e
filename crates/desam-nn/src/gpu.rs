//! Backend selection: the CPU's own paths, GPU kernels (crate `desam-kernels`) or candle's elementary
//! ops.

#[cfg(feature = "kernels")]
pub(crate) use desam_kernels::run_multi_tensor;

#[cfg(feature = "kernels")]
use candle_core::Result;
use candle_core::{DType, Device, Tensor};

#[cfg(feature = "emulation")]
pub use desam_kernels::emulated;
#[cfg(feature = "cuda")]
pub use desam_kernels::files_without_kernels;

/// The backend that computes an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// SIMD code of this crate, for f32 in host memory.
    Cpu,
    /// Kernels on a GPU, for f32, bf16 and f16.
    #[cfg(feature = "kernels")]
    Kernels,
    /// Candle's elementary ops.
    Plain,
}

/// The backend of an op on these tensors. Their types may differ; each op checks which it takes.
pub(crate) fn select_backend(tensors: &[&Tensor]) -> Backend {
    let all = |fits: fn(&Tensor) -> bool| tensors.iter().all(|t| fits(t));
    #[cfg(feature = "kernels")]
    if all(on_accelerator) {
        let known = |t: &Tensor| matches!(t.dtype(), DType::F32 | DType::BF16 | DType::F16);
        return if all(known) { Backend::Kernels } else { Backend::Plain };
    }
    let single = |t: &Tensor| t.dtype() == DType::F32;
    if all(|t| t.device().is_cpu()) && all(single) { Backend::Cpu } else { Backend::Plain }
}

/// Whether an op on these tensors runs kernels.
#[cfg(feature = "kernels")]
pub(crate) fn uses_kernels(tensors: &[&Tensor]) -> bool {
    select_backend(tensors) == Backend::Kernels
}

/// Runs a kernel op on its inputs' device and records it for the backward pass, which stores the
/// gradients of variables as [`crate::gradients`] does.
#[cfg(feature = "kernels")]
pub(crate) fn apply<K: desam_kernels::KernelOp>(op: K, inputs: &[&Tensor]) -> Result<Tensor> {
    desam_kernels::apply(op, inputs, crate::gradients::hand_over)
}

/// Whether ops on this device's tensors run kernels, which take bf16 and f16 in addition to f32: it is a
/// GPU, or the CPU inside `emulated`.
pub fn has_kernels(device: &Device) -> bool {
    #[cfg(feature = "kernels")]
    return desam_kernels::has_kernels(device);
    #[cfg(not(feature = "kernels"))]
    {
        let _ = device;
        false
    }
}

/// Whether ops on a tensor run kernels; see [`has_kernels`].
pub fn on_accelerator(tensor: &Tensor) -> bool {
    has_kernels(tensor.device())
}
