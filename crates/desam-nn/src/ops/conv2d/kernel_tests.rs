//! The kernels against the definition, emulated.

use super::tests::case;
use super::*;
use crate::ops::gradcheck::compare_kernels;

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
fn kernels_take_turned_input_offsets_and_nothing() {
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
