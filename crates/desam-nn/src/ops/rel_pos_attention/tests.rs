use super::*;
use crate::ops::gradcheck::{check, max_diff, random};
use candle_core::{DType, Device, Var};

/// Sizes of a test's attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) batch: usize,
    pub(super) grid: usize,
    pub(super) side: usize,
    pub(super) heads: usize,
    pub(super) depth: usize,
}

pub(super) fn case(batch: usize, grid: usize, side: usize, (heads, depth): (usize, usize)) -> Case {
    Case { batch, grid, side, heads, depth }
}

/// `qkv`, bias and positions, f64.
pub(super) fn inputs(c: Case) -> [Tensor; 3] {
    let width = c.heads * c.depth;
    [
        (random(1, &[c.batch, c.grid, c.grid, 3 * width]) * 2.0).unwrap(),
        random(2, &[3 * width]),
        (random(3, &[2, 2 * c.side - 1, c.depth]) * 0.7).unwrap(),
    ]
}

pub(super) fn of(t: &[Tensor], heads: usize) -> RelPosAttention<'_> {
    RelPosAttention { bias: &t[1], positions: &t[2], heads }
}

fn single(all: &[Tensor]) -> Vec<Tensor> {
    all.iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect()
}

#[test]
fn agrees_with_the_definition() {
    let cases = [
        // Sides that are no multiple of anything; windows that end at the grid's edge, beyond it
        // and far beyond it; one token; a token a window.
        case(1, 1, 1, (1, 1)),
        case(2, 1, 5, (2, 3)),
        case(3, 5, 1, (1, 8)),
        case(1, 7, 7, (3, 24)),
        case(2, 13, 7, (4, 24)),
        case(1, 14, 14, (2, 64)),
        case(3, 16, 7, (4, 24)),
        case(1, 17, 14, (1, 80)),
        case(2, 8, 14, (12, 64)),
        case(1, 19, 19, (1, 5)),
        // Blocks of queries spread over threads, several tiles of keys.
        case(1, 31, 31, (2, 16)),
    ];
    for c in cases {
        let all = single(&inputs(c));
        let found = rel_pos_attention(&all[0], of(&all, c.heads)).unwrap();
        let exact: Vec<Tensor> = all.iter().map(|t| t.to_dtype(DType::F64).unwrap()).collect();
        let expected = plain(&exact[0], of(&exact, c.heads)).unwrap();
        assert_eq!(found.dims(), expected.dims());
        let error = max_diff(&found, &expected);
        assert!(error < 2e-5, "{c:?}: {error}");
    }
}

#[test]
fn a_tracked_input_takes_the_plain_path_and_gets_a_gradient() {
    let c = case(1, 5, 3, (2, 4));
    let all = single(&inputs(c));
    let fast = rel_pos_attention(&all[0], of(&all, 2)).unwrap();
    let vars: Vec<Var> = all.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = rel_pos_attention(&tracked[0], of(&tracked, 2)).unwrap();
    assert!(max_diff(&fast, &y) < 2e-5);
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert!(vars.iter().all(|v| grads.get(v).is_some()));
}

#[test]
fn types_may_differ_and_each_input_gets_a_gradient_in_its_own() {
    let all = inputs(case(1, 5, 3, (2, 4)));
    let var = |t: &Tensor, dtype| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap();
    let vars = [var(&all[0], DType::F32), var(&all[1], DType::F64), var(&all[2], DType::F64)];
    let tensors = vars.clone().map(|v| v.as_tensor().clone());
    let y = rel_pos_attention(&tensors[0], of(&tensors, 2)).unwrap();
    assert_eq!(y.dtype(), DType::F32);
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert!(vars.iter().all(|v| grads.get(v).is_some_and(|g| g.dtype() == v.dtype())));
}

#[test]
fn gradient() {
    check(&inputs(case(1, 3, 2, (2, 3))), |t| plain(&t[0], of(t, 2)));
}

/// The definition in SAM's `add_decomposed_rel_pos`, number by number, for one square.
#[test]
fn the_definition_is_sams() {
    let (heads, side, d) = (2, 3, 3);
    let all = inputs(case(1, side, side, (heads, d)));
    let qkv = all[0].flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let bias = all[1].to_vec1::<f64>().unwrap();
    let tables = all[2].to_vec3::<f64>().unwrap();
    let at = |t: usize, part: usize, h: usize, c: usize| {
        let i = (part * heads + h) * d + c;
        qkv[t * 3 * heads * d + i] + bias[i]
    };
    let found = plain(&all[0], of(&all, heads)).unwrap().flatten_all().unwrap();
    let found = found.to_vec1::<f64>().unwrap();
    for (i, found) in found.into_iter().enumerate() {
        let (t, h, c) = (i / (heads * d), i / d % heads, i % d);
        let score = |u: usize| {
            let distance = [t / side + side - 1 - u / side, t % side + side - 1 - u % side];
            let term = |c: usize| {
                let position = tables[0][distance[0]][c] + tables[1][distance[1]][c];
                at(t, 0, h, c) * (at(u, 1, h, c) / (d as f64).sqrt() + position)
            };
            (0..d).map(term).sum::<f64>()
        };
        let weights: Vec<f64> = (0..side * side).map(|u| score(u).exp()).collect();
        let mixed = weights.iter().enumerate().map(|(u, w)| w * at(u, 2, h, c));
        let expected = mixed.sum::<f64>() / weights.iter().sum::<f64>();
        assert!((expected - found).abs() < 1e-12, "{expected} {found}");
    }
}

#[test]
fn large_scores_neither_overflow_nor_vanish() {
    let c = case(1, 20, 20, (1, 8));
    let all = inputs(c);
    let all = [(&all[0] * 30.0).unwrap(), all[1].clone(), all[2].clone()];
    let exact = plain(&all[0], of(&all, 1)).unwrap();
    let all = single(&all);
    let found = rel_pos_attention(&all[0], of(&all, 1)).unwrap();
    // Scores of some thousands, each with f32's relative error: weights are good to about 1e-3.
    let size = max_diff(&exact, &exact.zeros_like().unwrap());
    assert!(max_diff(&found, &exact) / size < 5e-3);
}

#[test]
fn the_bits_do_not_depend_on_the_threads_nor_on_the_batch() {
    for c in [case(2, 31, 31, (2, 24)), case(3, 16, 7, (4, 24))] {
        let all = single(&inputs(c));
        let bits = |x: &Tensor, threads: usize| -> Vec<u32> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let y = pool.install(|| rel_pos_attention(x, of(&all, c.heads))).unwrap();
            let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            y.into_iter().map(f32::to_bits).collect()
        };
        let one = bits(&all[0], 1);
        assert!(one == bits(&all[0], 2) && one == bits(&all[0], 7));
        let alone = |i: usize| bits(&all[0].narrow(0, i, 1).unwrap(), 2);
        assert!(one == (0..c.batch).flat_map(alone).collect::<Vec<_>>());
    }
}

#[test]
fn takes_transposed_input_and_no_images() {
    let all = single(&inputs(case(2, 6, 4, (2, 4))));
    let transposed = all[0].transpose(1, 2).unwrap();
    let a = rel_pos_attention(&transposed, of(&all, 2)).unwrap();
    let b = rel_pos_attention(&transposed.contiguous().unwrap(), of(&all, 2)).unwrap();
    assert_eq!(max_diff(&a, &b), 0.0);
    let none = all[0].narrow(0, 0, 0).unwrap();
    assert_eq!(rel_pos_attention(&none, of(&all, 2)).unwrap().dims(), &[0, 6, 6, 8]);
}

#[test]
fn refuses_what_does_not_fit() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let good = [zeros(&[1, 4, 4, 24]), zeros(&[24]), zeros(&[2, 7, 4])];
    let run = |t: &[Tensor; 3], heads| rel_pos_attention(&t[0], of(t, heads));
    assert!(run(&good, 2).is_ok() && run(&good, 3).is_err() && run(&good, 0).is_err());
    for (index, shape) in [
        (0, &[1, 4, 5, 24][..]),
        (0, &[4, 4, 24]),
        (1, &[23]),
        (1, &[1, 24]),
        (2, &[2, 8, 4]),
        (2, &[1, 7, 4]),
        (2, &[2, 7, 5]),
    ] {
        let mut bad = good.clone();
        bad[index] = zeros(shape);
        assert!(run(&bad, 2).is_err(), "{index} {shape:?}");
    }
}
