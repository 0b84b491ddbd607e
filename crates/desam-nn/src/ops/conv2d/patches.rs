//! Patch embedding: a convolution whose stride is its kernel size, as a 1×1 convolution over patches
//! that are read as channels.

use super::cpu::nchw;
use crate::gradients::store_leaf_gradient;
use crate::ops::gemm_conv::{
    ConvKernel, ImageDims, ImageSource, NchwView, RowIndex, Window, implicit_gemm, weight_gradient,
};
use crate::ops::matmul::dense;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// The op `(x, weight) → y`; `x` is not tracked.
pub(super) struct Patches;

/// Images `[B, I, H, W]` read as `[B, I · side², H / side, W / side]` (space to depth): im2col of
/// patches that do not overlap, without a copy.
struct SpaceToDepth<'a> {
    image: NchwView<'a>,
    side: usize,
}

impl ImageSource for SpaceToDepth<'_> {
    fn planes(&self) -> ImageDims {
        let ImageDims { images, channels, height, width } = self.image.planes;
        let (height, width) = (height / self.side, width / self.side);
        ImageDims { images, channels: channels * self.side * self.side, height, width }
    }

    fn read(&self, at: RowIndex, out: &mut [f32]) {
        let (channel, tap) =
            (at.channel / (self.side * self.side), at.channel % (self.side * self.side));
        let row = at.row * self.side + tap / self.side;
        let begin =
            self.image.planes.index(RowIndex { image: at.image, channel, row }) + tap % self.side;
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
        let patches = SpaceToDepth { image: nchw((x, xl))?, side };
        let ImageDims { images, height, width, .. } = patches.planes();
        let values = dense::<f32>((w, wl))?;
        let kernel = ConvKernel { values, inputs: inputs * side * side, window: Window::POINT };
        let y = implicit_gemm(&patches, &kernel.pack(outputs));
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
        let kernel = WeightGradient { side: w.dim(2)? };
        let kernel = grad.contiguous()?.apply_op2_no_bwd(&x.detach(), &kernel)?;
        Ok((None, store_leaf_gradient(w, Some(kernel))))
    }
}

/// The weight gradient `(∂y, x) → ∂weight`.
struct WeightGradient {
    side: usize,
}

impl CustomOp2 for WeightGradient {
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
        let patches = SpaceToDepth { image: nchw((x, xl))?, side: self.side };
        let (outputs, inputs) = (gl.shape().dims4()?.1, xl.shape().dims4()?.1);
        let dw = weight_gradient(&nchw((grad, gl))?, &patches, Window::POINT);
        let shape = Shape::from((outputs, inputs, self.side, self.side));
        Ok((CpuStorage::F32(dw), shape))
    }
}
