//! A block of queries against all keys of its square.
//!
//! Queries lie across the vectors' lanes: scores are `[keys, queries]`, so that a tile is always
//! full, keys and values are read as they lie, and a query's maximum and sum need no sideways step.
//! Keys pass by in tiles, with the softmax's maximum and sum kept up to date (online softmax).

use crate::ops::gemm_conv::{Left, ROWS, Right, Spot, Target, VECTORS, multiply_all};
use crate::ops::vector::{dispatch, exp_up_to_max, fma, lanes};
use pulp::{Simd, WithSimd};

/// Keys of a tile: with a block's queries, scores that stay in the nearest cache.
const KEYS: usize = 192;

/// Queries of a block: a tile's vectors.
pub(super) fn queries() -> usize {
    VECTORS * lanes()
}

/// What all queries of one head and square share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    /// `[tokens, depth]`, tokens filled up to whole tiles.
    pub(super) keys: &'a [f32],
    /// `[depth / ROWS rounded up, tokens, ROWS]`, tokens filled up as well.
    pub(super) values: &'a [f32],
    /// Position vectors by distance, rows and columns: `[2 side - 1 and a tile, depth]`.
    pub(super) tables: [&'a [f32]; 2],
    /// `[depth]`
    pub(super) query_bias: &'a [f32],
    /// `[depth]`
    pub(super) value_bias: &'a [f32],
    pub(super) side: usize,
}

/// Buffers of one block, and where its queries stand.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Row and column of each query.
    pub(super) places: Vec<[usize; 2]>,
    /// `[depth, queries]`
    queries: Vec<f32>,
    /// Where each line of `queries` numbers begins.
    lines: Vec<usize>,
    /// What queries make of each distance, `[distances, queries]`.
    distances: Vec<f32>,
    /// What queries make of each key row and each key column: `[side, queries]`.
    terms: [Vec<f32>; 2],
    /// Scores and then weights of a tile of keys, `[keys, queries]`.
    scores: Vec<f32>,
    /// `[depth, queries]`
    mixed: Vec<f32>,
}

/// Attention of the queries at `scratch.places` (at most [`queries`]), each into one piece of
/// `out`.
pub(super) fn run<'a>(
    head: &Head<'_>,
    query: impl Fn([usize; 2]) -> &'a [f32],
    scratch: &mut Scratch,
    out: &mut [&mut [f32]],
) {
    let (stride, depth) = (queries(), head.query_bias.len());
    scratch.queries.clear();
    scratch.queries.resize(depth * stride, 0.0);
    for (j, place) in scratch.places.iter().enumerate() {
        let numbers = query(*place).iter().zip(head.query_bias);
        for (line, (q, bias)) in scratch.queries.chunks_exact_mut(stride).zip(numbers) {
            line[j] = q + bias;
        }
    }
    dispatch(Block { head, scratch });
    for (j, out) in out.iter_mut().enumerate() {
        let numbers = scratch.mixed.chunks_exact(stride).zip(head.value_bias);
        for (out, (line, bias)) in out.iter_mut().zip(numbers) {
            *out = line[j] + bias;
        }
    }
}

struct Block<'a> {
    head: &'a Head<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, scratch } = self;
        let (stride, depth) = (VECTORS * S::F32_LANES, head.query_bias.len());
        let count = scratch.places.len().div_ceil(S::F32_LANES).min(VECTORS);
        let spot =
            |v: usize| Spot { from: v * S::F32_LANES, to: v * S::F32_LANES, len: S::F32_LANES };
        let spots: [Spot; VECTORS] = std::array::from_fn(spot);
        let spots = &spots[..count];
        let lines = scratch.lines.len()..depth.max(KEYS);
        scratch.lines.extend(lines.map(|i| i * stride));
        for axis in 0..2 {
            positions(simd, head, axis, spots, scratch);
        }
        let padded = depth.next_multiple_of(ROWS);
        let tokens = head.side * head.side;
        scratch.scores.resize(KEYS * stride, 0.0);
        scratch.mixed.resize(padded * stride, 0.0);
        let queries = Right::new(&scratch.queries, &scratch.lines[..depth]);
        let scale = 1.0 / (depth as f32).sqrt();
        let mut softmax = Online::<S>::new(simd);
        // Tiles alike, where the last one would be a small rest.
        let step = tokens.div_ceil(tokens.div_ceil(KEYS)).next_multiple_of(ROWS);
        for first in (0..tokens).step_by(step) {
            let here = step.min(tokens - first);
            let scores = &mut scratch.scores[..here * stride];
            let keys = (Left::lines(&head.keys[first * depth..], depth), ROWS * depth);
            let mut target = Target { values: &mut *scores, stride, rows: here, add: false };
            multiply_all(simd, keys, queries, spots, &mut target);
            let terms = Terms { rows: &scratch.terms[0], columns: &scratch.terms[1], scale };
            let before = softmax.raise(simd, scores, first, terms);
            if first > 0 {
                softmax.forget(simd, before, &mut scratch.mixed);
            }
            softmax.weigh(simd, scores);
            let weights = Right::new(&scratch.scores, &scratch.lines[..here]);
            let values = Left::panel(&head.values[first * ROWS..]);
            let values = (values, head.values.len() / padded * ROWS);
            let mixed = &mut scratch.mixed;
            let mut target = Target { values: mixed, stride, rows: padded, add: first > 0 };
            multiply_all(simd, values, weights, spots, &mut target);
        }
        softmax.finish(simd, &mut scratch.mixed);
    }
}

/// What queries make of each key row (`axis` 0) or column (1): for a key `k` and a query `q` that
/// stands at `at`, the vector `q` times the table's at `at - k + side - 1`. One product for all
/// distances that occur, of which each query takes its own.
#[inline(always)]
fn positions<S: Simd>(
    simd: S,
    head: &Head<'_>,
    axis: usize,
    spots: &[Spot],
    scratch: &mut Scratch,
) {
    let (stride, depth, side) = (VECTORS * S::F32_LANES, head.query_bias.len(), head.side);
    let at = scratch.places.iter().map(|place| place[axis]);
    let (Some(least), Some(most)) = (at.clone().min(), at.max()) else {
        return;
    };
    let distances = most - least + side;
    scratch.distances.resize(distances * stride, 0.0);
    let right = Right::new(&scratch.queries, &scratch.lines[..depth]);
    let table = (Left::lines(&head.tables[axis][least * depth..], depth), ROWS * depth);
    let values = &mut scratch.distances;
    let mut target = Target { values, stride, rows: distances, add: false };
    multiply_all(simd, table, right, spots, &mut target);
    let terms = &mut scratch.terms[axis];
    terms.resize(side * stride, 0.0);
    for (j, place) in scratch.places.iter().enumerate() {
        let farthest = place[axis] - least + side - 1;
        for (key, line) in terms.chunks_exact_mut(stride).enumerate() {
            line[j] = scratch.distances[(farthest - key) * stride + j];
        }
    }
}

/// What is added to the scaled scores.
#[derive(Clone, Copy)]
struct Terms<'a> {
    /// `[side, queries]`, by the key's row.
    rows: &'a [f32],
    /// `[side, queries]`, by the key's column.
    columns: &'a [f32],
    scale: f32,
}

/// The vectors of a line of queries.
type Line<S> = [<S as Simd>::f32s; VECTORS];

/// A softmax whose keys come in tiles.
struct Online<S: Simd> {
    largest: Line<S>,
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

impl<S: Simd> Online<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let least = simd.splat_f32s(f32::NEG_INFINITY);
        Self { largest: [least; VECTORS], sums: [simd.splat_f32s(0.0); VECTORS] }
    }

    /// Products with the keys from `first` on → scores; the largest so far is kept, the one before
    /// handed back.
    #[inline(always)]
    fn raise(&mut self, simd: S, scores: &mut [f32], first: usize, terms: Terms<'_>) -> Line<S> {
        let before = self.largest;
        let scale = simd.splat_f32s(terms.scale);
        let (rows, columns) = (lines::<S>(terms.rows), lines::<S>(terms.columns));
        let side = columns.len();
        let (mut row, mut column) = (first / side, first % side);
        let mut rest = lines_mut::<S>(scores);
        let mut largest = self.largest;
        while !rest.is_empty() {
            let (run, others) = rest.split_at_mut((side - column).min(rest.len()));
            let by_row = rows[row];
            for (score, by_column) in run.iter_mut().zip(&columns[column..]) {
                for v in 0..VECTORS {
                    let term = simd.add_f32s(by_row[v], by_column[v]);
                    score[v] = fma(simd, score[v], scale, term);
                    largest[v] = simd.max_f32s(largest[v], score[v]);
                }
            }
            (row, column, rest) = (row + 1, 0, others);
        }
        self.largest = largest;
        before
    }

    /// Scales sums and what was mixed so far down to the new largest.
    #[inline(always)]
    fn forget(&mut self, simd: S, before: Line<S>, mixed: &mut [f32]) {
        let mut factors = before;
        for v in 0..VECTORS {
            factors[v] = exp_up_to_max(simd, simd.sub_f32s(before[v], self.largest[v]));
            self.sums[v] = simd.mul_f32s(self.sums[v], factors[v]);
        }
        scale(simd, mixed, factors);
    }

    /// Weighted sums → weighted means.
    #[inline(always)]
    fn finish(&self, simd: S, mixed: &mut [f32]) {
        let one = simd.splat_f32s(1.0);
        scale(simd, mixed, self.sums.map(|sum| simd.div_f32s(one, sum)));
    }

    /// Scores → weights, which are added up.
    #[inline(always)]
    fn weigh(&mut self, simd: S, scores: &mut [f32]) {
        let (largest, mut sums) = (self.largest, self.sums);
        for line in lines_mut::<S>(scores) {
            for v in 0..VECTORS {
                line[v] = exp_up_to_max(simd, simd.sub_f32s(line[v], largest[v]));
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
