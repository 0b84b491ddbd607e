//! The kernels against the CPU, emulated.

use super::tests::tuned;
use super::*;
use crate::ops::gradcheck::{max_diff, random};

/// Parameters of sizes below, at and beyond a block's 4096 numbers, one of them empty.
const SHAPES: [&[usize]; 6] = [&[1], &[0, 3], &[7, 5], &[4096], &[2, 3, 5, 1001], &[4097, 2]];

/// Gradients of step `i`; the last begins off the multiples of 16 bytes, the one before is transposed.
fn gradients(i: u32) -> Vec<Tensor> {
    let gradient = |(n, shape): (usize, &&[usize])| {
        let seed = u64::from(i) * 10 + n as u64;
        let single = |shape: &[usize]| random(seed, shape).to_dtype(DType::F32).unwrap();
        match n {
            4 => single(&[1001, 3, 5, 2]).transpose(0, 3).unwrap(),
            5 => single(&[4097 * 2 + 1]).narrow(0, 1, 4097 * 2).unwrap().reshape(*shape).unwrap(),
            _ => single(shape),
        }
    };
    SHAPES.iter().enumerate().map(gradient).collect()
}

/// Three steps of all parameters at once, then their moments, the gradients' length and the means
/// that followed.
fn run_all() -> Result<Vec<Tensor>> {
    let start = |shape: &&[usize]| random(1, shape).to_dtype(DType::F32);
    let vars: Vec<Var> =
        SHAPES.iter().map(|s| Var::from_tensor(&start(s)?)).collect::<Result<_>>()?;
    let mut moments: Vec<Moments> =
        vars.iter().map(|v| Moments::zeros(v)).collect::<Result<_>>()?;
    let mut means: Vec<Tensor> =
        vars.iter().map(|v| v.as_tensor().copy()).collect::<Result<_>>()?;
    let mut lengths = Vec::new();
    for i in 1..4 {
        let grads = gradients(i);
        lengths.push(square_sum_all(&grads.iter().collect::<Vec<_>>())?);
        let each = vars.iter().zip(&grads).zip(&mut moments);
        let mut parameters: Vec<Parameter<'_>> =
            each.map(|((var, grad), moments)| Parameter { var, grad, moments }).collect();
        tuned(i).apply_all(&mut parameters)?;
        let each = means.iter_mut().zip(&vars);
        let mut means: Vec<MovingAverage<'_>> =
            each.map(|(mean, var)| MovingAverage { mean, value: var.as_tensor() }).collect();
        follow_all(&mut means, 0.3)?;
    }
    let mut all = vec![Tensor::new(lengths, &candle_core::Device::Cpu)?];
    all.extend(vars.into_iter().map(Var::into_inner));
    all.extend(moments.into_iter().flat_map(|m| [m.first, m.second]));
    all.extend(means);
    Ok(all)
}

#[test]
fn kernels_have_the_bits_of_the_cpu() {
    let Some(found) = crate::gpu::emulated(run_all).unwrap() else {
        println!("skipped: kernels are not emulated, there was no C++ compiler");
        return;
    };
    let expected = run_all().unwrap();
    assert_eq!(found.len(), expected.len());
    // Sums of the same squares, which are exact, in another order: a rounding a number at most.
    let numbers: usize = SHAPES.iter().map(|s| s.iter().product::<usize>()).sum();
    let length = |all: &[Tensor]| all[0].to_vec1::<f64>().unwrap();
    for (a, b) in length(&found).into_iter().zip(length(&expected)) {
        assert!((a - b).abs() <= f64::EPSILON * numbers as f64 * b, "{a} {b}");
    }
    for (i, (a, b)) in found.iter().zip(&expected).enumerate().skip(1) {
        assert_eq!(max_diff(a, b), 0.0, "result {i}");
    }
}
