//! Optimization: Adam, gradient clipping, exponential moving average of the parameters.

mod adam;
mod clip;
mod ema;

pub use adam::{Adam, AdamConfig, Moments};
pub(super) use clip::clip_scale;
pub use clip::gradient_norm;
pub(super) use ema::ParameterAverage;
