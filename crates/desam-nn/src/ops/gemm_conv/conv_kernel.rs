//! A convolution kernel and the two packed matrices that are made of it.

use super::panels::{PackedLhs, PanelShape};
use super::source::Window;
use std::ops::Range;

/// A convolution kernel `[outputs, inputs, taps]` in memory, `taps` being those of the window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvKernel<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) inputs: usize,
    pub(crate) window: Window,
}

impl ConvKernel<'_> {
    /// Packs the kernel as it is, with `outputs` rows: the forward convolution.
    pub(crate) fn pack(&self, outputs: usize) -> PackedLhs {
        let taps = self.window.taps();
        let shape = PanelShape { rows: outputs, channels: self.inputs, window: self.window };
        PackedLhs::pack(shape, |row, channel, tap| {
            self.values[(row * self.inputs + channel) * taps + tap]
        })
    }

    /// Packs the kernel spatially flipped and with inputs and outputs transposed: convolving the
    /// output's gradient with it gives the gradient of the input channels `inputs`.
    pub(crate) fn pack_flipped_transposed(
        &self,
        outputs: usize,
        inputs: Range<usize>,
    ) -> PackedLhs {
        let taps = self.window.taps();
        let shape = PanelShape { rows: inputs.len(), channels: outputs, window: self.window };
        PackedLhs::pack(shape, |row, channel, tap| {
            // Counted from the end of a kernel plane: tap `t` is read at `taps - 1 - t`.
            self.values[(channel * self.inputs + inputs.start + row + 1) * taps - 1 - tap]
        })
    }
}
