//! What a tile reads and writes.

use super::microkernel::ROWS;

/// The left operand: row `r` at depth `k` is `values[k · by_depth + r · by_row]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) by_depth: usize,
    pub(crate) by_row: usize,
}

impl<'a> Left<'a> {
    /// A packed panel `[depth, ROWS]`.
    pub(crate) fn panel(values: &'a [f32]) -> Self {
        Self { values, by_depth: ROWS, by_row: 1 }
    }

    /// Rows as they lie, `by_row` apart.
    pub(crate) fn lines(values: &'a [f32], by_row: usize) -> Self {
        Self { values, by_depth: 1, by_row }
    }
}

/// The right operand: the vector at depth `k` begins at `offsets[k]`, plus where its [`Spot`] lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) offsets: &'a [usize],
    /// The farthest offset.
    pub(super) reach: usize,
}

impl<'a> Right<'a> {
    /// Finds out how far the offsets reach, so that a tile need not look at each.
    pub(crate) fn new(values: &'a [f32], offsets: &'a [usize]) -> Self {
        Self { values, offsets, reach: offsets.iter().copied().max().unwrap_or(0) }
    }
}

/// One vector of the result.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spot {
    /// Where it begins in the right operand, from each offset.
    pub(crate) from: usize,
    /// Where it begins in a row of the result.
    pub(crate) to: usize,
    /// How many of its numbers are wanted; a vector's worth is read in any case.
    pub(crate) len: usize,
}

/// Cuts rows of `width` numbers into spots of at most `lanes`: row `r` begins at `from(r)` in the
/// right operand, and the result's rows follow each other without gaps.
pub(crate) fn spots(
    rows: usize,
    width: usize,
    lanes: usize,
    from: impl Fn(usize) -> usize,
) -> Vec<Spot> {
    let row = |r: usize| {
        let begin = from(r);
        (0..width).step_by(lanes).map(move |x| Spot {
            from: begin + x,
            to: r * width + x,
            len: lanes.min(width - x),
        })
    };
    (0..rows).flat_map(row).collect()
}

/// The result: rows of `values`, `stride` apart, of which the first `rows` are wanted.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// Whether the product is added to what is there.
    pub(crate) add: bool,
}
