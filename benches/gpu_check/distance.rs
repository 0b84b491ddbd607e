//! How far apart two tensors are.

use crate::Result;
use desam::candle::{self, DType, Device, Tensor};

/// How far `found` is from `expected`: the largest difference next to the largest number or 1, or
/// ‖a − b‖ / ‖b‖.
pub(crate) fn apart(found: &Tensor, expected: &Tensor, distance: bool) -> Result<f64> {
    let numbers = |t: &Tensor| -> candle::Result<Vec<f64>> {
        t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
    };
    let (found, expected) = (numbers(found)?, numbers(expected)?);
    let (mut largest, mut size, mut squares, mut all) = (0.0f64, 1.0f64, 0.0f64, 0.0f64);
    for (a, b) in found.iter().zip(&expected) {
        let difference = (a - b).abs();
        if difference.is_nan() {
            return Ok(f64::NAN);
        }
        largest = largest.max(difference);
        size = size.max(b.abs());
        squares += difference * difference;
        all += b * b;
    }
    Ok(if !distance {
        largest / size
    } else if squares == 0.0 {
        0.0
    } else {
        (squares / all).sqrt()
    })
}
