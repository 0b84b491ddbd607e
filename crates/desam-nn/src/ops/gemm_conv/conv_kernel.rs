//! A convolution's kernel as products read it.

use super::panels::{PanelShape, Panels};

/// A kernel `[outputs, inputs, taps]` in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) inputs: usize,
    pub(crate) taps: usize,
}

impl Kernel<'_> {
    /// As it stands, `outputs` rows.
    pub(crate) fn pack(&self, outputs: usize) -> Panels {
        let shape = PanelShape { rows: outputs, channels: self.inputs, taps: self.taps };
        Panels::pack(shape, |row, channel, tap| {
            self.values[(row * self.inputs + channel) * self.taps + tap]
        })
    }

    /// Turned round, inputs and outputs exchanged, for the gradient of `inputs` channels from
    /// `first` on.
    pub(crate) fn turned(&self, outputs: usize, (first, inputs): (usize, usize)) -> Panels {
        let shape = PanelShape { rows: inputs, channels: outputs, taps: self.taps };
        Panels::pack(shape, |row, channel, tap| {
            self.values[(channel * self.inputs + first + row + 1) * self.taps - 1 - tap]
        })
    }
}
