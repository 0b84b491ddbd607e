//! The microkernel: a register tile of 8 rows × 3 vectors.
//!
//! The sums of the tile stay in registers while the loop runs over the whole depth, so each step
//! loads 3 vectors and 8 scalars for 24 multiply-adds and stores nothing. 8 × 3 accumulators, 3
//! vectors and a broadcast fit into the 32 registers of AVX-512 and NEON; AVX2 has 16, so there the
//! tile is computed as two halves of 4 rows.

use super::operands::{Lhs, OutputVector, ROWS, Rhs, VECTORS};
use super::store::Store;
use pulp::{Simd, WithSimd};

/// `output ← lhs · rhs` (or `+=`) for all rows of `output`, [`ROWS`] at a time, and all `vectors`.
#[inline(always)]
pub(crate) fn multiply<S: Simd, O: Store>(
    simd: S,
    lhs: Lhs<'_>,
    rhs: Rhs<'_>,
    vectors: &[OutputVector],
    output: &mut O,
) {
    let mut tiles = vectors.chunks_exact(VECTORS);
    for tile in tiles.by_ref() {
        tile_column::<S, O, VECTORS>(simd, lhs, rhs, tile, output);
    }
    match tiles.remainder() {
        [] => {}
        one @ [_] => tile_column::<S, O, 1>(simd, lhs, rhs, one, output),
        two => tile_column::<S, O, 2>(simd, lhs, rhs, two, output),
    }
}

/// All rows of the output for one tile's vectors. Compiled once for each layout of the left-hand
/// operand, whose strides are then constants, and out of line (`vectorize`): inlined, its callers'
/// code would change the register allocation.
#[inline(always)]
fn tile_column<S: Simd, O: Store, const V: usize>(
    simd: S,
    lhs: Lhs<'_>,
    rhs: Rhs<'_>,
    vectors: &[OutputVector],
    output: &mut O,
) {
    match (lhs.depth_stride, lhs.row_stride) {
        (ROWS, 1) => simd.vectorize(TileColumn::<O, V, PANEL> { lhs, rhs, vectors, output }),
        (1, _) => simd.vectorize(TileColumn::<O, V, ROW_MAJOR> { lhs, rhs, vectors, output }),
        _ => simd.vectorize(TileColumn::<O, V, STRIDED> { lhs, rhs, vectors, output }),
    }
}

/// Layouts of the left-hand operand: packed panels, row-major, anything else.
const PANEL: u8 = 0;
const ROW_MAJOR: u8 = 1;
const STRIDED: u8 = 2;

/// The arguments of [`tile_column`] as a kernel.
struct TileColumn<'a, O, const V: usize, const LAYOUT: u8> {
    lhs: Lhs<'a>,
    rhs: Rhs<'a>,
    vectors: &'a [OutputVector],
    output: &'a mut O,
}

impl<O: Store, const V: usize, const LAYOUT: u8> WithSimd for TileColumn<'_, O, V, LAYOUT> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { lhs, rhs, vectors, output } = self;
        let lhs = match LAYOUT {
            PANEL => Lhs::panels(lhs.values, lhs.group_stride),
            ROW_MAJOR => Lhs { depth_stride: 1, ..lhs },
            _ => lhs,
        };
        for (group, first) in (0..output.rows()).step_by(ROWS).enumerate() {
            let from = |row: usize| {
                let begin = group * lhs.group_stride + row * lhs.row_stride;
                Lhs { values: lhs.values.get(begin..).unwrap_or(&[]), ..lhs }
            };
            if S::REGISTER_COUNT >= 32 {
                let sums = tile::<S, ROWS, V>(simd, from(0), rhs, vectors);
                output.store(simd, sums, first, vectors);
                continue;
            }
            for half in [0, ROWS / 2] {
                if first + half < output.rows() {
                    let sums = tile::<S, { ROWS / 2 }, V>(simd, from(half), rhs, vectors);
                    output.store(simd, sums, first + half, vectors);
                }
            }
        }
    }
}

/// Depths of one unrolled step: row addresses are computed once for all of them.
const UNROLL: usize = 4;

/// The sums of `R` rows and `V` vectors over the whole depth, in rising order of depth.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    lhs: Lhs<'_>,
    rhs: Rhs<'_>,
    out: &[OutputVector],
) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    let Some(last) = rhs.offsets.len().checked_sub(1) else {
        return sums;
    };
    let farthest = out.iter().fold(0, |far, vector| far.max(vector.from));
    assert!(out.len() == V && rhs.max_offset + farthest + S::F32_LANES <= rhs.values.len());
    assert!(last * lhs.depth_stride + (R - 1) * lhs.row_stride < lhs.values.len());
    // SAFETY: the asserts above say that the last row and depth of the left-hand operand lie inside
    // it, and a whole vector at the largest offset and start inside the right-hand one.
    #[allow(unsafe_code)]
    unsafe {
        let mut begins = [rhs.values.as_ptr(); V];
        for (begin, vector) in begins.iter_mut().zip(out) {
            *begin = begin.add(vector.from);
        }
        let mut a = lhs.values.as_ptr();
        let (unrolled, rest) = rhs.offsets.as_chunks::<UNROLL>();
        for offsets in unrolled {
            for (depth, &offset) in offsets.iter().enumerate() {
                let mut vectors = [simd.splat_f32s(0.0); V];
                for (vector, begin) in vectors.iter_mut().zip(&begins) {
                    *vector = begin.add(offset).cast::<S::f32s>().read_unaligned();
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = *a.add(r * lhs.row_stride + depth * lhs.depth_stride);
                    let factor = simd.splat_f32s(factor);
                    for (sum, vector) in sums.iter_mut().zip(&vectors) {
                        *sum = simd.mul_add_e_f32s(factor, *vector, *sum);
                    }
                }
            }
            a = a.wrapping_add(UNROLL * lhs.depth_stride);
        }
        for &offset in rest {
            let mut vectors = [simd.splat_f32s(0.0); V];
            for (vector, begin) in vectors.iter_mut().zip(&begins) {
                *vector = begin.add(offset).cast::<S::f32s>().read_unaligned();
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = simd.splat_f32s(*a.add(r * lhs.row_stride));
                for (sum, vector) in sums.iter_mut().zip(&vectors) {
                    *sum = simd.mul_add_e_f32s(factor, *vector, *sum);
                }
            }
            a = a.wrapping_add(lhs.depth_stride);
        }
    }
    sums
}
