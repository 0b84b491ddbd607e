//! The tile with every kind of vectors that this machine has, not only the best.

use super::microkernel::{ROWS, multiply};
use super::operands::{Left, Right, Target, spots};
use super::store::Parts;
use crate::ops::gradcheck::random;
use candle_core::DType;
use pulp::{Scalar, Simd, WithSimd};
use std::mem::MaybeUninit;

const DEPTH: usize = 13;

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    random(seed, &[count]).to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// `rows × width` sums over [`DEPTH`] by the tile, added to ones.
struct Whole {
    rows: usize,
    width: usize,
    packed: bool,
    place: Where,
}

/// Where the sums go: to rows that follow each other, to new rows that lie apart after ones of an
/// earlier depth, or to such rows that hold half of the one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Together,
    New,
    Apart,
}

impl Whole {
    /// The left operand as `[depth, ROWS]`.
    fn left(&self) -> Vec<f32> {
        numbers(1, DEPTH * ROWS)
    }

    fn right(&self) -> Vec<f32> {
        numbers(2, DEPTH * self.width)
    }

    /// In double precision, one number after the other.
    fn expected(&self) -> Vec<f64> {
        let (left, right) = (self.left(), self.right());
        let sum = |r: usize, x: usize| -> f64 {
            let term =
                |k: usize| f64::from(left[k * ROWS + r]) * f64::from(right[k * self.width + x]);
            1.0 + (0..DEPTH).map(term).sum::<f64>()
        };
        (0..self.rows).flat_map(|r| (0..self.width).map(move |x| sum(r, x))).collect()
    }
}

impl WithSimd for &Whole {
    type Output = Vec<f32>;

    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let (panel, mut right) = (self.left(), self.right());
        right.resize(right.len() + S::F32_LANES, 0.0);
        let lines: Vec<f32> =
            (0..ROWS * DEPTH).map(|i| panel[i % DEPTH * ROWS + i / DEPTH]).collect();
        let left = if self.packed { Left::panel(&panel) } else { Left::lines(&lines, DEPTH) };
        let offsets: Vec<usize> = (0..DEPTH).map(|k| k * self.width).collect();
        let spots = spots(1, self.width, S::F32_LANES, |_| 0);
        let len = self.rows * self.width;
        if self.place != Where::Together {
            let (add, earlier) =
                (self.place == Where::Apart, if self.place == Where::New { 1.0 } else { 0.5 });
            let (mut room, earlier) = (vec![MaybeUninit::new(0.5f32); len], vec![earlier; len]);
            let mut rows: Vec<_> = room.chunks_mut(self.width).collect();
            let mut parts = Parts { rows: &mut rows, earlier: &earlier, add };
            multiply(simd, left, Right::new(&right, &offsets), &spots, &mut parts);
            // SAFETY: all of them hold numbers from the beginning.
            #[allow(unsafe_code)]
            return room.iter().map(|number| unsafe { number.assume_init() }).collect();
        }
        let mut values = vec![1.0; len];
        let mut target =
            Target { values: &mut values, stride: self.width, rows: self.rows, add: true };
        multiply(simd, left, Right::new(&right, &offsets), &spots, &mut target);
        values
    }
}

fn holds<S: Simd>(simd: S) {
    for (rows, width) in [(1, 1), (8, 48), (5, 47), (3, 100), (8, 16), (7, 33), (4, 8)] {
        let places = [Where::Together, Where::New, Where::Apart];
        for (packed, place) in [true, false].into_iter().flat_map(|p| places.map(|at| (p, at))) {
            let whole = Whole { rows, width, packed, place };
            let (found, expected) = (simd.vectorize(&whole), whole.expected());
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 2e-6, "{rows} {width} {packed} {place:?}");
            }
        }
    }
}

#[test]
fn without_vectors() {
    holds(Scalar::new());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn with_avx2_and_with_avx512() {
    // Where a machine lacks one, there is nothing to hold.
    if let Some(simd) = pulp::x86::V3::try_new() {
        holds(simd);
    }
    if let Some(simd) = pulp::x86::V4::try_new() {
        holds(simd);
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn with_neon() {
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        holds(simd);
    }
}
