use super::*;
use crate::ops::gradcheck::{check, compare, compare_kernels, max_diff, random, same_bits};
use candle_core::Var;

fn case(b: usize, i: usize, o: usize, side: (usize, usize), k: usize) -> [Tensor; 2] {
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
    let transposed = x.transpose(2, 3).unwrap();
    let config = Conv2dConfig::same(3);
    let expected = plain(&transposed.contiguous().unwrap(), &w, config).unwrap();
    assert!(max_diff(&conv2d(&transposed, &w, config).unwrap(), &expected) < 2e-5);
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

/// A sum in f32, itself good to the limit of f32, is rounded once: by at most 2^-8 of a bf16's size,
/// 2^-11 of an f16's. The latter twice, since the CPU's products of f16, which stand for a GPU's
/// library, may round what they add up.
const SINGLE: (DType, f64) = (DType::F32, 2e-5);
const BRAIN: (DType, f64) = (DType::BF16, 1.0 / 256.0 + 2e-5);
const HALF: (DType, f64) = (DType::F16, 2.0 / 2048.0 + 2e-5);

#[test]
fn kernels_agree_with_the_definition_in_f32() {
    kernels_agree(SINGLE);
}

#[test]
fn kernels_agree_with_the_definition_in_bf16() {
    kernels_agree(BRAIN);
}

#[test]
fn kernels_agree_with_the_definition_in_f16() {
    kernels_agree(HALF);
}

fn kernels_agree((dtype, limit): (DType, f64)) {
    for (b, i, o, side, k) in [
        (1, 1, 1, (1, 1), 3),
        (1, 3, 4, (5, 7), 3),
        (3, 2, 5, (8, 8), 3),
        (2, 2, 3, (7, 6), 5),
        // More inputs than a stage has, more pixels than a tile.
        (2, 17, 3, (17, 18), 3),
        // As many inputs as are cut into shares.
        (1, 130, 2, (3, 6), 3),
        (1, 33, 2, (2, 40), 3),
        (1, 2, 66, (3, 9), 3),
        (2, 5, 2, (6, 5), 1),
        (3, 130, 3, (9, 8), 1),
        (1, 1, 9, (2, 3), 1),
        (3, 9, 1, (4, 6), 1),
        (2, 11, 1, (3, 7), 1),
    ] {
        let config = Conv2dConfig::same(k);
        compare_kernels(
            &case(b, i, o, side, k),
            |t| conv2d(&t[0], &t[1], config),
            |t| plain(&t[0], &t[1], config),
            (dtype, limit, true),
        );
    }
}

/// Autocast: the weight and its gradient are f32, the rest is not. Both factors are rounded, and the
/// result: three times as much.
#[test]
fn kernels_take_weights_in_f32() {
    for (dtype, limit) in [BRAIN, HALF] {
        for (b, i, o, side, k) in [(2, 5, 9, (9, 6), 3), (2, 3, 4, (5, 3), 1), (1, 2, 2, (5, 6), 5)]
        {
            let config = Conv2dConfig::same(k);
            compare_kernels(
                &case(b, i, o, side, k),
                |t| {
                    let y = conv2d(&t[0].to_dtype(dtype)?, &t[1], config)?;
                    assert_eq!(y.dtype(), dtype);
                    y.to_dtype(DType::F32)
                },
                |t| plain(&t[0], &t[1], config),
                (DType::F32, 3.0 * limit, true),
            );
        }
    }
}

#[test]
fn kernels_take_transposed_input_offsets_and_nothing() {
    for (dtype, limit) in [SINGLE, BRAIN, HALF] {
        for k in [1, 3] {
            let config = Conv2dConfig::same(k);
            let part = |t: &[Tensor]| -> Result<Vec<Tensor>> {
                let transposed = t[0].transpose(2, 3)?;
                // One image of two, at an odd place: 3 · 5 · 3 numbers in.
                Ok(vec![transposed, t[0].narrow(0, 1, 1)?, t[1].narrow(0, 1, 2)?])
            };
            for which in 0..2 {
                compare_kernels(
                    &case(2, 3, 4, (5, 3), k),
                    |t| part(t).and_then(|p| conv2d(&p[which], &p[2], config)),
                    |t| part(t).and_then(|p| plain(&p[which].contiguous()?, &p[2], config)),
                    (dtype, limit, true),
                );
            }
            // candle's own fails where there are no channels.
            let nothing = |t: &[Tensor]| {
                let none = conv2d(&t[0].narrow(0, 0, 0)?, &t[1], config)?;
                assert_eq!(none.dims(), &[0, 4, 5, 3]);
                conv2d(&t[0].narrow(1, 0, 0)?, &t[1].narrow(1, 0, 0)?, config)
            };
            compare_kernels(
                &case(2, 3, 4, (5, 3), k),
                nothing,
                |t| Tensor::zeros((2, 4, 5, 3), t[0].dtype(), t[0].device()),
                (dtype, limit, false),
            );
        }
    }
}
