//! Convolution whose stride is its kernel: one product over patches, each read as channels.

use super::cpu::plain;
use crate::gradients::hand_over;
use crate::ops::gemm_conv::{At, Kernel, Plain, Planes, Source, Window, correlate, product};
use crate::ops::matmul::dense;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// `(x, weight) → y`; `x` is not tracked.
pub(super) struct Patches;

/// `[B, I, H, W]` as `[B, I · side², H / side, W / side]`.
struct Turned<'a> {
    image: Plain<'a>,
    side: usize,
}

impl Source for Turned<'_> {
    fn planes(&self) -> Planes {
        let Planes { images, channels, height, width } = self.image.planes;
        let (height, width) = (height / self.side, width / self.side);
        Planes { images, channels: channels * self.side * self.side, height, width }
    }

    fn read(&self, at: At, out: &mut [f32]) {
        let (channel, tap) =
            (at.channel / (self.side * self.side), at.channel % (self.side * self.side));
        let row = at.row * self.side + tap / self.side;
        let begin = self.image.planes.index(At { image: at.image, channel, row }) + tap % self.side;
        let from = self.image.values[begin..].iter().step_by(self.side);
        out.iter_mut().zip(from).for_each(|(out, from)| *out = *from);
    }
}

impl CustomOp2 for Patches {
    fn name(&self) -> &'static str {
        "desam-conv2d-patches"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (outputs, inputs, side, _) = wl.shape().dims4()?;
        let turned = Turned { image: plain((x, xl))?, side };
        let Planes { images, height, width, .. } = turned.planes();
        let values = dense::<f32>((w, wl))?;
        let kernel = Kernel { values, inputs: inputs * side * side, taps: 1 };
        let weights = kernel.pack(outputs);
        let y = product(&turned, Window { side: 1 }, &weights);
        Ok((CpuStorage::F32(y), Shape::from((images, outputs, height, width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if !w.track_op() {
            return Ok((None, None));
        }
        let kernel = KernelGradient { side: w.dim(2)? };
        let kernel = grad.contiguous()?.apply_op2_no_bwd(&x.detach(), &kernel)?;
        Ok((None, hand_over(w, Some(kernel))))
    }
}

/// `(∂y, x) → ∂weight`.
struct KernelGradient {
    side: usize,
}

impl CustomOp2 for KernelGradient {
    fn name(&self) -> &'static str {
        "desam-conv2d-patches-kernel-gradient"
    }

    fn cpu_fwd(
        &self,
        grad: &CpuStorage,
        gl: &Layout,
        x: &CpuStorage,
        xl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let turned = Turned { image: plain((x, xl))?, side: self.side };
        let (outputs, inputs) = (gl.shape().dims4()?.1, xl.shape().dims4()?.1);
        let dw = correlate(&plain((grad, gl))?, &turned, Window { side: 1 });
        let shape = Shape::from((outputs, inputs, self.side, self.side));
        Ok((CpuStorage::F32(dw), shape))
    }
}
