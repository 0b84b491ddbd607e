//! The microkernel with every vector width that this machine has, not only the widest.

use super::microkernel::multiply;
use super::operands::{Lhs, OutputVector, ROWS, Rhs, StridedOutput};
use super::store::ScatteredOutput;
use crate::ops::gradcheck::random;
use candle_core::DType;
use pulp::{Scalar, Simd, WithSimd};
use std::mem::MaybeUninit;

const DEPTH: usize = 13;

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    random(seed, &[count]).to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// A product of `rows × width` numbers over [`DEPTH`] by the microkernel, added to ones.
struct Product {
    rows: usize,
    width: usize,
    packed: bool,
    output: OutputKind,
}

/// Kinds of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputKind {
    /// Evenly spaced rows that hold ones.
    Strided,
    /// Scattered new rows, ones being the sums over earlier depths.
    New,
    /// Scattered rows that hold halves, halves being the sums over earlier depths.
    Accumulated,
}

impl Product {
    /// The left-hand operand as `[depth, ROWS]`.
    fn lhs(&self) -> Vec<f32> {
        numbers(1, DEPTH * ROWS)
    }

    fn rhs(&self) -> Vec<f32> {
        numbers(2, DEPTH * self.width)
    }

    /// In double precision, one number after the other.
    fn expected(&self) -> Vec<f64> {
        let (lhs, rhs) = (self.lhs(), self.rhs());
        let sum = |r: usize, x: usize| -> f64 {
            let term = |k: usize| f64::from(lhs[k * ROWS + r]) * f64::from(rhs[k * self.width + x]);
            1.0 + (0..DEPTH).map(term).sum::<f64>()
        };
        (0..self.rows).flat_map(|r| (0..self.width).map(move |x| sum(r, x))).collect()
    }
}

impl WithSimd for &Product {
    type Output = Vec<f32>;

    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let (panel, mut rhs) = (self.lhs(), self.rhs());
        rhs.resize(rhs.len() + S::F32_LANES, 0.0);
        let lines: Vec<f32> =
            (0..ROWS * DEPTH).map(|i| panel[i % DEPTH * ROWS + i / DEPTH]).collect();
        let lhs = if self.packed { Lhs::panel(&panel) } else { Lhs::row_major(&lines, DEPTH) };
        let offsets: Vec<usize> = (0..DEPTH).map(|k| k * self.width).collect();
        let vectors = OutputVector::of_row(self.width, S::F32_LANES);
        let len = self.rows * self.width;
        if self.output != OutputKind::Strided {
            let (add, earlier) = (
                self.output == OutputKind::Accumulated,
                if self.output == OutputKind::New { 1.0 } else { 0.5 },
            );
            let (mut room, earlier) = (vec![MaybeUninit::new(0.5f32); len], vec![earlier; len]);
            let mut rows: Vec<_> = room.chunks_mut(self.width).collect();
            let mut output = ScatteredOutput { rows: &mut rows, earlier: &earlier, add };
            multiply(simd, lhs, Rhs::new(&rhs, &offsets), &vectors, &mut output);
            // SAFETY: all of them hold numbers from the beginning.
            #[allow(unsafe_code)]
            return room.iter().map(|number| unsafe { number.assume_init() }).collect();
        }
        let mut values = vec![1.0; len];
        let mut output =
            StridedOutput { values: &mut values, stride: self.width, rows: self.rows, add: true };
        multiply(simd, lhs, Rhs::new(&rhs, &offsets), &vectors, &mut output);
        values
    }
}

fn check<S: Simd>(simd: S) {
    for (rows, width) in [(1, 1), (8, 48), (5, 47), (3, 100), (8, 16), (7, 33), (4, 8)] {
        let outputs = [OutputKind::Strided, OutputKind::New, OutputKind::Accumulated];
        for (packed, output) in [true, false].into_iter().flat_map(|p| outputs.map(|o| (p, o))) {
            let product = Product { rows, width, packed, output };
            let (found, expected) = (simd.vectorize(&product), product.expected());
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 2e-6, "{rows} {width} {packed} {output:?}");
            }
        }
    }
}

#[test]
fn agrees_with_a_sum_in_f64_without_vectors() {
    check(Scalar::new());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn agrees_with_a_sum_in_f64_with_avx2_and_with_avx512() {
    // A machine may lack one of them.
    if let Some(simd) = pulp::x86::V3::try_new() {
        check(simd);
    }
    if let Some(simd) = pulp::x86::V4::try_new() {
        check(simd);
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn agrees_with_a_sum_in_f64_with_neon() {
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        check(simd);
    }
}
