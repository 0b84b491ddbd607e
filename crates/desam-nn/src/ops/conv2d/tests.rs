use super::*;
use crate::ops::gradcheck::{check, max_diff, random};
use candle_core::Var;

fn case(b: usize, i: usize, o: usize, side: (usize, usize), k: usize) -> (Tensor, Tensor) {
    (random(b as u64, &[b, i, side.0, side.1]), random(7, &[o, i, k, k]))
}

#[test]
fn agrees_with_the_plain_path_for_odd_sizes() {
    for (b, i, o, side, k) in [
        (1, 3, 4, (5, 7), 3),
        (3, 2, 5, (8, 8), 3),
        (9, 1, 1, (1, 1), 3),
        (2, 4, 3, (1, 9), 3),
        (2, 5, 2, (6, 5), 1),
        (1, 16, 8, (300, 41), 3),
        (2, 2, 3, (7, 6), 5),
    ] {
        let (x, w) = case(b, i, o, side, k);
        let config = Conv2dConfig::same(k);
        let (ours, plain) = (conv2d(&x, &w, config).unwrap(), plain(&x, &w, config).unwrap());
        assert_eq!(ours.dims(), plain.dims());
        assert!(max_diff(&ours, &plain) < 1e-10, "{b} {i} {o} {side:?} {k}");
    }
}

#[test]
fn agrees_with_the_plain_path_for_strides_and_patches() {
    for (side, k, config) in [
        ((8, 12), 4, Conv2dConfig::patches(4)),
        ((9, 11), 4, Conv2dConfig::patches(4)),
        ((9, 8), 3, Conv2dConfig { stride: 2, padding: 1 }),
        ((4, 4), 2, Conv2dConfig { stride: 3, padding: 2 }),
    ] {
        let (x, w) = case(2, 3, 4, side, k);
        let (ours, plain) = (conv2d(&x, &w, config).unwrap(), plain(&x, &w, config).unwrap());
        assert_eq!(ours.dims(), plain.dims());
        assert!(max_diff(&ours, &plain) < 1e-11, "{side:?} {config:?}");
    }
}

#[test]
fn takes_non_contiguous_input_and_empty_batches() {
    let (x, w) = case(2, 3, 4, (5, 6), 3);
    let turned = x.transpose(2, 3).unwrap();
    let config = Conv2dConfig::same(3);
    let expected = plain(&turned.contiguous().unwrap(), &w, config).unwrap();
    assert!(max_diff(&conv2d(&turned, &w, config).unwrap(), &expected) < 1e-11);
    let nothing = x.narrow(0, 0, 0).unwrap();
    assert_eq!(conv2d(&nothing, &w, config).unwrap().dims(), &[0, 4, 5, 6]);
}

#[test]
fn refuses_shapes_that_do_not_fit() {
    let (x, w) = case(1, 3, 2, (4, 4), 3);
    let fewer = x.narrow(1, 0, 2).unwrap();
    assert!(conv2d(&fewer, &w, Conv2dConfig::same(3)).is_err());
    let (x, w) = case(1, 1, 1, (2, 2), 5);
    assert!(conv2d(&x, &w, Conv2dConfig { stride: 1, padding: 0 }).is_err());
    assert!(conv2d(&x, &w, Conv2dConfig { stride: 0, padding: 2 }).is_err());
}

#[test]
fn gradients() {
    for (b, side, k, config) in [
        (2, (3, 4), 3, Conv2dConfig::same(3)),
        (1, (2, 3), 1, Conv2dConfig::same(1)),
        (1, (4, 4), 2, Conv2dConfig::patches(2)),
        (1, (5, 4), 3, Conv2dConfig { stride: 2, padding: 1 }),
    ] {
        let (x, w) = case(b, 2, 3, side, k);
        check(&[x, w], |t| conv2d(&t[0], &t[1], config));
    }
}

#[test]
fn an_input_that_is_not_tracked_gets_no_gradient() {
    let (x, w) = case(1, 2, 3, (4, 4), 3);
    let w = Var::from_tensor(&w).unwrap();
    let y = conv2d(&x, w.as_tensor(), Conv2dConfig::same(3)).unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_none() && grads.get(w.as_tensor()).is_some());
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut all = Vec::new();
            for batch in [1, 5] {
                let x = random(3, &[batch, 24, 40, 36]).to_dtype(DType::F32).unwrap();
                let w = random(4, &[48, 24, 3, 3]).to_dtype(DType::F32).unwrap();
                let (x, w) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&w).unwrap());
                let y = conv2d(&x, &w, Conv2dConfig::same(3)).unwrap();
                let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                for t in [&y, grads.get(&x).unwrap(), grads.get(&w).unwrap()] {
                    let values: Vec<f32> = t.flatten_all().unwrap().to_vec1().unwrap();
                    all.extend(values.into_iter().map(f32::to_bits));
                }
            }
            all
        })
    };
    let one = bits(1);
    assert!(one == bits(2) && one == bits(7));
}
