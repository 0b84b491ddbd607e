//! The length of gradients.

use crate::ops::matmul::{Real, dense};
use crate::ops::vector::CHUNK;
use candle_core::{DType, Result, Storage, Tensor, bail};
use rayon::prelude::*;

/// Sum of the squares of all numbers, in double precision: chunk by chunk in their order, so that
/// its bits do not depend on the threads. Other types and devices than f32 and f64 on the CPU take
/// elementary ops.
///
/// # Errors
/// When a tensor operation fails.
pub fn square_sum(tensor: &Tensor) -> Result<f64> {
    match (tensor.device().is_cpu(), tensor.dtype()) {
        (true, DType::F32) => on_cpu::<f32>(&tensor.contiguous()?),
        (true, DType::F64) => on_cpu::<f64>(&tensor.contiguous()?),
        _ => plain(tensor),
    }
}

/// The same of all numbers of all tensors: their sums in order; on a GPU in two launches for f32,
/// in double precision too, block by block.
///
/// # Errors
/// When a tensor operation fails.
pub fn square_sum_all(tensors: &[&Tensor]) -> Result<f64> {
    #[cfg(feature = "kernels")]
    if let Some(sum) = super::gpu::square_sum(tensors)? {
        return Ok(sum);
    }
    tensors.iter().try_fold(0.0, |sum, tensor| Ok(sum + square_sum(tensor)?))
}

/// The same in elementary ops: the reference.
fn plain(tensor: &Tensor) -> Result<f64> {
    tensor.detach().to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar()
}

fn on_cpu<T: Real>(tensor: &Tensor) -> Result<f64> {
    let (storage, layout) = tensor.storage_and_layout();
    let numbers: &[T] = match &*storage {
        Storage::Cpu(storage) => dense((storage, layout))?,
        _ => bail!("square sum: the tensor is not on the CPU"),
    };
    let squares = |chunk: &[T]| chunk.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>();
    let sums: Vec<f64> = numbers.par_chunks(CHUNK).map(squares).collect();
    Ok(sums.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::random;

    #[test]
    fn the_sum_is_the_elementary_ops() {
        // Sums of the same squares in another order: as many roundings as there are numbers.
        for shape in [&[1usize][..], &[0, 3], &[7, 5], &[3, 8192], &[2, 3, 5, 1001]] {
            for dtype in [DType::F32, DType::F64] {
                let tensor = random(3, shape).to_dtype(dtype).unwrap();
                let expected = if tensor.elem_count() == 0 { 0.0 } else { plain(&tensor).unwrap() };
                let close = f64::EPSILON * tensor.elem_count() as f64 * expected;
                let turned = tensor.t().unwrap_or_else(|_| tensor.clone());
                for tensor in [&tensor, &turned] {
                    let found = square_sum(tensor).unwrap();
                    assert!((found - expected).abs() <= close, "{dtype:?} {shape:?}: {found}");
                }
            }
        }
        // By hand.
        let tensor = Tensor::new(&[3f32, -4.0], &candle_core::Device::Cpu).unwrap();
        assert_eq!(square_sum(&tensor).unwrap(), 25.0);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        let tensor = random(1, &[100_001]).to_dtype(DType::F32).unwrap();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| square_sum(&tensor)).unwrap().to_bits()
        };
        assert!(on(1) == on(2) && on(1) == on(7));
    }
}
