use super::*;
use crate::ops::gradcheck::{check, compare, compare_kernels, random, same_bits};
use candle_core::{Device, Var};

const ACTIVATIONS: [Option<Activation>; 3] = [None, Some(Activation::Gelu), Some(Activation::Relu)];

fn of(t: &[Tensor]) -> Affine<'_> {
    Affine { weight: &t[1], bias: t.get(2) }
}

fn case(shape: &[usize], outputs: usize) -> [Tensor; 3] {
    let inputs = shape[shape.len() - 1];
    let scale = 1.0 / (inputs as f64).sqrt();
    let weight = (random(2, &[outputs, inputs]) * scale).unwrap();
    [random(1, shape), weight, random(3, &[outputs])]
}

#[test]
fn agrees_with_the_definition_forward_and_backward() {
    for (shape, outputs) in [
        (&[1usize, 1][..], 1usize),
        (&[5], 3),
        (&[9, 7, 13], 33),
        (&[1, 6, 256], 64),
        (&[2, 3, 4, 17], 5),
        (&[1100, 19], 40),
    ] {
        let all = case(shape, outputs);
        for activation in ACTIVATIONS {
            compare(
                &all,
                |t| linear(&t[0], of(t), activation),
                |t| plain(&t[0], of(t), activation),
            );
            compare(
                &all[..2],
                |t| linear(&t[0], of(t), activation),
                |t| plain(&t[0], of(t), activation),
            );
        }
    }
    for batch in 1..10 {
        let all = case(&[batch, 300, 8], 12);
        let relu = Some(Activation::Relu);
        compare(&all, |t| linear(&t[0], of(t), relu), |t| plain(&t[0], of(t), relu));
    }
}

#[test]
fn what_it_is_added_to_may_be_tracked_or_not() {
    for (shape, outputs) in [(&[1usize, 1][..], 1usize), (&[3, 50, 20], 37), (&[70, 8], 8)] {
        let mut to = shape.to_vec();
        to[shape.len() - 1] = outputs;
        let [x, weight, bias] = case(shape, outputs);
        let affine = |t: &'_ [Tensor]| plain(&t[0], Affine { weight: &t[1], bias: None }, None);
        // The same to all, where there is one of it.
        for first in [1, shape[0]] {
            to[0] = first;
            let all = [x.clone(), weight.clone(), random(4, &to), bias.clone()];
            compare(
                &all,
                |t| linear_added(&t[0], Affine { weight: &t[1], bias: Some(&t[3]) }, &t[2]),
                |t| affine(t)?.broadcast_add(&t[3])?.broadcast_add(&t[2]),
            );
            compare(
                &all[..3],
                |t| linear_added(&t[0], Affine { weight: &t[1], bias: None }, &t[2]),
                |t| affine(t)?.broadcast_add(&t[2]),
            );
        }
        let wrong = random(4, &to).unsqueeze(0).unwrap();
        assert!(linear_added(&x, Affine { weight: &weight, bias: None }, &wrong).is_err());
    }
    let [x, weight, _] = case(&[4, 6, 5], 3);
    let run =
        |to: &[usize]| linear_added(&x, Affine { weight: &weight, bias: None }, &random(4, to));
    assert!(run(&[2, 6, 3]).is_err() && run(&[4, 1, 3]).is_err() && run(&[6, 3]).is_err());
}

#[test]
fn takes_turned_input_and_nothing() {
    let all = [random(1, &[6, 5, 4]), random(2, &[7, 6]), random(3, &[7])];
    let turned = |t: &[Tensor]| t[0].transpose(0, 2);
    compare(&all, |t| linear(&turned(t)?, of(t), None), |t| plain(&turned(t)?, of(t), None));
    let x = Var::zeros((3, 0, 6), DType::F32, &Device::Cpu).unwrap();
    let weight = Var::zeros((7, 6), DType::F32, &Device::Cpu).unwrap();
    let affine = Affine { weight: &weight, bias: None };
    let y = linear(&x, affine, Some(Activation::Relu)).unwrap();
    assert_eq!(y.dims(), &[3, 0, 7]);
    let grads = y.sum_all().unwrap().backward().unwrap();
    let sum = grads.get(&weight).unwrap().sum_all().unwrap();
    assert_eq!(sum.to_scalar::<f32>().unwrap(), 0.0);
}

#[test]
fn refuses_what_does_not_fit() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (weight, bias) = (zeros(&[7, 6]), zeros(&[6]));
    assert!(linear(&zeros(&[3, 5]), Affine { weight: &weight, bias: None }, None).is_err());
    assert!(linear(&zeros(&[]), Affine { weight: &weight, bias: None }, None).is_err());
    assert!(linear(&zeros(&[3, 6]), Affine { weight: &weight, bias: Some(&bias) }, None).is_err());
    assert!(linear(&zeros(&[3, 6]), Affine { weight: &bias, bias: None }, None).is_err());
}

#[test]
fn a_sum_refuses_what_does_not_fit_tracked_or_not() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (weight, to) = (zeros(&[2, 3]), zeros(&[5, 2]));
    let tracked = Var::from_tensor(&weight).unwrap();
    for weight in [&weight, tracked.as_tensor()] {
        let run = |inputs, biases| {
            let bias = zeros(&[biases]);
            linear_added(&zeros(&[5, inputs]), Affine { weight, bias: Some(&bias) }, &to)
        };
        assert!(run(3, 2).is_ok());
        // Numbers of weight and biases, 2 · 3 + 2, that 2 outputs of 4 inputs have too; likewise
        // 2 · 3 + 4 and 5 inputs.
        assert!(run(4, 2).is_err() && run(5, 4).is_err() && run(3, 4).is_err());
    }
}

#[test]
fn what_is_not_tracked_gets_no_gradient() {
    let all = case(&[4, 6], 5).map(|t| t.to_dtype(DType::F32).unwrap());
    for tracked in 0..3 {
        let mut all = all.clone();
        all[tracked] = Var::from_tensor(&all[tracked]).unwrap().into_inner();
        let y = linear(&all[0], of(&all), Some(Activation::Relu)).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        for (i, t) in all.iter().enumerate() {
            assert_eq!(grads.get(t).is_some(), i == tracked);
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    for rows in [7, 300, 2100] {
        same_bits(&case(&[rows, 96], 160), |t| linear(&t[0], of(t), Some(Activation::Relu)));
    }
}

#[test]
fn gradients() {
    for activation in ACTIVATIONS {
        check(&case(&[2, 3, 4], 5), |t| plain(&t[0], of(t), activation));
    }
}

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
            for activation in ACTIVATIONS {
                for inputs in [&all[..], &all[..2]] {
                    // Tracked or not, GELU goes another way.
                    for tracked in [true, false] {
                        compare_kernels(
                            inputs,
                            |t| linear(&t[0], of(t), activation),
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
            |t| linear(&part(&t[0])?, of(t), None),
            |t| plain(&part(&t[0])?, of(t), None),
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
        let y = linear(&x, affine, Some(Activation::Relu))?;
        let y = linear_added(&x, affine, &y)?;
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
            let product = |t: &[Tensor]| plain(&t[0], Affine { weight: &t[1], bias: None }, None);
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
                                let y = linear_added(&t[0], affine, &to(t)?)?;
                                assert_eq!(y.dtype(), to(t)?.dtype());
                                Ok(y)
                            },
                            |t| product(t)?.broadcast_add(&t[3])?.broadcast_add(&t[2]),
                            (dtype, limit, tracked),
                        );
                    }
                    compare_kernels(
                        &all[..3],
                        |t| linear_added(&t[0], Affine { weight: &t[1], bias: None }, &to(t)?),
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
        let relu = linear(&x, affine, Some(Activation::Relu))?;
        let sum = linear_added(&x, affine, &to)?;
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
            Ok(vec![linear(&zeros(x)?, Affine { weight: &weight, bias: Some(&bias) }, None)?])
        })
    };
    if let Ok(None) = run(&[3, 6], &[7, 6], &[7]) {
        return println!("skipped: there was no C++ compiler");
    }
    assert!(run(&[3, 6], &[7, 6], &[7]).is_ok());
    assert!(run(&[3, 5], &[7, 6], &[7]).is_err() && run(&[], &[7, 6], &[7]).is_err());
    assert!(run(&[3, 6], &[7, 6], &[6]).is_err() && run(&[3, 6], &[6], &[6]).is_err());
}
