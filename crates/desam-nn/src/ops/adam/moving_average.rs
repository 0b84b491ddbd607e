//! The operands of an exponential moving average.

use candle_core::Tensor;

/// An exponential moving average and the parameter it follows, of one shape.
#[derive(Debug)]
pub struct MovingAverage<'a> {
    /// The average: changed in place, or replaced.
    pub mean: &'a mut Tensor,
    /// The parameter.
    pub value: &'a Tensor,
}
