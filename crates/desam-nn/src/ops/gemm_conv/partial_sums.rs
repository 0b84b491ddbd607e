//! Partial sums of a weight gradient: how many there are, and of which strips.

use super::strip::Strip;
use rayon::prelude::*;

/// Most partial sums, and most numbers of all of them together. Each is accumulated by one task, and
/// all are added in their order: their number follows from sizes alone, never from the threads, so
/// the bits repeat.
const PARTIAL_SUMS: usize = 16;
const PARTIAL_SUMS_NUMBERS: usize = 8 << 20;

/// Strips that a partial sum has at least: rows shared with the strip before need not be transposed
/// again. There are a few partial sums in any case.
const MIN_STRIPS: usize = 4;
const MIN_PARTIAL_SUMS: usize = 4;

/// Chunks of `strips` of which each makes one partial sum of `len` numbers.
pub(super) fn partial_sums(strips: &[Strip], len: usize) -> rayon::slice::Chunks<'_, Strip> {
    let most = PARTIAL_SUMS.min(PARTIAL_SUMS_NUMBERS / len.max(1));
    let count = most.min(strips.len() / MIN_STRIPS).max(MIN_PARTIAL_SUMS);
    strips.par_chunks(strips.len().div_ceil(count).max(1))
}
