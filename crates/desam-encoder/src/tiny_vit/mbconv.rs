//! Convolutional parts of a TinyViT: patch embedding, MBConv, downsampling.

use super::folded_conv::{Depthwise, PointwiseConv, StridedConv};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Activation, Epilogue};

/// Hidden channels of an MBConv for each of its channels.
const EXPANSION: usize = 4;

/// Patch embedding: two 3×3 convolutions with stride 2, GELU between them.
#[derive(Debug, Clone)]
pub(super) struct PatchEmbed {
    first: StridedConv,
    second: StridedConv,
}

impl PatchEmbed {
    pub(super) fn new(width: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let vb = vb.pp("seq");
        Ok(Self {
            first: StridedConv::new(3, width / 2, vb.pp(0))?,
            second: StridedConv::new(width / 2, width, vb.pp(2))?,
        })
    }

    /// Pixels `[B, S, S, 3]` → `[B, S / 4, S / 4, C]`.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let x = self.first.forward(pixels, Activation::Gelu)?;
        self.second.forward(&x, Activation::Identity)
    }

    /// Whether its parameters are tracked.
    pub(super) fn is_tracked(&self) -> bool {
        self.first.is_tracked()
    }
}

/// MBConv, the inverted residual block: pointwise to four times the channels, depthwise, pointwise back,
/// residual. GELU after each, the last one after the sum.
#[derive(Debug, Clone)]
pub(super) struct MbConv {
    expand: PointwiseConv,
    depthwise: Depthwise,
    project: PointwiseConv,
}

impl MbConv {
    pub(super) fn new(width: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let hidden = EXPANSION * width;
        Ok(Self {
            expand: PointwiseConv::new(width, hidden, vb.pp("conv1"))?,
            depthwise: Depthwise::new(hidden, 1, vb.pp("conv2"))?,
            project: PointwiseConv::new(hidden, width, vb.pp("conv3"))?,
        })
    }

    /// `x [B, H, W, C]`, the same shape out.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = self.expand.forward(x, Activation::Gelu.into())?;
        let hidden = self.depthwise.forward(&hidden, Activation::Gelu)?;
        Activation::Gelu.apply(&self.project.forward(&hidden, Epilogue::add(x))?)
    }
}

/// Downsampling between stages, MobileSAM's `PatchMerging`: pointwise, depthwise with the stride, pointwise;
/// GELU between them.
#[derive(Debug, Clone)]
pub(super) struct Downsample {
    widen: PointwiseConv,
    depthwise: Depthwise,
    project: PointwiseConv,
}

impl Downsample {
    pub(super) fn new(
        inputs: usize,
        outputs: usize,
        stride: usize,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(Self {
            widen: PointwiseConv::new(inputs, outputs, vb.pp("conv1"))?,
            depthwise: Depthwise::new(outputs, stride, vb.pp("conv2"))?,
            project: PointwiseConv::new(outputs, outputs, vb.pp("conv3"))?,
        })
    }

    /// `x [B, H, W, I]` → `[B, H / stride, W / stride, O]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.widen.forward(x, Activation::Gelu.into())?;
        self.project.forward(&self.depthwise.forward(&x, Activation::Gelu)?, Epilogue::default())
    }
}
