use super::*;
use crate::ops::gradcheck::{check, compare, random, same_bits};
use crate::ops::layer_norm::{self, NormParameters};
use candle_core::{Device, Var};

pub(super) const ACTIVATIONS: [Activation; 3] =
    [Activation::Identity, Activation::Gelu, Activation::Relu];

pub(super) fn of(t: &[Tensor]) -> Affine<'_> {
    Affine { weight: &t[1], bias: t.get(2) }
}

pub(super) fn case(shape: &[usize], outputs: usize) -> [Tensor; 3] {
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
                |t| linear(&t[0], of(t), activation.into()),
                |t| plain(&t[0], of(t), activation),
            );
            compare(
                &all[..2],
                |t| linear(&t[0], of(t), activation.into()),
                |t| plain(&t[0], of(t), activation),
            );
        }
    }
    for batch in 1..10 {
        let all = case(&[batch, 300, 8], 12);
        let relu = Activation::Relu;
        compare(&all, |t| linear(&t[0], of(t), relu.into()), |t| plain(&t[0], of(t), relu));
    }
}

#[test]
fn a_residual_may_be_tracked_or_not() {
    for (shape, outputs) in [(&[1usize, 1][..], 1usize), (&[3, 50, 20], 37), (&[70, 8], 8)] {
        let mut to = shape.to_vec();
        to[shape.len() - 1] = outputs;
        let [x, weight, bias] = case(shape, outputs);
        let affine = |t: &'_ [Tensor]| {
            plain(&t[0], Affine { weight: &t[1], bias: None }, Activation::Identity)
        };
        // The same to all, where there is one of it.
        for first in [1, shape[0]] {
            to[0] = first;
            let all = [x.clone(), weight.clone(), random(4, &to), bias.clone()];
            compare(
                &all,
                |t| {
                    linear(&t[0], Affine { weight: &t[1], bias: Some(&t[3]) }, Epilogue::add(&t[2]))
                },
                |t| affine(t)?.broadcast_add(&t[3])?.broadcast_add(&t[2]),
            );
            compare(
                &all[..3],
                |t| linear(&t[0], Affine { weight: &t[1], bias: None }, Epilogue::add(&t[2])),
                |t| affine(t)?.broadcast_add(&t[2]),
            );
        }
        let wrong = random(4, &to).unsqueeze(0).unwrap();
        assert!(linear(&x, Affine { weight: &weight, bias: None }, Epilogue::add(&wrong)).is_err());
    }
    let [x, weight, _] = case(&[4, 6, 5], 3);
    let run = |to: &[usize]| {
        linear(&x, Affine { weight: &weight, bias: None }, Epilogue::add(&random(4, to)))
    };
    assert!(run(&[2, 6, 3]).is_err() && run(&[4, 1, 3]).is_err() && run(&[6, 3]).is_err());
}

#[test]
fn takes_transposed_and_empty_input() {
    let all = [random(1, &[6, 5, 4]), random(2, &[7, 6]), random(3, &[7])];
    let transposed = |t: &[Tensor]| t[0].transpose(0, 2);
    compare(
        &all,
        |t| linear(&transposed(t)?, of(t), Epilogue::default()),
        |t| plain(&transposed(t)?, of(t), Activation::Identity),
    );
    let x = Var::zeros((3, 0, 6), DType::F32, &Device::Cpu).unwrap();
    let weight = Var::zeros((7, 6), DType::F32, &Device::Cpu).unwrap();
    let affine = Affine { weight: &weight, bias: None };
    let y = linear(&x, affine, Activation::Relu.into()).unwrap();
    assert_eq!(y.dims(), &[3, 0, 7]);
    let grads = y.sum_all().unwrap().backward().unwrap();
    let sum = grads.get(&weight).unwrap().sum_all().unwrap();
    assert_eq!(sum.to_scalar::<f32>().unwrap(), 0.0);
}

#[test]
fn refuses_what_does_not_fit() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (weight, bias) = (zeros(&[7, 6]), zeros(&[6]));
    assert!(
        linear(&zeros(&[3, 5]), Affine { weight: &weight, bias: None }, Epilogue::default())
            .is_err()
    );
    assert!(
        linear(&zeros(&[]), Affine { weight: &weight, bias: None }, Epilogue::default()).is_err()
    );
    assert!(
        linear(&zeros(&[3, 6]), Affine { weight: &weight, bias: Some(&bias) }, Epilogue::default())
            .is_err()
    );
    assert!(
        linear(&zeros(&[3, 6]), Affine { weight: &bias, bias: None }, Epilogue::default()).is_err()
    );
}

#[test]
fn a_residual_of_another_shape_is_refused_tracked_or_not() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (weight, to) = (zeros(&[2, 3]), zeros(&[5, 2]));
    let tracked = Var::from_tensor(&weight).unwrap();
    for weight in [&weight, tracked.as_tensor()] {
        let run = |inputs, biases| {
            let bias = zeros(&[biases]);
            let affine = Affine { weight, bias: Some(&bias) };
            linear(&zeros(&[5, inputs]), affine, Epilogue::add(&to))
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
        let y = linear(&all[0], of(&all), Activation::Relu.into()).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        for (i, t) in all.iter().enumerate() {
            assert_eq!(grads.get(t).is_some(), i == tracked);
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    for rows in [7, 300, 2100] {
        same_bits(&case(&[rows, 96], 160), |t| linear(&t[0], of(t), Activation::Relu.into()));
    }
}

#[test]
fn activation_residual_and_norm_follow_each_other_in_this_order() {
    let [x, weight, bias] = case(&[2, 20, 6], 5);
    for (activation, first) in ACTIVATIONS.into_iter().flat_map(|a| [(a, 1), (a, 2)]) {
        let all = [x.clone(), weight.clone(), bias.clone(), random(4, &[first, 20, 5])];
        let all = [&all[..], &[random(5, &[5]), random(6, &[5])]].concat();
        let sum = |t: &[Tensor]| plain(&t[0], of(&t[..3]), activation)?.broadcast_add(&t[3]);
        let epilogue = |t: &'_ [Tensor]| {
            let norm = NormParameters { weight: &t[4], bias: &t[5], eps: 1e-5 };
            let epilogue = Epilogue { activation, ..Epilogue::add_norm(&t[3], norm) };
            linear_with_sum(&t[0], of(&t[..3]), epilogue)
        };
        compare(
            &all,
            |t| Ok(epilogue(t)?.normed),
            |t| layer_norm::plain(&sum(t)?, &t[4], &t[5], 1e-5),
        );
        compare(
            &all[..4],
            |t| {
                let epilogue = Epilogue { activation, ..Epilogue::add(&t[3]) };
                linear(&t[0], of(&t[..3]), epilogue)
            },
            sum,
        );
    }
}

#[test]
fn gradients() {
    for activation in ACTIVATIONS {
        check(&case(&[2, 3, 4], 5), |t| plain(&t[0], of(t), activation));
    }
}
