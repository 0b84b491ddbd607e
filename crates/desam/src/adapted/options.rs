//! Options of adapted models.

use candle_core::Device;
use desam_encoder::adapter::DapsamAxes;

/// Options for loading an [`AdaptedSam`](super::AdaptedSam).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdaptedOptions {
    /// Axes of DAPSAM's features and filters.
    pub axes: DapsamAxes,
    /// Whether adapters, prompt and decoder are variables. The encoder's own parameters never are.
    pub trainable: bool,
    /// Input side in pixels, where it differs from that of the SAM: its position tables are resized.
    pub input_side: Option<usize>,
    /// Heads of the decoder's attentions, which no shape shows; SAM has 8.
    pub heads: usize,
    /// Device of the parameters.
    pub device: Device,
}

impl Default for AdaptedOptions {
    /// The official DAPSAM, frozen, on the CPU.
    fn default() -> Self {
        Self {
            axes: DapsamAxes::Official,
            trainable: false,
            input_side: None,
            heads: 8,
            device: Device::Cpu,
        }
    }
}

impl AdaptedOptions {
    /// Sets [`axes`](Self::axes).
    #[must_use]
    pub fn with_axes(self, axes: DapsamAxes) -> Self {
        Self { axes, ..self }
    }

    /// Sets [`trainable`](Self::trainable).
    #[must_use]
    pub fn trainable(self, trainable: bool) -> Self {
        Self { trainable, ..self }
    }

    /// Sets [`input_side`](Self::input_side).
    #[must_use]
    pub fn with_input_side(self, input_side: usize) -> Self {
        Self { input_side: Some(input_side), ..self }
    }

    /// Sets [`heads`](Self::heads).
    #[must_use]
    pub fn with_heads(self, heads: usize) -> Self {
        Self { heads, ..self }
    }

    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }
}
