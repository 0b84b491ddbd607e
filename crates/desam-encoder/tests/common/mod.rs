//! Helpers that the integration tests share.

use candle_core::Tensor;

/// Shape and bits, for exact comparison.
pub(crate) fn exact(t: &Tensor) -> (Vec<usize>, Vec<u32>) {
    let flat = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (t.dims().to_vec(), flat.into_iter().map(f32::to_bits).collect())
}
