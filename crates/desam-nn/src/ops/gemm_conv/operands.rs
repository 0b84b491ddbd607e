//! Operands and result of the microkernel: left-hand rows, right-hand vectors, output vectors.

/// Rows of the output that one tile covers; the left-hand operand is packed in panels of as many.
pub(crate) const ROWS: usize = 8;

/// Vectors of the output that one tile covers at most.
pub(crate) const VECTORS: usize = 3;

/// The left-hand operand: row `r` at depth `k` is `values[k · depth_stride + r · row_stride]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lhs<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) depth_stride: usize,
    pub(crate) row_stride: usize,
    /// From a group of [`ROWS`] rows to the next, where there are more rows than one tile has.
    pub(crate) group_stride: usize,
}

impl<'a> Lhs<'a> {
    /// A packed panel `[depth, ROWS]`.
    pub(crate) fn panel(values: &'a [f32]) -> Self {
        Self::panels(values, 0)
    }

    /// Packed panels `[depth, ROWS]`, `group_stride` numbers apart.
    pub(crate) fn panels(values: &'a [f32], group_stride: usize) -> Self {
        Self { values, depth_stride: ROWS, row_stride: 1, group_stride }
    }

    /// An unpacked row-major matrix, `row_stride` numbers from row to row.
    pub(crate) fn row_major(values: &'a [f32], row_stride: usize) -> Self {
        Self { values, depth_stride: 1, row_stride, group_stride: ROWS * row_stride }
    }
}

/// The right-hand operand: the vector at depth `k` begins at `offsets[k]`, plus the start of its
/// [`OutputVector`]. Offsets instead of a stride are what makes implicit GEMM possible: the taps of
/// a convolution are irregular steps in an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhs<'a> {
    pub(super) values: &'a [f32],
    pub(super) offsets: &'a [usize],
    /// The largest offset: with it a tile checks its bounds once, not at every depth.
    pub(super) max_offset: usize,
}

impl<'a> Rhs<'a> {
    /// Finds the largest offset.
    pub(crate) fn new(values: &'a [f32], offsets: &'a [usize]) -> Self {
        Self { values, offsets, max_offset: offsets.iter().copied().max().unwrap_or(0) }
    }
}

/// One vector of the output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OutputVector {
    /// Its start in the right-hand operand, relative to each offset.
    pub(crate) from: usize,
    /// Its start in a row of the output.
    pub(crate) to: usize,
    /// Numbers that are stored; a whole vector is read in any case.
    pub(crate) len: usize,
}

impl OutputVector {
    /// `width` numbers at one position of operand and output, as vectors of at most `lanes`.
    pub(crate) fn of_row(width: usize, lanes: usize) -> Vec<Self> {
        Self::of_rows(1, width, lanes, |_| 0)
    }

    /// `rows` rows of `width` numbers as vectors of at most `lanes`: row `r` begins at `from(r)` in
    /// the right-hand operand, and the output's rows follow each other without gaps.
    pub(crate) fn of_rows(
        rows: usize,
        width: usize,
        lanes: usize,
        from: impl Fn(usize) -> usize,
    ) -> Vec<Self> {
        let row = |r: usize| {
            let begin = from(r);
            (0..width).step_by(lanes).map(move |x| Self {
                from: begin + x,
                to: r * width + x,
                len: lanes.min(width - x),
            })
        };
        (0..rows).flat_map(row).collect()
    }

    /// `N` whole vectors next to each other: the columns of one tile.
    pub(crate) fn of_tile<const N: usize>(lanes: usize) -> [Self; N] {
        std::array::from_fn(|v| Self { from: v * lanes, to: v * lanes, len: lanes })
    }
}

/// An output of evenly spaced rows: `stride` numbers apart, of which the first `rows` are stored.
#[derive(Debug)]
pub(crate) struct StridedOutput<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// Whether the product is added to the values that are there (BLAS's beta of 1).
    pub(crate) add: bool,
}
