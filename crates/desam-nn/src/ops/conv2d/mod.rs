//! 2-D convolution as matrix products over unfolded image rows.

mod cpu;
mod unfold;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};
use unfold::Geometry;

/// Stride and padding of a convolution, the same along both axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Steps between outputs.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
}

impl Conv2dConfig {
    /// Stride 1, zeros enough that a `kernel × kernel` convolution keeps the side.
    pub fn same(kernel: usize) -> Self {
        Self { stride: 1, padding: kernel / 2 }
    }

    /// Stride `kernel`, no padding: one output a patch.
    pub fn patches(kernel: usize) -> Self {
        Self { stride: kernel, padding: 0 }
    }
}

/// `x [B, I, H, W]`, `weight [O, I, KH, KW]` → `[B, O, H', W']`, no bias.
///
/// The CPU path never holds the whole unfolded image, computes the input's gradient only where the
/// input is tracked, and gives the same bits whatever the number of threads. Elsewhere, and for
/// types other than f32 and f64, candle's own kernel runs.
///
/// # Errors
/// When channels differ or the kernel is larger than the padded image.
pub fn conv2d(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    if !x.device().is_cpu() || !matches!(x.dtype(), DType::F32 | DType::F64) {
        return plain(x, weight, config);
    }
    Geometry::new(x.dims4()?, weight.dims4()?, config)?;
    x.contiguous()?.apply_op2(&weight.contiguous()?, Forward(config))
}

/// The same by candle's own kernel: the reference.
///
/// # Errors
/// When channels differ.
pub fn plain(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    x.conv2d(weight, config.padding, config.stride, 1, 1)
}

/// `(x, weight) → y`.
struct Forward(Conv2dConfig);

impl CustomOp2 for Forward {
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
        let g = Geometry::new(xl.shape().dims4()?, wl.shape().dims4()?, self.0)?;
        let shape = Shape::from((g.batch, g.out_channels, g.out_height, g.out_width));
        cpu::dispatch((x, xl), (w, wl), cpu::Product::Output, &g).map(|s| (s, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = Geometry::new(x.dims4()?, w.dims4()?, self.0)?;
        let grad = grad.contiguous()?;
        let input = match x.track_op() {
            true => Some(w.detach().apply_op2_no_bwd(&grad, &InputGradient(g))?),
            false => None,
        };
        let kernel = match w.track_op() {
            true => Some(x.detach().apply_op2_no_bwd(&grad, &KernelGradient(g))?),
            false => None,
        };
        Ok((input, kernel))
    }
}

/// `(weight, ∂y) → ∂x`.
struct InputGradient(Geometry);

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "desam-conv2d-input-gradient"
    }

    fn cpu_fwd(
        &self,
        w: &CpuStorage,
        wl: &Layout,
        grad: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = &self.0;
        let shape = Shape::from((g.batch, g.in_channels, g.height, g.width));
        cpu::dispatch((w, wl), (grad, gl), cpu::Product::InputGradient, g).map(|s| (s, shape))
    }
}

/// `(x, ∂y) → ∂weight`.
struct KernelGradient(Geometry);

impl CustomOp2 for KernelGradient {
    fn name(&self) -> &'static str {
        "desam-conv2d-kernel-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        grad: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = &self.0;
        let shape = Shape::from((g.out_channels, g.in_channels, g.kernel_height, g.kernel_width));
        cpu::dispatch((x, xl), (grad, gl), cpu::Product::KernelGradient, g).map(|s| (s, shape))
    }
}

#[cfg(test)]
mod tests;
