//! 2-D convolution.

pub(crate) mod cpu;
mod patches;

use crate::gradients::hand_over;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use patches::Patches;

/// Where a square kernel looks: the two ways in which SAM and DeSAM convolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dConfig {
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Conv2dConfig {
    /// Stride 1, zeros enough that a `kernel × kernel` convolution keeps the side (`kernel` odd).
    pub fn same(kernel: usize) -> Self {
        Self { kernel, stride: 1, padding: kernel / 2 }
    }

    /// Stride `kernel`, no padding: one output a patch; what is left over at the far edges is not
    /// looked at.
    pub fn patches(kernel: usize) -> Self {
        Self { kernel, stride: kernel, padding: 0 }
    }

    fn keeps_the_side(&self) -> bool {
        self.stride == 1 && self.kernel == 2 * self.padding + 1
    }
}

/// `x [B, I, H, W]`, `weight [O, I, K, K]` → `[B, O, H', W']`, no bias.
///
/// In f32 on the CPU products of our own never unfold the image, make only the gradients that are
/// wanted, and give the same bits whatever the number of threads. On a GPU kernels do the same where
/// the side is kept; the weight may be f32 there while `x` is of another type, and its gradient is
/// of its own. [`plain`] elsewhere.
///
/// # Errors
/// When channels or the kernel differ from what is expected, or an image is smaller than a patch.
pub fn conv2d(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    let (_, inputs, height, width) = x.dims4()?;
    let (_, expected, rows, columns) = weight.dims4()?;
    let Conv2dConfig { kernel, padding, .. } = config;
    let fits = (1..=height + 2 * padding).contains(&kernel) && kernel <= width + 2 * padding;
    if inputs != expected || (rows, columns) != (kernel, kernel) || !fits {
        bail!("convolution: kernel {:?} on {:?} with {config:?}", weight.dims(), x.dims());
    }
    #[cfg(feature = "kernels")]
    if config.keeps_the_side() && crate::gpu::uses_kernels(&[x, weight]) {
        return crate::gpu::apply(desam_kernels::ops::conv2d::Conv2d, &[x, weight]);
    }
    let ours = x.device().is_cpu() && x.dtype() == DType::F32 && weight.dtype() == DType::F32;
    if ours && config.keeps_the_side() {
        return x.contiguous()?.apply_op2(&weight.contiguous()?, Same);
    }
    // Nobody has asked for the gradient of pixels.
    if ours && padding == 0 && !x.track_op() {
        return x.contiguous()?.apply_op2(&weight.contiguous()?, Patches);
    }
    plain(x, weight, config)
}

/// The same by candle's own kernel: the reference.
///
/// # Errors
/// When channels differ.
pub fn plain(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    x.conv2d(weight, config.padding, config.stride, 1, 1)
}

/// `(x, weight) → y` at the same side.
struct Same;

impl CustomOp2 for Same {
    fn name(&self) -> &'static str {
        "desam-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, _, height, width) = xl.shape().dims4()?;
        let (outputs, ..) = wl.shape().dims4()?;
        let y = cpu::output((x, xl), (w, wl))?;
        Ok((CpuStorage::F32(y), Shape::from((b, outputs, height, width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let input = match x.track_op() {
            true => Some(grad.apply_op2_no_bwd(&w.detach(), &InputGradient)?),
            false => None,
        };
        let kernel = match w.track_op() {
            true => {
                let side = w.dim(2)?;
                Some(grad.apply_op2_no_bwd(&x.detach(), &KernelGradient { side })?)
            }
            false => None,
        };
        Ok((hand_over(x, input), hand_over(w, kernel)))
    }
}

/// `(∂y, weight) → ∂x`.
struct InputGradient;

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "desam-conv2d-input-gradient"
    }

    fn cpu_fwd(
        &self,
        grad: &CpuStorage,
        gl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, _, height, width) = gl.shape().dims4()?;
        let (_, inputs, ..) = wl.shape().dims4()?;
        let dx = cpu::input_gradient((grad, gl), (w, wl))?;
        Ok((CpuStorage::F32(dx), Shape::from((b, inputs, height, width))))
    }
}

/// `(∂y, x) → ∂weight`.
struct KernelGradient {
    side: usize,
}

impl CustomOp2 for KernelGradient {
    fn name(&self) -> &'static str {
        "desam-conv2d-kernel-gradient"
    }

    fn cpu_fwd(
        &self,
        grad: &CpuStorage,
        gl: &Layout,
        x: &CpuStorage,
        xl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = (gl.shape().dims4()?.1, xl.shape().dims4()?.1, self.side, self.side);
        let dw = cpu::kernel_gradient((grad, gl), (x, xl), self.side)?;
        Ok((CpuStorage::F32(dw), Shape::from(shape)))
    }
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
#[cfg(test)]
mod tests;
