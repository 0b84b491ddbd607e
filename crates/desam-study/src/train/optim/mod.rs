//! Optimization: Adam and AdamW, gradient clipping, a learning-rate schedule, exponential moving average of the parameters.

mod adam;
mod adapter;
mod clip;
mod ema;
mod warmup_poly;

pub use adam::{Adam, AdamConfig, Moments};
pub use adapter::AdapterOptimizer;
pub(super) use clip::clip_scale;
pub use clip::gradient_norm;
pub(super) use ema::ParameterAverage;
pub use warmup_poly::WarmupPoly;
