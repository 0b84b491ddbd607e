use super::*;
use crate::ops::gradcheck::{check, compare, max_diff, random, same_bits};
use candle_core::Var;

pub(super) fn case(b: usize, i: usize, o: usize, side: (usize, usize), k: usize) -> [Tensor; 2] {
    [random(b as u64, &[b, i, side.0, side.1]), random(7, &[o, i, k, k])]
}

#[test]
fn agrees_with_the_plain_path_for_odd_sizes_with_its_gradients() {
    for (b, i, o, side, k) in [
        (1, 3, 4, (5, 7), 3),
        (3, 2, 5, (8, 8), 3),
        (9, 1, 1, (1, 1), 3),
        (2, 4, 3, (1, 9), 3),
        (2, 5, 2, (6, 5), 1),
        (1, 16, 8, (300, 41), 3),
        (1, 33, 17, (19, 50), 3),
        (2, 70, 9, (4, 3), 3),
        (1, 300, 11, (5, 16), 1),
        (2, 2, 3, (7, 6), 5),
    ] {
        let config = Conv2dConfig::same(k);
        // Sums of many products: what counts is their size.
        compare(
            &case(b, i, o, side, k),
            |t| conv2d(&t[0], &t[1], config),
            |t| plain(&t[0], &t[1], config),
        );
    }
}

#[test]
fn agrees_with_the_plain_path_for_patches() {
    for (side, k) in [((8, 12), 4), ((9, 11), 4), ((5, 5), 5), ((6, 35), 1), ((32, 48), 16)] {
        let [x, w] = case(2, 3, 4, side, k);
        let (x, config) = (x.to_dtype(DType::F32).unwrap(), Conv2dConfig::patches(k));
        // candle's own gradient fails where something is left over at the far edges.
        let seen = x.narrow(2, 0, side.0 / k * k).unwrap().narrow(3, 0, side.1 / k * k).unwrap();
        compare(
            &[w],
            |t| conv2d(&x, &t[0], config),
            |t| plain(&seen.to_dtype(DType::F64)?, &t[0], config),
        );
    }
}

#[test]
fn takes_non_contiguous_input_and_empty_batches() {
    let [x, w] = case(2, 3, 4, (5, 6), 3).map(|t| t.to_dtype(DType::F32).unwrap());
    let turned = x.transpose(2, 3).unwrap();
    let config = Conv2dConfig::same(3);
    let expected = plain(&turned.contiguous().unwrap(), &w, config).unwrap();
    assert!(max_diff(&conv2d(&turned, &w, config).unwrap(), &expected) < 2e-5);
    let nothing = x.narrow(0, 0, 0).unwrap();
    assert_eq!(conv2d(&nothing, &w, config).unwrap().dims(), &[0, 4, 5, 6]);
    let blind = conv2d(&x.narrow(1, 0, 0).unwrap(), &w.narrow(1, 0, 0).unwrap(), config).unwrap();
    assert_eq!(max_diff(&blind, &blind.zeros_like().unwrap()), 0.0);
}

#[test]
fn refuses_shapes_that_do_not_fit() {
    let [x, w] = case(1, 3, 2, (4, 4), 3);
    let fewer = x.narrow(1, 0, 2).unwrap();
    assert!(conv2d(&fewer, &w, Conv2dConfig::same(3)).is_err());
    assert!(conv2d(&x, &w, Conv2dConfig::same(5)).is_err());
    let [x, w] = case(1, 1, 1, (2, 2), 5);
    assert!(conv2d(&x, &w, Conv2dConfig::patches(5)).is_err());
    let [x, w] = case(1, 1, 1, (2, 2), 0);
    assert!(conv2d(&x, &w, Conv2dConfig::patches(0)).is_err());
}

#[test]
fn the_plain_paths_gradients() {
    for (b, side, k, config) in [
        (2, (3, 4), 3, Conv2dConfig::same(3)),
        (1, (2, 3), 1, Conv2dConfig::same(1)),
        (1, (4, 4), 2, Conv2dConfig::patches(2)),
    ] {
        check(&case(b, 2, 3, side, k), |t| conv2d(&t[0], &t[1], config));
    }
}

#[test]
fn an_input_that_is_not_tracked_gets_no_gradient() {
    let [x, w] = case(1, 2, 3, (4, 4), 3).map(|t| t.to_dtype(DType::F32).unwrap());
    let w = Var::from_tensor(&w).unwrap();
    let y = conv2d(&x, w.as_tensor(), Conv2dConfig::same(3)).unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_none() && grads.get(w.as_tensor()).is_some());
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    for batch in [1, 5] {
        let inputs = [random(3, &[batch, 24, 40, 36]), random(4, &[48, 24, 3, 3])];
        same_bits(&inputs, |t| conv2d(&t[0], &t[1], Conv2dConfig::same(3)));
    }
    for (batch, i, o) in [(1, 30, 20), (9, 7, 13)] {
        let inputs = [random(5, &[batch, i, 70, 41]), random(6, &[o, i, 1, 1])];
        same_bits(&inputs, |t| conv2d(&t[0], &t[1], Conv2dConfig::same(1)));
    }
}
