use super::tests::{ACTIVATIONS, case, of};
use super::*;
use crate::ops::gradcheck::{compare_kernels, random};
use crate::ops::layer_norm;
use crate::ops::layer_norm::NormParameters;
use candle_core::{Device, Var};

/// f32 as on the CPU. In bf16 and f16 the product is rounded once, the result once more, and the
/// gradient of the result before it is multiplied; numbers stay below 4 times the largest or 1.
const LIMITS: [(DType, f64); 3] = [(DType::F32, 2e-5), (DType::BF16, 2e-2), (DType::F16, 3e-3)];

#[test]
fn kernels_agree_with_the_definition_forward_and_backward() {
    for (dtype, limit) in LIMITS {
        for (shape, outputs) in [
            (&[1usize, 1][..], 1usize),
            (&[5], 3),
            (&[3, 7, 13], 36),
            (&[1, 6, 64], 132),
            (&[2, 3, 4, 17], 5),
            (&[70, 19], 40),
        ] {
            let all = case(shape, outputs);
            // A rectifier's gradient depends on a sign, which rounding may change near zero: biases
            // of ±4 keep away from it.
            let far = (all[2].ge(0.0).unwrap().to_dtype(DType::F64).unwrap() * 8.0).unwrap();
            let far = [all[0].clone(), all[1].clone(), (far - 4.0).unwrap()];
            for activation in ACTIVATIONS {
                let near = dtype == DType::F32 || activation != Activation::Relu;
                let all = if near { &all } else { &far };
                for (inputs, exact) in [(&all[..], true), (&all[..2], near)] {
                    // Tracked or not, GELU goes another way.
                    for tracked in [exact, false] {
                        compare_kernels(
                            inputs,
                            |t| linear(&t[0], of(t), activation.into()),
                            |t| plain(&t[0], of(t), activation),
                            (dtype, limit, tracked),
                        );
                    }
                }
            }
        }
        let part = |t: &Tensor| t.narrow(0, 1, 3)?.transpose(0, 2);
        compare_kernels(
            &[random(1, &[4, 5, 4]), random(2, &[7, 3]), random(3, &[7])],
            |t| linear(&part(&t[0])?, of(t), Epilogue::default()),
            |t| plain(&part(&t[0])?, of(t), Activation::Identity),
            (dtype, limit, true),
        );
    }
}

#[test]
fn kernels_take_nothing() {
    let zeros = |shape: &[usize]| Var::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, weight, bias) = (zeros(&[3, 0, 6]), zeros(&[7, 6]), zeros(&[7]));
    let all = crate::gpu::emulated(|| {
        let affine = Affine { weight: &weight, bias: Some(&bias) };
        let y = linear(&x, affine, Activation::Relu.into())?;
        let y = linear(&x, affine, Epilogue::add(&y))?;
        let grads = y.sum_all()?.backward()?;
        let of = |v: &Var| grads.get(v).unwrap().clone();
        Ok(vec![y.detach(), of(&weight), of(&bias)])
    });
    let Some(all) = all.unwrap() else {
        return println!("skipped: kernels are not emulated, there was no C++ compiler");
    };
    assert_eq!(all[0].dims(), &[3, 0, 7]);
    for grad in &all[1..] {
        assert_eq!(grad.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}

#[test]
fn kernels_add_what_is_tracked_or_not() {
    for (dtype, limit) in LIMITS {
        for (shape, outputs) in [(&[1usize, 1][..], 1usize), (&[3, 50, 20], 37), (&[70, 8], 132)] {
            let mut to = shape.to_vec();
            to[shape.len() - 1] = outputs;
            let [x, weight, bias] = case(shape, outputs);
            let product = |t: &[Tensor]| {
                plain(&t[0], Affine { weight: &t[1], bias: None }, Activation::Identity)
            };
            for first in [1, shape[0]] {
                to[0] = first;
                let all = [x.clone(), weight.clone(), random(4, &to), bias.clone()];
                // `to` as it is, or wider than x.
                for wide in [false, true] {
                    let to = |t: &[Tensor]| match wide {
                        true => t[2].to_dtype(DType::F32),
                        false => Ok(t[2].clone()),
                    };
                    for tracked in [true, false] {
                        compare_kernels(
                            &all,
                            |t| {
                                let affine = Affine { weight: &t[1], bias: Some(&t[3]) };
                                let y = linear(&t[0], affine, Epilogue::add(&to(t)?))?;
                                assert_eq!(y.dtype(), to(t)?.dtype());
                                Ok(y)
                            },
                            |t| product(t)?.broadcast_add(&t[3])?.broadcast_add(&t[2]),
                            (dtype, limit, tracked),
                        );
                    }
                    compare_kernels(
                        &all[..3],
                        |t| {
                            linear(
                                &t[0],
                                Affine { weight: &t[1], bias: None },
                                Epilogue::add(&to(t)?),
                            )
                        },
                        |t| product(t)?.broadcast_add(&t[2]),
                        (dtype, limit, true),
                    );
                }
            }
        }
    }
}

#[test]
fn parameters_may_be_wider_and_get_gradients_of_their_own_type() {
    let case = case(&[9, 12], 8).map(|t| t.to_dtype(DType::F32).unwrap());
    let to = random(4, &[9, 8]).to_dtype(DType::F32).unwrap();
    let x = case[0].to_dtype(DType::BF16).unwrap();
    let [weight, bias] = [1, 2].map(|i| Var::from_tensor(&case[i]).unwrap());
    let affine = Affine { weight: &weight, bias: Some(&bias) };
    let run = || {
        let relu = linear(&x, affine, Activation::Relu.into())?;
        let sum = linear(&x, affine, Epilogue::add(&to))?;
        assert_eq!((relu.dtype(), sum.dtype()), (DType::BF16, DType::F32));
        let grads = (relu.to_dtype(DType::F32)? + &sum)?.sum_all()?.backward()?;
        let of = |v: &Var| grads.get(v).unwrap().clone();
        Ok(vec![relu.detach(), sum.detach(), of(&weight), of(&bias)])
    };
    let expected = run().unwrap();
    let Some(found) = crate::gpu::emulated(run).unwrap() else {
        return println!("skipped: kernels are not emulated, there was no C++ compiler");
    };
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.dtype(), if i == 0 { DType::BF16 } else { DType::F32 });
        // Both ways round to bf16 in other places; gradients are sums of 9 numbers up to 2.
        let error = crate::ops::gradcheck::max_diff(found, expected);
        assert!(error < if i < 2 { 2e-2 } else { 8e-2 }, "result {i}: {error}");
    }
}

#[test]
fn kernels_refuse_what_does_not_fit() {
    let run = |x: &[usize], weight: &[usize], bias: &[usize]| {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        crate::gpu::emulated(|| {
            let (weight, bias) = (zeros(weight)?, zeros(bias)?);
            Ok(vec![linear(
                &zeros(x)?,
                Affine { weight: &weight, bias: Some(&bias) },
                Epilogue::default(),
            )?])
        })
    };
    if let Ok(None) = run(&[3, 6], &[7, 6], &[7]) {
        return println!("skipped: there was no C++ compiler");
    }
    assert!(run(&[3, 6], &[7, 6], &[7]).is_ok());
    assert!(run(&[3, 5], &[7, 6], &[7]).is_err() && run(&[], &[7, 6], &[7]).is_err());
    assert!(run(&[3, 6], &[7, 6], &[6]).is_err() && run(&[3, 6], &[6], &[6]).is_err());
}

#[test]
fn a_sum_and_its_norm_are_one_pass() {
    for (dtype, limit) in LIMITS {
        for (shape, outputs, first) in
            [(&[2usize, 5, 20][..], 37, 2), (&[3, 4, 8], 260, 1), (&[1, 3, 4], 772, 1)]
        {
            let [x, weight, bias] = case(shape, outputs);
            let to = random(4, &[first, shape[1], outputs]);
            let all = [x, weight, bias, to, random(5, &[outputs]), random(6, &[outputs])];
            let norm = |t: &[Tensor]| layer_norm::plain(&t[0], &t[1], &t[2], 1e-6);
            let sum =
                |t: &[Tensor]| plain(&t[0], of(t), Activation::Identity)?.broadcast_add(&t[3]);
            let plain = |t: &[Tensor]| norm(&[sum(t)?, t[4].clone(), t[5].clone()]);
            // The norm's numbers are up to 4, the product's first rounding is taken along.
            for (tracked, wide) in [(false, false), (false, true), (true, false)] {
                let to = |t: &[Tensor]| match wide {
                    true => t[3].to_dtype(DType::F32),
                    false => Ok(t[3].clone()),
                };
                let both = |t: &[Tensor], to: &Tensor| {
                    let norm = NormParameters { weight: &t[4], bias: &t[5], eps: 1e-6 };
                    let epilogue = Epilogue { dtype: Some(dtype), ..Epilogue::add_norm(to, norm) };
                    linear_with_sum(&t[0], of(&t[..3]), epilogue)
                };
                let with = (dtype, limit, tracked);
                let normed = |t: &[Tensor]| Ok(both(t, &to(t)?)?.normed);
                compare_kernels(&all, normed, plain, with);
                let added = |t: &[Tensor]| {
                    let sum = both(t, &to(t)?)?.sum;
                    assert_eq!(sum.dtype(), to(t)?.dtype());
                    Ok(sum)
                };
                compare_kernels(&all, added, sum, (dtype, limit, false));
                let alone = |t: &[Tensor]| {
                    let norm = NormParameters { weight: &t[4], bias: &t[5], eps: 1e-6 };
                    linear(&t[0], of(&t[..3]), Epilogue::add_norm(&to(t)?, norm))
                };
                compare_kernels(&all, alone, plain, with);
            }
        }
    }
}
