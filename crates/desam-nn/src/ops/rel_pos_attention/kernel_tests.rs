//! The kernels against the definition, emulated.

use super::tests::{Case, case, inputs, of};
use super::*;
use crate::gpu::apply;
use crate::ops::gradcheck::{compare_kernels, max_diff};
use candle_core::{DType, Device};
use desam_kernels::ops::rel_pos_attention::{self as kernels, RelPosPlan, RelPosSizes};

/// bf16 has 8 bits, f16 11. Queries, weights and results are rounded to them, and a score errs by
/// about a rounding of its size, which is up to 15 here: in all four times 2^-8 and 2^-11 of the
/// largest value. (Found: up to 9.2e-3, of a 64×64 grid, and 1.1e-3.)
const TYPES: [(DType, f64); 3] = [
    (DType::F32, 2e-5),
    (DType::BF16, 4.0 / (1 << 8) as f64),
    (DType::F16, 4.0 / (1 << 11) as f64),
];

fn compare(c: Case, all: &[Tensor], (dtype, limit): (DType, f64)) {
    compare_kernels(
        all,
        |t| rel_pos_attention(&t[0], of(t, c.heads)),
        |t| plain(&t[0], of(t, c.heads)),
        (dtype, limit, false),
    );
}

/// Does `work` in the emulation and checks that its results are the same in pairs.
fn same(work: impl Fn() -> Result<Vec<[Tensor; 2]>>) {
    let all = || Ok(work()?.into_iter().flatten().collect());
    let Some(all) = crate::gpu::emulated(all).unwrap() else {
        println!("skipped: kernels are not emulated, there was no C++ compiler");
        return;
    };
    for (i, pair) in all.chunks(2).enumerate() {
        assert_eq!(pair[0].dims(), pair[1].dims(), "pair {i}");
        assert_eq!(max_diff(&pair[0], &pair[1]), 0.0, "pair {i}");
    }
}

#[test]
fn agree_with_the_definition() {
    for c in [
        // One token; squares far beyond the grid; a token a square; windows cut at the grid's edge;
        // several tiles of keys, the last of them with one row.
        case(1, 1, 1, (1, 8)),
        case(2, 1, 5, (2, 8)),
        case(3, 5, 1, (1, 24)),
        case(1, 3, 14, (2, 64)),
        case(1, 17, 14, (1, 80)),
        case(3, 8, 7, (2, 24)),
        case(1, 9, 9, (1, 48)),
    ] {
        for limits in TYPES {
            compare(c, &inputs(c), limits);
        }
    }
}

/// 1089 keys in 27 tiles, and position tables in more parts than lie in shared memory at once.
#[test]
fn go_over_many_tiles() {
    let c = case(1, 33, 33, (1, 8));
    for limits in &TYPES[..2] {
        compare(c, &inputs(c), *limits);
    }
}

/// Larger squares leave room for the terms of fewer queries.
#[test]
fn blocks_may_be_smaller() {
    for (grid, depth) in [(9, 80), (9, 64), (5, 24)] {
        let c = case(1, grid, 9, (1, depth));
        let [qkv, bias, positions] = inputs(c);
        let dtype = DType::F16;
        let sizes = sizes(qkv.dims(), bias.dims(), positions.dims(), 1).unwrap().into();
        let [qkv, positions] = [qkv, positions].map(|t| t.to_dtype(dtype).unwrap());
        let bias = bias.to_dtype(DType::F32).unwrap();
        let attend = |threads: usize| {
            let Some(mut plan) = RelPosPlan::new(sizes, dtype)? else {
                candle_core::bail!("no kernel")
            };
            assert_eq!((plan.queries, plan.threads), (128, 128));
            (plan.queries, plan.threads) = (threads, threads as u32);
            apply(kernels::RelPosAttention { plan, sizes }, &[&qkv, &bias, &positions])
        };
        same(|| {
            let all = attend(128)?;
            Ok(vec![[attend(64)?, all.clone()], [attend(32)?, all]])
        });
    }
}

#[test]
fn take_other_depths_in_f32() {
    for depth in [1, 3, 60, 128] {
        let c = case(1, 6, 4, (2, depth));
        for limits in TYPES {
            compare(c, &inputs(c), limits);
        }
    }
}

#[test]
fn what_no_kernel_takes_is_done_by_the_definition() {
    let deep = case(1, 2, 2, (1, 129));
    compare(deep, &inputs(deep), TYPES[0]);
    let wide = case(1, 2, 400, (1, 8));
    let sizes = RelPosSizes { images: 1, grid: 400, side: 400, heads: 1, depth: 8 };
    assert_eq!(wide.side, sizes.side);
    for dtype in [DType::F32, DType::BF16] {
        assert!(RelPosPlan::new(sizes, dtype).unwrap().is_none());
    }
}

/// Keys that matter ever more, or ever less: the maximum rises at every tile, or never again.
#[test]
fn scores_may_rise_and_fall_over_the_keys() {
    let c = case(1, 9, 9, (1, 16));
    let all = inputs(c);
    // Queries of ones, keys growing by 8 a row along all channels: scores grow by 32 a row, which
    // weighs nothing next to the next; in a row the columns' random terms decide.
    let rows = Tensor::arange(0f64, 9.0, &Device::Cpu).unwrap().reshape((1, 9, 1, 1)).unwrap();
    let rows = (rows * 8.0).unwrap().broadcast_as((1, 9, 9, 16)).unwrap();
    for sign in [1.0, -1.0] {
        let keys = (&rows * sign).unwrap();
        let values = all[0].narrow(3, 32, 16).unwrap();
        let ones = values.ones_like().unwrap();
        let qkv = Tensor::cat(&[&ones, &keys, &values], 3).unwrap();
        let all = [qkv, all[1].zeros_like().unwrap(), all[2].clone()];
        for limits in TYPES {
            compare(c, &all, limits);
        }
    }
}

#[test]
fn read_input_that_is_turned_or_begins_anywhere() {
    for (dtype, _) in TYPES {
        let c = case(2, 5, 3, (2, 8));
        let all = inputs(c).map(|t| t.to_dtype(dtype).unwrap());
        let [qkv, bias, positions] = &all;
        let attend = |qkv: &Tensor, bias: &Tensor, positions: &Tensor| {
            rel_pos_attention(qkv, RelPosAttention { bias, positions, heads: 2 })
        };
        // A copy that begins one number behind its storage's first.
        let shifted = |t: &Tensor| {
            let numbers = t.flatten_all()?;
            let one = numbers.narrow(0, 0, 1)?;
            Tensor::cat(&[&one, &numbers], 0)?.narrow(0, 1, t.elem_count())?.reshape(t.shape())
        };
        same(|| {
            let y = attend(qkv, bias, positions)?;
            let transposed = qkv.transpose(1, 2)?;
            let second = attend(&qkv.narrow(0, 1, 1)?, bias, positions)?;
            let moved = attend(&shifted(qkv)?, &shifted(bias)?, &shifted(positions)?)?;
            let none = attend(&qkv.narrow(0, 0, 0)?, bias, positions)?;
            Ok(vec![
                [
                    attend(&transposed, bias, positions)?,
                    attend(&transposed.contiguous()?, bias, positions)?,
                ],
                [y.narrow(0, 1, 1)?, second],
                [none, y.narrow(0, 0, 0)?],
                [y, moved],
            ])
        });
    }
}

#[test]
fn parameters_may_stay_in_f32() {
    let c = case(1, 8, 7, (1, 24));
    let all = inputs(c);
    let positions = all[2].to_dtype(DType::BF16).unwrap();
    compare_kernels(
        &all[..1],
        |t| {
            let single = [&all[1], &positions].map(|t| t.to_dtype(DType::F32));
            let [bias, positions] = single;
            let (bias, positions) = (&bias?, &positions?);
            let y = rel_pos_attention(&t[0], RelPosAttention { bias, positions, heads: 1 })?;
            assert_eq!(y.dtype(), t[0].dtype());
            Ok(y)
        },
        |t| {
            let positions = &positions.to_dtype(DType::F64)?;
            plain(&t[0], RelPosAttention { bias: &all[1], positions, heads: 1 })
        },
        (DType::BF16, TYPES[1].1, false),
    );
}

/// Two blocks of ViT-H's global attention share a multiprocessor of an H100 (227 KiB, 1 of them the
/// system's for each block); larger grids take fewer queries at a time.
#[test]
fn blocks_fit_a_multiprocessor() {
    let plan = |side: usize, depth: usize, dtype: DType| {
        let sizes = RelPosSizes { images: 8, grid: side, side, heads: 16, depth };
        let plan = RelPosPlan::new(sizes, dtype).unwrap().unwrap();
        (plan.queries, plan.shared)
    };
    assert_eq!(plan(64, 80, DType::BF16), (128, 110 * 1024));
    assert_eq!(plan(64, 64, DType::BF16), (128, 106 * 1024));
    assert_eq!(plan(14, 80, DType::F16), (128, 40 * 1024 + 128 * 4 * (20 + 24)));
    assert_eq!(plan(128, 64, DType::BF16).0, 64);
    assert_eq!(plan(200, 64, DType::BF16).0, 32);
    assert!(plan(64, 80, DType::F32).1 <= 163 * 1024);
}
