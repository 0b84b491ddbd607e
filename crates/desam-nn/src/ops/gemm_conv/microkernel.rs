//! The register tile: a few rows times a few vectors of the result stay in registers while the sum
//! runs over the whole depth.

use super::operands::{Left, Right, Spot};
use super::store::Place;
use pulp::{Simd, WithSimd};

/// Rows of the result that one tile covers; the left operand is packed in panels of as many.
pub(crate) const ROWS: usize = 8;

/// Vectors of the result that one tile covers at most.
pub(crate) const VECTORS: usize = 3;

/// `target ← left · right` (or `+=`) for [`ROWS`] rows and all `spots`.
#[inline(always)]
pub(crate) fn multiply<S: Simd, P: Place>(
    simd: S,
    left: Left<'_>,
    right: Right<'_>,
    spots: &[Spot],
    target: &mut P,
) {
    multiply_all(simd, (left, 0), right, spots, target);
}

/// The same for any number of rows, [`ROWS`] at a time: those of each group begin a step after the
/// group before's in the left operand.
#[inline(always)]
pub(crate) fn multiply_all<S: Simd, P: Place>(
    simd: S,
    left: (Left<'_>, usize),
    right: Right<'_>,
    spots: &[Spot],
    target: &mut P,
) {
    let mut groups = spots.chunks_exact(VECTORS);
    for group in groups.by_ref() {
        rows::<S, P, VECTORS>(simd, left, right, group, target);
    }
    match groups.remainder() {
        [] => {}
        one @ [_] => rows::<S, P, 1>(simd, left, right, one, target),
        two => rows::<S, P, 2>(simd, left, right, two, target),
    }
}

/// All rows of a tile at once where the registers hold them, half of them twice elsewhere. Compiled
/// once for each kind of left operand, away from its callers, whose code would change how well the
/// registers are used.
#[inline(always)]
fn rows<S: Simd, P: Place, const V: usize>(
    simd: S,
    (left, step): (Left<'_>, usize),
    right: Right<'_>,
    spots: &[Spot],
    target: &mut P,
) {
    match (left.by_depth, left.by_row) {
        (ROWS, 1) => simd.vectorize(Rows::<P, V, PANEL> { left, step, right, spots, target }),
        (1, _) => simd.vectorize(Rows::<P, V, LINES> { left, step, right, spots, target }),
        _ => simd.vectorize(Rows::<P, V, ANY> { left, step, right, spots, target }),
    }
}

/// Kinds of left operands whose strides are known: a packed panel, rows that lie as they are.
const PANEL: u8 = 0;
const LINES: u8 = 1;
const ANY: u8 = 2;

struct Rows<'a, P, const V: usize, const KIND: u8> {
    left: Left<'a>,
    step: usize,
    right: Right<'a>,
    spots: &'a [Spot],
    target: &'a mut P,
}

impl<P: Place, const V: usize, const KIND: u8> WithSimd for Rows<'_, P, V, KIND> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, step, right, spots, target } = self;
        let left = match KIND {
            PANEL => Left::panel(left.values),
            LINES => Left { by_depth: 1, ..left },
            _ => left,
        };
        for (group, first) in (0..target.rows()).step_by(ROWS).enumerate() {
            let from = |row: usize| {
                let begin = group * step + row * left.by_row;
                Left { values: left.values.get(begin..).unwrap_or(&[]), ..left }
            };
            if S::REGISTER_COUNT >= 32 {
                let sums = tile::<S, ROWS, V>(simd, from(0), right, spots);
                target.store(simd, sums, first, spots);
                continue;
            }
            for half in [0, ROWS / 2] {
                if first + half < target.rows() {
                    let sums = tile::<S, { ROWS / 2 }, V>(simd, from(half), right, spots);
                    target.store(simd, sums, first + half, spots);
                }
            }
        }
    }
}

/// Depths that are summed in one go.
const AT_ONCE: usize = 4;

/// The sums of `R` rows and `V` vectors.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    left: Left<'_>,
    right: Right<'_>,
    spots: &[Spot],
) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    let Some(last) = right.offsets.len().checked_sub(1) else {
        return sums;
    };
    let farthest = spots.iter().fold(0, |far, spot| far.max(spot.from));
    assert!(spots.len() == V && right.reach + farthest + S::F32_LANES <= right.values.len());
    assert!(last * left.by_depth + (R - 1) * left.by_row < left.values.len());
    // SAFETY: the farthest row and depth of the left operand lie inside it, and so does a whole
    // vector at the farthest offset and spot of the right one.
    #[allow(unsafe_code)]
    unsafe {
        let mut begins = [right.values.as_ptr(); V];
        for (begin, spot) in begins.iter_mut().zip(spots) {
            *begin = begin.add(spot.from);
        }
        let mut a = left.values.as_ptr();
        // Several depths at once: rows' addresses are found once for all of them.
        let (several, rest) = right.offsets.as_chunks::<AT_ONCE>();
        for offsets in several {
            for (depth, &offset) in offsets.iter().enumerate() {
                let mut vectors = [simd.splat_f32s(0.0); V];
                for (vector, begin) in vectors.iter_mut().zip(&begins) {
                    *vector = begin.add(offset).cast::<S::f32s>().read_unaligned();
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = *a.add(r * left.by_row + depth * left.by_depth);
                    let factor = simd.splat_f32s(factor);
                    for (sum, vector) in sums.iter_mut().zip(&vectors) {
                        *sum = simd.mul_add_e_f32s(factor, *vector, *sum);
                    }
                }
            }
            a = a.wrapping_add(AT_ONCE * left.by_depth);
        }
        for &offset in rest {
            let mut vectors = [simd.splat_f32s(0.0); V];
            for (vector, begin) in vectors.iter_mut().zip(&begins) {
                *vector = begin.add(offset).cast::<S::f32s>().read_unaligned();
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = simd.splat_f32s(*a.add(r * left.by_row));
                for (sum, vector) in sums.iter_mut().zip(&vectors) {
                    *sum = simd.mul_add_e_f32s(factor, *vector, *sum);
                }
            }
            a = a.wrapping_add(left.by_depth);
        }
    }
    sums
}
