//! Stores: where the microkernel writes the sums of a tile.

use super::operands::{OutputVector, StridedOutput};
use pulp::Simd;
use std::mem::MaybeUninit;

/// An output that takes a tile's sums straight from registers.
pub(crate) trait Store {
    /// Rows that are stored.
    fn rows(&self) -> usize;

    /// Writes `sums`, whose first row is row `first` of the output.
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; V]; R],
        first: usize,
        vectors: &[OutputVector],
    );
}

impl Store for StridedOutput<'_> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; V]; R],
        first: usize,
        vectors: &[OutputVector],
    ) {
        let wanted = self.rows.saturating_sub(first).min(R);
        let farthest = vectors.iter().fold(0, |far, vector| far.max(vector.to));
        let end = (first + R - 1) * self.stride + farthest + S::F32_LANES;
        let whole = vectors.len() == V && vectors.iter().all(|vector| vector.len == S::F32_LANES);
        if wanted == R && whole && end <= self.values.len() {
            // A loop that might end early would spill the sums from registers to the stack.
            let mut starts = [0; V];
            starts.iter_mut().zip(vectors).for_each(|(start, vector)| *start = vector.to);
            for (r, sums) in sums.iter().enumerate() {
                for (sum, start) in sums.iter().zip(starts) {
                    let to = (first + r) * self.stride + start;
                    // SAFETY: `end`, behind a whole vector in the last row, lies inside the output.
                    #[allow(unsafe_code)]
                    unsafe {
                        let to = self.values.as_mut_ptr().add(to).cast::<S::f32s>();
                        let sum =
                            if self.add { simd.add_f32s(*sum, to.read_unaligned()) } else { *sum };
                        to.write_unaligned(sum);
                    }
                }
            }
            return;
        }
        for (r, sums) in sums.iter().enumerate().take(wanted) {
            let row = &mut self.values[(first + r) * self.stride..];
            for (sum, vector) in sums.iter().zip(vectors) {
                let to = &mut row[vector.to..vector.to + vector.len];
                // Whole vectors store much faster than masked ones.
                if let [to] = S::as_mut_simd_f32s(to).0 {
                    *to = if self.add { simd.add_f32s(*sum, *to) } else { *sum };
                    continue;
                }
                let sum =
                    if self.add { simd.add_f32s(*sum, simd.partial_load_f32s(to)) } else { *sum };
                simd.partial_store_f32s(to, sum);
            }
        }
    }
}

/// An output of scattered rows, all of one length: a strip's part of each plane of the result. They
/// may be uninitialised; `add` says that they hold numbers.
#[derive(Debug)]
pub(super) struct ScatteredOutput<'a, 'b> {
    pub(super) rows: &'a mut [&'b mut [MaybeUninit<f32>]],
    /// Sums over earlier blocks of the depth, which are added first: rows of the same length without
    /// gaps, or empty.
    pub(super) earlier: &'a [f32],
    /// Whether the product is added to the values that are there.
    pub(super) add: bool,
}

impl Store for ScatteredOutput<'_, '_> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows.len()
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; V]; R],
        first: usize,
        vectors: &[OutputVector],
    ) {
        for (r, sums) in sums.iter().enumerate() {
            // A loop that might end early would spill the sums from registers to the stack.
            let Some(row) = self.rows.get_mut(first + r) else {
                continue;
            };
            let begin = (first + r) * row.len();
            let earlier = self.earlier.get(begin..begin + row.len());
            for (sum, vector) in sums.iter().zip(vectors) {
                let range = vector.to..vector.to + vector.len;
                let sum = match earlier {
                    Some(earlier) => simd.add_f32s(*sum, load(simd, &earlier[range.clone()])),
                    None => *sum,
                };
                let to = &mut row[range];
                let sum = if self.add {
                    // SAFETY: `add` says that the rows hold numbers.
                    #[allow(unsafe_code)]
                    let there =
                        unsafe { std::slice::from_raw_parts(to.as_ptr().cast::<f32>(), to.len()) };
                    simd.add_f32s(sum, load(simd, there))
                } else {
                    sum
                };
                write(simd, sum, to);
            }
        }
    }
}

/// A vector of `from`'s numbers, with zeros in the lanes behind its end.
#[inline(always)]
fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    // Whole vectors load much faster than masked ones.
    match S::as_simd_f32s(from).0 {
        [whole] => *whole,
        _ => simd.partial_load_f32s(from),
    }
}

/// Writes the first numbers of a vector, as many as `to` has.
#[inline(always)]
fn write<S: Simd>(simd: S, sum: S::f32s, to: &mut [MaybeUninit<f32>]) {
    if to.len() == S::F32_LANES {
        // SAFETY: `to` is one vector long, and the write needs no alignment.
        #[allow(unsafe_code)]
        unsafe {
            to.as_mut_ptr().cast::<S::f32s>().write_unaligned(sum);
        }
        return;
    }
    let mut numbers = [0.0; MAX_LANES];
    let len = to.len().min(MAX_LANES);
    simd.partial_store_f32s(&mut numbers[..len], sum);
    to.iter_mut().zip(numbers).for_each(|(to, number)| _ = to.write(number));
}

/// Lanes of the widest vector of any machine (AVX-512).
const MAX_LANES: usize = 16;
