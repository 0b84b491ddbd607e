//! Bottleneck of an adapter: down-projection, GELU, up-projection.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::{Activation, Linear, LinearInit};

/// Sizes of a [`Bottleneck`].
#[derive(Debug, Clone, Copy)]
pub(super) struct BottleneckConfig {
    /// Channels in and out.
    pub(super) width: usize,
    /// Channels inside.
    pub(super) hidden: usize,
    /// Initialisation; PyTorch's default where there is none.
    pub(super) init: Option<LinearInit>,
}

/// Two linear layers with a GELU between, no skip connection.
#[derive(Debug, Clone)]
pub(super) struct Bottleneck {
    down: Linear,
    up: Linear,
}

impl Bottleneck {
    /// Reads both layers, each at its own name.
    pub(super) fn new(
        config: BottleneckConfig,
        down: VarBuilder<'_>,
        up: VarBuilder<'_>,
    ) -> Result<Self> {
        let BottleneckConfig { width, hidden, init } = config;
        let linear = |inputs, outputs, vb| match init {
            Some(init) => Linear::with_init(inputs, outputs, init, vb),
            None => Linear::new(inputs, outputs, vb),
        };
        Ok(Self { down: linear(width, hidden, down)?, up: linear(hidden, width, up)? })
    }

    /// `x [.., width]`, the same shape out.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.up.forward(&self.down.forward_with(x, Activation::Gelu.into())?)
    }
}
