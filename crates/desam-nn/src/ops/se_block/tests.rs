use super::*;
use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};

pub(super) struct Case {
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) side: (usize, usize),
}

impl Case {
    /// Input and kernels, these of a size that keeps the maps near one.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let Self { batch, inputs, outputs, side } = *self;
        let mut all = vec![
            random(1, &[batch, inputs, side.0, side.1]),
            random(2, &[outputs, inputs, 3, 3]),
            random(3, &[outputs, outputs, 3, 3]),
        ];
        if inputs != outputs {
            all.push(random(4, &[outputs, inputs, 1, 1]));
        }
        all
    }
}

pub(super) fn kernels(t: &[Tensor]) -> SeBlockKernels<'_> {
    SeBlockKernels { conv1: &t[0], conv2: &t[1], conv3: t.get(2) }
}

#[test]
fn agrees_with_the_definition_with_all_gradients() {
    // At least two inputs: the norm undoes the scale of a one-channel shortcut, so the gradient of
    // its kernel is what rounding leaves of zero.
    for (batch, inputs, outputs, side) in [
        (1, 3, 3, (5, 7)),
        (2, 4, 2, (8, 8)),
        (9, 2, 3, (4, 5)),
        (1, 17, 9, (33, 18)),
        (3, 2, 8, (2, 40)),
    ] {
        let case = Case { batch, inputs, outputs, side };
        compare(
            &case.tensors(),
            |t| se_block(&[&t[0]], kernels(&t[1..])),
            |t| plain(&[&t[0]], kernels(&t[1..])),
        );
    }
}

#[test]
fn two_inputs_are_the_block_of_their_concatenation() {
    let case = Case { batch: 2, inputs: 7, outputs: 5, side: (9, 11) };
    let mut tensors = case.tensors();
    let x = tensors.remove(0);
    tensors.insert(0, x.narrow(1, 0, 3).unwrap().contiguous().unwrap());
    tensors.insert(1, x.narrow(1, 3, 4).unwrap().contiguous().unwrap());
    compare(
        &tensors,
        |t| se_block(&[&t[0], &t[1]], kernels(&t[2..])),
        |t| plain(&[&t[0], &t[1]], kernels(&t[2..])),
    );
}

#[test]
fn the_tail_of_a_block_completes_its_first_convolutions() {
    let case = Case { batch: 2, inputs: 6, outputs: 4, side: (10, 9) };
    let t: Vec<Tensor> = case.tensors().iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect();
    let whole = se_block(&[&t[0]], kernels(&t[1..])).unwrap();
    let main = conv2d::conv2d(&t[0], &t[1], Conv2dConfig::same(3)).unwrap();
    let shortcut = conv2d::conv2d(&t[0], &t[3], Conv2dConfig::same(1)).unwrap();
    assert!(max_diff(&tail(&main, &shortcut, &t[2]).unwrap(), &whole) < 2e-5);
    let tracked = candle_core::Var::from_tensor(&t[2]).unwrap();
    let composed = tail(&main, &shortcut, tracked.as_tensor()).unwrap();
    assert!(max_diff(&composed, &whole) < 2e-5);
}

#[test]
fn a_second_backward_pass_gives_the_first_ones_bits() {
    let t: Vec<_> = Case { batch: 1, inputs: 4, outputs: 3, side: (6, 6) }
        .tensors()
        .iter()
        .map(|t| candle_core::Var::from_tensor(&t.to_dtype(DType::F32).unwrap()).unwrap())
        .collect();
    let k: Vec<Tensor> = t[1..].iter().map(|v| v.as_tensor().clone()).collect();
    let loss = se_block(&[t[0].as_tensor()], kernels(&k)).unwrap().sum_all().unwrap();
    let (one, two) = (loss.backward().unwrap(), loss.backward().unwrap());
    for v in &t {
        let (a, b) = (one.get(v.as_tensor()).unwrap(), two.get(v.as_tensor()).unwrap());
        assert_eq!(max_diff(a, b), 0.0);
    }
}

#[test]
fn only_what_is_tracked_gets_a_gradient() {
    let t: Vec<Tensor> = Case { batch: 1, inputs: 4, outputs: 3, side: (6, 6) }
        .tensors()
        .iter()
        .map(|t| t.to_dtype(DType::F32).unwrap())
        .collect();
    let conv1 = candle_core::Var::from_tensor(&t[1]).unwrap();
    let k = [conv1.as_tensor().clone(), t[2].clone(), t[3].clone()];
    let y = se_block(&[&t[0]], kernels(&k)).unwrap().sum_all().unwrap();
    let grads = y.backward().unwrap();
    assert!(grads.get(&t[0]).is_none() && grads.get(&t[2]).is_none());
    assert!(grads.get(conv1.as_tensor()).is_some());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let t = Case { batch: 1, inputs: 4, outputs: 3, side: (6, 6) }.tensors();
    let fewer = t[0].narrow(1, 0, 3).unwrap();
    assert!(se_block(&[&fewer], kernels(&t[1..])).is_err());
    let without = SeBlockKernels { conv3: None, ..kernels(&t[1..]) };
    assert!(se_block(&[&t[0]], without).is_err());
    let x = t[0].to_dtype(DType::F32).unwrap();
    let (a, b) = (x.narrow(1, 0, 2).unwrap(), x.narrow(1, 2, 2).unwrap());
    let k: Vec<Tensor> = t[1..].iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect();
    assert!(se_block(&[&a, &b.narrow(2, 0, 5).unwrap()], kernels(&k)).is_err());
    assert_eq!(se_block(&[&x.narrow(0, 0, 0).unwrap()], kernels(&k)).unwrap().dims()[0], 0);
}

#[test]
fn the_definitions_gradient() {
    check(&Case { batch: 1, inputs: 2, outputs: 1, side: (3, 4) }.tensors(), |t| {
        plain(&[&t[0]], kernels(&t[1..]))
    });
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let case = Case { batch: 3, inputs: 12, outputs: 8, side: (40, 36) };
    same_bits(&case.tensors(), |t| se_block(&[&t[0]], kernels(&t[1..])));
}
