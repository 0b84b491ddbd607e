//! Layers: parameters with an op, built from a `VarBuilder` under the names of the official program.
//!
//! Parameters that are not in the checkpoint are initialised as in PyTorch.

mod attention;
mod conv;
mod linear;
mod mlp;
mod norm;
mod position;

pub use attention::{Attention, AttentionConfig, AttentionInputs, KeysAndValues, PositionedImage};
pub use conv::{Conv2d, Conv2dLayerConfig, ConvTranspose2x2, ConvTranspose2x2Config};
pub use linear::{Linear, LinearInit};
pub use mlp::{Mlp, MlpBlock};
pub use norm::{LayerNorm, LayerNorm2d};
pub use position::FourierPosition;

pub use crate::ops::linear::{Activation, Epilogue, SumAndNorm};
use candle_nn::Init;

/// PyTorch's default initialisation of weights and biases: uniform in ±1/√fan-in (its
/// `kaiming_uniform_(a=√5)` gives the same bound).
pub fn fan_in_uniform(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}
