//! Flash attention with relative positions: a block of queries against all keys of its window.
//!
//! Queries lie across the vectors' lanes: scores are `[keys, queries]`, so the register tile is always
//! full, keys and values are read in their own layout, and a query's maximum and sum need no
//! reduction across lanes. Keys are processed in tiles with an online softmax: the maximum and the sum
//! so far are updated, and the output so far is rescaled, so no more than a tile of scores is stored.

use crate::ops::gemm_conv::{Lhs, OutputVector, ROWS, Rhs, StridedOutput, VECTORS, multiply};
use crate::ops::vector::{dispatch, exp_up_to_max, fma, lanes};
use pulp::{Simd, WithSimd};

/// Most keys of a tile: its scores with a block's queries (36 KiB with AVX-512) stay in the L1 cache.
const KEYS: usize = 192;

/// Queries of a block: one per lane of the register tile's vectors.
pub(super) fn queries() -> usize {
    VECTORS * lanes()
}

/// Keys, values and position tables of one head in one window, shared by all its queries.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowHead<'a> {
    /// `[tokens, depth]`, tokens padded to whole tiles.
    pub(super) keys: &'a [f32],
    /// `[depth / ROWS rounded up, tokens, ROWS]`, tokens padded as well.
    pub(super) values: &'a [f32],
    /// Relative position tables for rows and columns: `[2 side - 1 and a tile, depth]`, by distance.
    pub(super) tables: [&'a [f32]; 2],
    /// `[depth]`
    pub(super) query_bias: &'a [f32],
    /// `[depth]`
    pub(super) value_bias: &'a [f32],
    pub(super) side: usize,
}

/// Buffers of one block, and the positions of its queries.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Row and column of each query in its window.
    pub(super) positions: Vec<[usize; 2]>,
    /// `[depth, queries]`
    queries: Vec<f32>,
    /// Offsets of lines of `queries` numbers.
    offsets: Vec<usize>,
    /// Products of queries and position vectors, `[distances, queries]`.
    distances: Vec<f32>,
    /// Relative position terms of the scores for each key row and each key column: `[side, queries]`.
    terms: [Vec<f32>; 2],
    /// Scores, then weights, of a tile of keys, `[keys, queries]`.
    scores: Vec<f32>,
    /// Weighted sum of values so far, `[depth, queries]`
    output: Vec<f32>,
}

/// Attention of the queries at `scratch.positions` (at most [`queries`]); `out` gets a slice for each.
pub(super) fn run<'a>(
    head: &WindowHead<'_>,
    query: impl Fn([usize; 2]) -> &'a [f32],
    scratch: &mut Scratch,
    out: &mut [&mut [f32]],
) {
    let (stride, depth) = (queries(), head.query_bias.len());
    scratch.queries.clear();
    scratch.queries.resize(depth * stride, 0.0);
    for (j, position) in scratch.positions.iter().enumerate() {
        let numbers = query(*position).iter().zip(head.query_bias);
        for (line, (q, bias)) in scratch.queries.chunks_exact_mut(stride).zip(numbers) {
            line[j] = q + bias;
        }
    }
    dispatch(Block { head, scratch });
    for (j, out) in out.iter_mut().enumerate() {
        let numbers = scratch.output.chunks_exact(stride).zip(head.value_bias);
        for (out, (line, bias)) in out.iter_mut().zip(numbers) {
            *out = line[j] + bias;
        }
    }
}

struct Block<'a> {
    head: &'a WindowHead<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, scratch } = self;
        let (stride, depth) = (VECTORS * S::F32_LANES, head.query_bias.len());
        let count = scratch.positions.len().div_ceil(S::F32_LANES).min(VECTORS);
        let vectors = &OutputVector::of_tile::<VECTORS>(S::F32_LANES)[..count];
        let missing = scratch.offsets.len()..depth.max(KEYS);
        scratch.offsets.extend(missing.map(|i| i * stride));
        for axis in 0..2 {
            position_terms(simd, head, axis, vectors, scratch);
        }
        let padded = depth.next_multiple_of(ROWS);
        let tokens = head.side * head.side;
        scratch.scores.resize(KEYS * stride, 0.0);
        scratch.output.resize(padded * stride, 0.0);
        let queries = Rhs::new(&scratch.queries, &scratch.offsets[..depth]);
        let scale = 1.0 / (depth as f32).sqrt();
        let mut softmax = OnlineSoftmax::<S>::new(simd);
        // Tiles of nearly one size: a small last one would use the registers badly.
        let step = tokens.div_ceil(tokens.div_ceil(KEYS)).next_multiple_of(ROWS);
        for first in (0..tokens).step_by(step) {
            let here = step.min(tokens - first);
            let scores = &mut scratch.scores[..here * stride];
            let keys = Lhs::row_major(&head.keys[first * depth..], depth);
            let mut output = StridedOutput { values: &mut *scores, stride, rows: here, add: false };
            multiply(simd, keys, queries, vectors, &mut output);
            let terms = ScoreTerms { rows: &scratch.terms[0], columns: &scratch.terms[1], scale };
            let old_max = softmax.update_max(simd, scores, first, terms);
            if first > 0 {
                softmax.rescale(simd, old_max, &mut scratch.output);
            }
            softmax.exp_scores(simd, scores);
            let weights = Rhs::new(&scratch.scores, &scratch.offsets[..here]);
            let panel = head.values.len() / padded * ROWS;
            let values = Lhs::panels(&head.values[first * ROWS..], panel);
            let sums = &mut scratch.output;
            let mut output = StridedOutput { values: sums, stride, rows: padded, add: first > 0 };
            multiply(simd, values, weights, vectors, &mut output);
        }
        softmax.normalise(simd, &mut scratch.output);
    }
}

/// Relative position terms of each key row (`axis` 0) or column (1): for a key at `k` and a query `q`
/// at position `p`, `q` times the table's vector `p - k + side - 1`. One product for all distances that
/// occur in the block, from which each query takes its own.
#[inline(always)]
fn position_terms<S: Simd>(
    simd: S,
    head: &WindowHead<'_>,
    axis: usize,
    vectors: &[OutputVector],
    scratch: &mut Scratch,
) {
    let (stride, depth, side) = (VECTORS * S::F32_LANES, head.query_bias.len(), head.side);
    let at = scratch.positions.iter().map(|position| position[axis]);
    let (Some(least), Some(most)) = (at.clone().min(), at.max()) else {
        return;
    };
    let distances = most - least + side;
    scratch.distances.resize(distances * stride, 0.0);
    let rhs = Rhs::new(&scratch.queries, &scratch.offsets[..depth]);
    let table = Lhs::row_major(&head.tables[axis][least * depth..], depth);
    let values = &mut scratch.distances;
    let mut output = StridedOutput { values, stride, rows: distances, add: false };
    multiply(simd, table, rhs, vectors, &mut output);
    let terms = &mut scratch.terms[axis];
    terms.resize(side * stride, 0.0);
    for (j, position) in scratch.positions.iter().enumerate() {
        let farthest = position[axis] - least + side - 1;
        for (key, line) in terms.chunks_exact_mut(stride).enumerate() {
            line[j] = scratch.distances[(farthest - key) * stride + j];
        }
    }
}

/// Relative position terms, added to the scaled scores.
#[derive(Clone, Copy)]
struct ScoreTerms<'a> {
    /// `[side, queries]`, by the key's row.
    rows: &'a [f32],
    /// `[side, queries]`, by the key's column.
    columns: &'a [f32],
    scale: f32,
}

/// One number for each query of a block, as vectors.
type Line<S> = [<S as Simd>::f32s; VECTORS];

/// Online softmax: the maximum score and the sum of weights of each query so far.
struct OnlineSoftmax<S: Simd> {
    max: Line<S>,
    sums: Line<S>,
}

/// The lines of a buffer `[lines, queries]`.
#[inline(always)]
fn lines<S: Simd>(values: &[f32]) -> &[Line<S>] {
    S::as_simd_f32s(values).0.as_chunks().0
}

#[inline(always)]
fn lines_mut<S: Simd>(values: &mut [f32]) -> &mut [Line<S>] {
    S::as_mut_simd_f32s(values).0.as_chunks_mut().0
}

impl<S: Simd> OnlineSoftmax<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let least = simd.splat_f32s(f32::NEG_INFINITY);
        Self { max: [least; VECTORS], sums: [simd.splat_f32s(0.0); VECTORS] }
    }

    /// Turns products with the keys from `first` on into scores and updates the maximum; returns the
    /// one before.
    #[inline(always)]
    fn update_max(
        &mut self,
        simd: S,
        scores: &mut [f32],
        first: usize,
        terms: ScoreTerms<'_>,
    ) -> Line<S> {
        let old_max = self.max;
        let scale = simd.splat_f32s(terms.scale);
        let (rows, columns) = (lines::<S>(terms.rows), lines::<S>(terms.columns));
        let side = columns.len();
        let (mut row, mut column) = (first / side, first % side);
        let mut rest = lines_mut::<S>(scores);
        let mut max = self.max;
        while !rest.is_empty() {
            let (run, others) = rest.split_at_mut((side - column).min(rest.len()));
            let row_stride = rows[row];
            for (score, by_column) in run.iter_mut().zip(&columns[column..]) {
                for v in 0..VECTORS {
                    let term = simd.add_f32s(row_stride[v], by_column[v]);
                    score[v] = fma(simd, score[v], scale, term);
                    max[v] = simd.max_f32s(max[v], score[v]);
                }
            }
            (row, column, rest) = (row + 1, 0, others);
        }
        self.max = max;
        old_max
    }

    /// Rescales the sums and the output so far to the new maximum.
    #[inline(always)]
    fn rescale(&mut self, simd: S, old_max: Line<S>, output: &mut [f32]) {
        let mut factors = old_max;
        for v in 0..VECTORS {
            factors[v] = exp_up_to_max(simd, simd.sub_f32s(old_max[v], self.max[v]));
            self.sums[v] = simd.mul_f32s(self.sums[v], factors[v]);
        }
        scale(simd, output, factors);
    }

    /// Divides by the sum of weights: weighted sums → weighted means.
    #[inline(always)]
    fn normalise(&self, simd: S, output: &mut [f32]) {
        let one = simd.splat_f32s(1.0);
        scale(simd, output, self.sums.map(|sum| simd.div_f32s(one, sum)));
    }

    /// Scores → weights `exp(score - max)`, added to the sums.
    #[inline(always)]
    fn exp_scores(&mut self, simd: S, scores: &mut [f32]) {
        let (max, mut sums) = (self.max, self.sums);
        for line in lines_mut::<S>(scores) {
            for v in 0..VECTORS {
                line[v] = exp_up_to_max(simd, simd.sub_f32s(line[v], max[v]));
                sums[v] = simd.add_f32s(sums[v], line[v]);
            }
        }
        self.sums = sums;
    }
}

#[inline(always)]
fn scale<S: Simd>(simd: S, values: &mut [f32], factors: Line<S>) {
    for line in lines_mut::<S>(values) {
        for v in 0..VECTORS {
            line[v] = simd.mul_f32s(line[v], factors[v]);
        }
    }
}
