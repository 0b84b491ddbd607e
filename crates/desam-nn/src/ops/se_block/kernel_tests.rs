use super::tests::{Case, kernels};
use super::{SeBlockKernels, finish, plain, se_block};
use crate::gpu::emulated;
use crate::ops::conv2d::{self, Conv2dConfig};
use crate::ops::gradcheck::{compare_kernels, max_diff, random};
use candle_core::{DType, Device, Result, Tensor, Var};

#[test]
fn kernels_agree_with_the_definition_with_all_gradients() {
    // The last has planes of two parts.
    for (batch, inputs, outputs, side) in [
        (1, 3, 3, (5, 7)),
        (3, 4, 2, (8, 8)),
        (2, 2, 3, (4, 5)),
        (1, 9, 5, (11, 18)),
        (1, 2, 2, (64, 66)),
    ] {
        compare_kernels(
            &Case { batch, inputs, outputs, side }.tensors(),
            |t| se_block(&[&t[0]], kernels(&t[1..])),
            |t| plain(&[&t[0]], kernels(&t[1..])),
            (DType::F32, 2e-5, true),
        );
    }
}

#[test]
fn kernels_read_two_parts_turned_parts_and_parts_of_tensors() {
    let case = Case { batch: 2, inputs: 7, outputs: 5, side: (6, 8) };
    let mut tensors = case.tensors();
    let x = tensors.remove(0);
    // Of these channels 1 to 4 are read, the sides exchanged.
    tensors.insert(0, random(7, &[2, 5, 8, 6]));
    tensors.insert(1, x.narrow(1, 3, 4).unwrap().contiguous().unwrap());
    fn parts(t: &[Tensor]) -> Result<[Tensor; 2]> {
        Ok([t[0].narrow(1, 1, 3)?.transpose(2, 3)?, t[1].clone()])
    }
    compare_kernels(
        &tensors,
        |t| parts(t).and_then(|[a, b]| se_block(&[&a, &b], kernels(&t[2..]))),
        |t| parts(t).and_then(|[a, b]| plain(&[&a, &b], kernels(&t[2..]))),
        (DType::F32, 2e-5, true),
    );
    let mut identity = Case { batch: 1, inputs: 4, outputs: 4, side: (5, 4) }.tensors();
    let x = identity.remove(0);
    identity.insert(0, x.narrow(1, 0, 1).unwrap().contiguous().unwrap());
    identity.insert(1, x.narrow(1, 1, 3).unwrap().contiguous().unwrap());
    compare_kernels(
        &identity,
        |t| se_block(&[&t[0], &t[1]], kernels(&t[2..])),
        |t| plain(&[&t[0], &t[1]], kernels(&t[2..])),
        (DType::F32, 2e-5, true),
    );
}

/// The input in `dtype`, the kernels in f32 (all in f64 for the definition): what the block gives,
/// and all gradients of its product with `weights`.
fn mixed(tensors: &[Tensor], weights: &Tensor, dtype: DType) -> Result<Vec<Tensor>> {
    let vars = tensors.iter().enumerate().map(|(i, t)| {
        let dtype = if i == 0 || dtype == DType::F64 { dtype } else { DType::F32 };
        Var::from_tensor(&t.to_dtype(dtype)?)
    });
    let vars = vars.collect::<Result<Vec<_>>>()?;
    let t = vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();
    let block = if dtype == DType::F64 { plain } else { se_block };
    let y = block(&[&t[0]], kernels(&t[1..]))?;
    let grads = (&y * weights.to_dtype(dtype)?)?.sum_all()?.backward()?;
    let mut all = vec![y.detach()];
    for t in &t {
        let grad = grads.get(t).unwrap().clone();
        assert_eq!((grad.dtype(), grad.dims()), (t.dtype(), t.dims()));
        all.push(grad);
    }
    Ok(all)
}

/// Random, but 0 where `y` is so near to the rectifier's bend that rounding may take it across.
fn weights(y: &Tensor) -> Tensor {
    let far = (y.gt(0.05).unwrap() + y.lt(-0.0005).unwrap()).unwrap();
    (random(98, y.dims()) * far.to_dtype(DType::F64).unwrap()).unwrap()
}

/// Root of the mean square of the difference, as a part of that of `expected`.
fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    let squares = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    let found = found.to_dtype(DType::F64).unwrap();
    (squares(&(found - expected).unwrap()) / squares(expected)).sqrt()
}

#[test]
fn sixteen_bits_with_kernels_in_single_precision() {
    // A number rounds by 2^-9 of itself in bf16 at most, half of that in the mean, and six roundings
    // lie behind each number of the output. Where the first norm's output is nearer to zero than its
    // error, the rectifier takes the other slope in the gradient: one number in 500 or so, each wrong
    // by its whole size. Of the 630 and 1024 here that is two at most, and 1/√300 of the whole; f16
    // has 8 times finer numbers, so hardly one.
    for (dtype, limit, gradients) in [(DType::BF16, 6e-3, 6e-2), (DType::F16, 8e-4, 4e-2)] {
        for (batch, inputs, outputs, side) in [(1, 12, 8, (8, 16)), (1, 6, 6, (7, 15))] {
            let mut tensors = Case { batch, inputs, outputs, side }.tensors();
            tensors[0] = tensors[0].to_dtype(dtype).unwrap().to_dtype(DType::F64).unwrap();
            let weights = weights(&plain(&[&tensors[0]], kernels(&tensors[1..])).unwrap());
            let Some(found) = emulated(|| mixed(&tensors, &weights, dtype)).unwrap() else {
                return;
            };
            let expected = mixed(&tensors, &weights, DType::F64).unwrap();
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let error = distance(found, expected);
                println!("{dtype:?} {inputs} to {outputs}, result {i}: {error:.1e}");
                let limit = if i == 0 { limit } else { gradients };
                assert!(error < limit, "{dtype:?} {inputs} to {outputs}, result {i}: {error}");
            }
        }
    }
}

#[test]
fn the_rest_of_a_block_by_kernels() {
    let t = Case { batch: 2, inputs: 6, outputs: 4, side: (10, 9) }.tensors();
    let whole = plain(&[&t[0]], kernels(&t[1..])).unwrap();
    let main = conv2d::plain(&t[0], &t[1], Conv2dConfig::same(3)).unwrap();
    let shortcut = conv2d::plain(&t[0], &t[3], Conv2dConfig::same(1)).unwrap();
    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let parts = [&main, &shortcut, &t[2]].map(single);
    let tracked = parts.clone().map(|t| Var::from_tensor(&t).unwrap());
    let found = emulated(|| {
        let [main, shortcut, conv2] = &tracked;
        let before = single(&main.sum_all()?);
        let made = [
            finish(&parts[0], &parts[1], &parts[2])?,
            finish(main, shortcut, conv2)?,
            finish(&parts[0].narrow(0, 1, 1)?, &parts[1].narrow(0, 1, 1)?, &parts[2])?,
        ];
        // What is handed in stays as it was.
        assert_eq!(max_diff(&before, &main.sum_all()?), 0.0);
        Ok(made.to_vec())
    });
    let Some(found) = found.unwrap() else { return };
    assert!(max_diff(&found[0], &whole) < 2e-5 && max_diff(&found[1], &whole) < 2e-5);
    assert!(max_diff(&found[2], &whole.narrow(0, 1, 1).unwrap()) < 2e-5);
    for (dtype, limit) in [(DType::BF16, 6e-3), (DType::F16, 8e-4)] {
        let [main, shortcut] = [&parts[0], &parts[1]].map(|t| t.to_dtype(dtype).unwrap());
        let found = emulated(|| Ok(vec![finish(&main, &shortcut, &parts[2])?])).unwrap();
        let error = distance(&found.unwrap()[0], &whole);
        assert!(error < limit, "{dtype:?}: {error}");
    }
}

fn variables(case: &Case) -> Vec<Var> {
    let single = |t: &Tensor| Var::from_tensor(&t.to_dtype(DType::F32).unwrap()).unwrap();
    case.tensors().iter().map(single).collect()
}

#[test]
fn a_second_way_back_by_kernels_gives_the_first_ones_bits() {
    for inputs in [4, 3] {
        let vars = variables(&Case { batch: 1, inputs, outputs: 3, side: (6, 6) });
        let t = vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();
        emulated(|| {
            let loss = se_block(&[&t[0]], kernels(&t[1..]))?.sqr()?.sum_all()?;
            let (one, two) = (loss.backward()?, loss.backward()?);
            for t in &t {
                assert_eq!(max_diff(one.get(t).unwrap(), two.get(t).unwrap()), 0.0);
            }
            Ok(vec![])
        })
        .unwrap();
    }
}

#[test]
fn kernels_make_only_the_gradients_that_are_wanted() {
    let vars = variables(&Case { batch: 1, inputs: 4, outputs: 3, side: (6, 6) });
    let t = vars.iter().map(|v| v.as_tensor().detach()).collect::<Vec<_>>();
    let (a, b) = (t[0].narrow(1, 0, 3).unwrap(), t[0].narrow(1, 3, 1).unwrap());
    let all = emulated(|| {
        let made =
            |x: &[&Tensor], k: SeBlockKernels<'_>| se_block(x, k)?.sqr()?.sum_all()?.backward();
        let every = vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();
        let expected = made(&[&every[0]], kernels(&every[1..]))?;
        let of_x = expected.get(&every[0]).unwrap();
        let same = |found: Option<&Tensor>, expected: &Tensor| {
            assert_eq!(max_diff(found.unwrap(), expected), 0.0);
        };

        let k = [every[1].clone(), t[2].clone(), t[3].clone()];
        let grads = made(&[&t[0]], kernels(&k))?;
        assert!(grads.get(&t[0]).is_none() && grads.get(&t[2]).is_none());
        same(grads.get(&every[1]), expected.get(&every[1]).unwrap());

        let grads = made(&[&every[0]], kernels(&t[1..]))?;
        assert!(grads.get(&t[1]).is_none());
        same(grads.get(&every[0]), of_x);

        let (first, second) = (Var::from_tensor(&a)?, Var::from_tensor(&b)?);
        let grads = made(&[&first, &b], kernels(&t[1..]))?;
        same(grads.get(&first), &of_x.narrow(1, 0, 3)?);
        assert!(grads.get(&b).is_none());
        let grads = made(&[&a, &second], kernels(&t[1..]))?;
        same(grads.get(&second), &of_x.narrow(1, 3, 1)?);
        Ok(vec![])
    });
    all.unwrap();
}

#[test]
fn nothing_and_what_does_not_fit() {
    let vars = variables(&Case { batch: 1, inputs: 4, outputs: 3, side: (6, 6) });
    let t = vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();
    emulated(|| {
        let none = Var::zeros((0, 4, 6, 6), DType::F32, &Device::Cpu)?;
        let y = se_block(&[&none], kernels(&t[1..]))?;
        let grads = y.sum_all()?.backward()?;
        assert_eq!((y.dims(), grads.get(&none).unwrap().dims()), (&[0, 3, 6, 6][..], none.dims()));
        assert_eq!(max_diff(grads.get(&t[1]).unwrap(), &t[1].zeros_like()?), 0.0);
        let (a, b) = (t[0].narrow(1, 0, 2)?, t[0].narrow(1, 2, 2)?);
        assert!(se_block(&[&a, &b.narrow(2, 0, 5)?], kernels(&t[1..])).is_err());
        assert!(se_block(&[&a, &b.to_dtype(DType::BF16)?], kernels(&t[1..])).is_err());
        assert!(se_block(&[&a], kernels(&t[1..])).is_err());
        assert!(finish(&t[0], &a, &t[2]).is_err());
        Ok(vec![])
    })
    .unwrap();
}
