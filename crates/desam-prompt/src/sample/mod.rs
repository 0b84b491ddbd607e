//! Samplers of training prompts from a slice's ground truth.

mod bbox;
mod point;

pub use bbox::BoxSampler;
pub use point::PointSampler;
