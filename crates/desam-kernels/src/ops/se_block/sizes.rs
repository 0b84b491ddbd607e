//! Sizes of a block's convolutions, and views of its weights.

use super::{SeBlockConfig, SeBlockConstants};
use crate::Operand;
use crate::ops::conv2d::Conv2dSizes;
use candle_core::backend::BackendStorage;
use candle_core::{Layout, Result, Shape, bail};

/// Sizes of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeBlockSizes {
    images: usize,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    /// Whether the shortcut is convolved.
    pub(super) convolved: bool,
    pub(super) constants: SeBlockConstants,
}

impl SeBlockSizes {
    /// Of a block that reads `x`, sizes `[B, I, H, W]`.
    pub(super) fn of(x: &[usize], config: &SeBlockConfig) -> Result<Self> {
        let [images, inputs, height, width] = *x else { bail!("residual block of {x:?}") };
        let SeBlockConfig { outputs, convolved, constants, .. } = *config;
        Ok(Self { images, inputs, outputs, height, width, convolved, constants })
    }

    fn convolution(&self, inputs: usize, side: usize) -> Conv2dSizes {
        let Self { images, outputs, height, width, .. } = *self;
        Conv2dSizes { images, inputs, outputs, height, width, side }
    }

    pub(super) fn first(&self) -> Conv2dSizes {
        self.convolution(self.inputs, 3)
    }

    pub(super) fn second(&self) -> Conv2dSizes {
        self.convolution(self.outputs, 3)
    }

    pub(super) fn third(&self) -> Conv2dSizes {
        self.convolution(self.inputs, 1)
    }

    /// Of the input.
    pub(super) fn input(&self) -> [usize; 4] {
        [self.images, self.inputs, self.height, self.width]
    }

    /// Of everything between the first convolution and the output.
    pub(super) fn maps(&self) -> Maps {
        Maps(Layout::contiguous(&[self.images, self.outputs, self.height, self.width]))
    }
}

/// Layout of the maps between the first convolution and the output.
pub(super) struct Maps(Layout);

impl Maps {
    /// Maps like `x`.
    pub(super) fn like<S>(x: &Operand<'_, S>) -> Self {
        Self(Layout::contiguous(x.layout.shape()))
    }

    /// `[B, O, H, W]`
    pub(super) fn shape(&self) -> &Shape {
        self.0.shape()
    }

    /// A storage that is such a map.
    pub(super) fn of<'a, S>(&'a self, storage: &'a S) -> Operand<'a, S> {
        Operand { storage, layout: &self.0 }
    }
}

/// Views of a block's weights, in the order of its convolutions.
pub(super) struct SeBlockWeights<'a, S> {
    storage: &'a S,
    layouts: [Layout; 3],
}

impl<'a, S: BackendStorage> SeBlockWeights<'a, S> {
    /// From all weights, concatenated.
    pub(super) fn new(flat: &Operand<'a, S>, sizes: &SeBlockSizes) -> Result<Self> {
        let (o, i) = (sizes.outputs, sizes.inputs);
        let shapes = [[o, i, 3, 3], [o, o, 3, 3], [if sizes.convolved { o } else { 0 }, i, 1, 1]];
        let mut begin = flat.layout.start_offset();
        let layouts = shapes.map(|shape| {
            let layout = Layout::contiguous_with_offset(&shape, begin);
            begin += shape.iter().product::<usize>();
            layout
        });
        if begin != flat.layout.start_offset() + flat.count() {
            bail!("residual block: {} numbers in all kernels of {sizes:?}", flat.count());
        }
        Ok(Self { storage: flat.storage, layouts })
    }

    /// The number of elements of each.
    pub(super) fn counts(&self) -> impl Iterator<Item = usize> {
        self.layouts.iter().map(|layout| layout.shape().elem_count())
    }

    fn of(&self, index: usize) -> Operand<'_, S> {
        Operand { storage: self.storage, layout: &self.layouts[index] }
    }

    pub(super) fn first(&self) -> Operand<'_, S> {
        self.of(0)
    }

    pub(super) fn second(&self) -> Operand<'_, S> {
        self.of(1)
    }

    pub(super) fn third(&self) -> Operand<'_, S> {
        self.of(2)
    }
}
