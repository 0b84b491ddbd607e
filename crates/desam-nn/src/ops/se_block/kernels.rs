//! The convolution kernels of a residual block, packed for its products.

use crate::ops::gemm_conv::{ConvKernel, PackedLhs, Window};
use std::ops::Range;

/// Kernels `[O, I, 3, 3]`, `[O, O, 3, 3]` and, where the shortcut is convolved, `[O, I, 1, 1]`, in one
/// slice. In `pack` order: as they are for the forward pass, flipped and transposed for the input
/// gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels<'a> {
    pub(super) values: &'a [f32],
    pub(super) outputs: usize,
    /// Channels of each concatenated input.
    pub(super) inputs: [usize; 2],
}

impl<'a> Kernels<'a> {
    fn all_inputs(&self) -> usize {
        self.inputs.iter().sum()
    }

    /// Input channels of the concatenated input `part`.
    fn channels(&self, part: usize) -> Range<usize> {
        let first = self.inputs[..part].iter().sum();
        first..first + self.inputs[part]
    }

    fn first(&self) -> ConvKernel<'a> {
        let inputs = self.all_inputs();
        let values = &self.values[..9 * self.outputs * inputs];
        ConvKernel { values, inputs, window: Window::SQUARE }
    }

    fn second(&self) -> ConvKernel<'a> {
        let (begin, inputs) = (9 * self.outputs * self.all_inputs(), self.outputs);
        let values = &self.values[begin..begin + 9 * inputs * inputs];
        ConvKernel { values, inputs, window: Window::SQUARE }
    }

    fn third(&self) -> ConvKernel<'a> {
        let inputs = self.all_inputs();
        let begin = self.values.len() - self.outputs * inputs;
        ConvKernel { values: &self.values[begin..], inputs, window: Window::POINT }
    }

    pub(super) fn conv1(&self) -> PackedLhs {
        self.first().pack(self.outputs)
    }

    pub(super) fn conv2(&self) -> PackedLhs {
        self.second().pack(self.outputs)
    }

    pub(super) fn conv3(&self) -> PackedLhs {
        self.third().pack(self.outputs)
    }

    pub(super) fn conv1_flipped(&self, part: usize) -> PackedLhs {
        self.first().pack_flipped_transposed(self.outputs, self.channels(part))
    }

    pub(super) fn conv2_flipped(&self) -> PackedLhs {
        self.second().pack_flipped_transposed(self.outputs, 0..self.outputs)
    }

    pub(super) fn conv3_flipped(&self, part: usize) -> PackedLhs {
        self.third().pack_flipped_transposed(self.outputs, self.channels(part))
    }
}
