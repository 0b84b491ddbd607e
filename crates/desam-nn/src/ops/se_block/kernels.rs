//! A block's kernels, in a row, as its products read them.

use crate::ops::gemm_conv::{Kernel, Panels};

/// Kernels `[O, I, 3, 3]`, `[O, O, 3, 3]` and perhaps `[O, I, 1, 1]`, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels<'a> {
    pub(super) values: &'a [f32],
    pub(super) outputs: usize,
    /// Channels of each part of the input.
    pub(super) inputs: [usize; 2],
}

impl<'a> Kernels<'a> {
    fn all_inputs(&self) -> usize {
        self.inputs.iter().sum()
    }

    /// The first channel of a part, and how many it has.
    fn part(&self, part: usize) -> (usize, usize) {
        (self.inputs[..part].iter().sum(), self.inputs[part])
    }

    fn first(&self) -> Kernel<'a> {
        let inputs = self.all_inputs();
        Kernel { values: &self.values[..9 * self.outputs * inputs], inputs, taps: 9 }
    }

    fn second(&self) -> Kernel<'a> {
        let (begin, inputs) = (9 * self.outputs * self.all_inputs(), self.outputs);
        Kernel { values: &self.values[begin..begin + 9 * inputs * inputs], inputs, taps: 9 }
    }

    fn third(&self) -> Kernel<'a> {
        let inputs = self.all_inputs();
        let begin = self.values.len() - self.outputs * inputs;
        Kernel { values: &self.values[begin..], inputs, taps: 1 }
    }

    pub(super) fn conv1(&self) -> Panels {
        self.first().pack(self.outputs)
    }

    pub(super) fn conv2(&self) -> Panels {
        self.second().pack(self.outputs)
    }

    pub(super) fn conv3(&self) -> Panels {
        self.third().pack(self.outputs)
    }

    pub(super) fn conv1_turned(&self, part: usize) -> Panels {
        self.first().turned(self.outputs, self.part(part))
    }

    pub(super) fn conv2_turned(&self) -> Panels {
        self.second().turned(self.outputs, (0, self.outputs))
    }

    pub(super) fn conv3_turned(&self, part: usize) -> Panels {
        self.third().turned(self.outputs, self.part(part))
    }
}
