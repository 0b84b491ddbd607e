//! The kernel against candle's sums in f64, emulated.

use super::*;
use candle_core::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Uniform numbers in [-1, 1), f64.
fn random(shape: &[usize]) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let numbers = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0));
    Tensor::from_vec(numbers.collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
}

/// `sums` of `x` in type `dtype` against candle's sums over its rows in f64. A sum's error grows with
/// the number of its terms; results are relative to the largest number, or to 1, and stay below 100.
fn compare(x: &Tensor, dtype: DType, sums: impl Fn(&Tensor) -> Result<Tensor>) {
    let x = x.to_dtype(dtype).unwrap();
    let Some(found) = crate::emulated(|| Ok(vec![sums(&x)?])).unwrap() else {
        return println!("skipped: kernels are not emulated, there was no C++ compiler");
    };
    let expected = x.to_dtype(DType::F64).unwrap().sum(0).unwrap();
    assert_eq!(found[0].dims(), expected.dims());
    let numbers = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    let (found, expected) = (numbers(&found[0]), numbers(&expected));
    let size = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() / size < 2e-5, "{dtype:?} {:?}: {a} {b}", x.dims());
    }
}

#[test]
fn kernels_give_the_sums() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for (rows, width) in
            [(1, 1), (3, 5), (257, 4), (70, 128), (9, 131), (600, 36), (0, 7), (3, 0)]
        {
            compare(&random(&[rows, width]), dtype, |x| of_columns(x, width));
        }
    }
    // More chunks than one block adds up.
    let x = random(&[ROWS * ROWS + 1, 1]).narrow(0, 1, ROWS * ROWS).unwrap();
    compare(&x, DType::F32, |x| of_columns(x, 1));
}

#[test]
fn kernels_refuse_what_is_no_matrix() {
    let x = random(&[7]).to_dtype(DType::F32).unwrap();
    let run = |width| crate::emulated(|| Ok(vec![of_columns(&x, width)?]));
    if let Ok(None) = run(7) {
        return println!("skipped: there was no C++ compiler");
    }
    assert!(run(7).is_ok() && run(2).is_err() && run(0).is_err());
}
