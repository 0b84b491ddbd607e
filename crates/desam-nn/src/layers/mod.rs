//! Parameters with an op, built from a `VarBuilder` under the names the official program uses.
//!
//! Parameters that are not in the checkpoint are drawn as PyTorch draws them.

mod attention;
mod conv;
mod linear;
mod mlp;
mod norm;

pub use attention::{Attention, AttentionConfig, KeysAndValues};
pub use conv::{Conv2d, ConvTranspose2x2};
pub use linear::Linear;
pub use mlp::{Mlp, MlpBlock};
pub use norm::{LayerNorm, LayerNorm2d};

pub use crate::ops::linear::{Activation, Normed};
use candle_nn::Init;

/// PyTorch's default for weights and biases alike: uniform in ±1/√fan-in (its
/// `kaiming_uniform_(a=√5)` comes to the same bound).
pub fn fan_in_uniform(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}
