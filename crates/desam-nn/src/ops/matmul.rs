//! Matrix product on slices: a safe face for the `gemm` crate.

use candle_core::{CpuStorage, Layout, Result, WithDType, bail};
use gemm::Parallelism;

/// Where a row-major matrix lies in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// Rows.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) cols: usize,
    /// Steps from one row to the next.
    pub(crate) row_stride: usize,
    /// Steps from one column to the next.
    pub(crate) col_stride: usize,
}

impl View {
    /// Row-major without gaps.
    pub(crate) fn dense(rows: usize, cols: usize) -> Self {
        Self { rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Row-major, `row_stride` from row to row.
    pub(crate) fn strided(rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose of this view.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn fits(&self, len: usize) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < len
    }
}

/// A number that `gemm` multiplies well.
pub(crate) trait Real: WithDType + Send + Sync + 'static {
    const ZERO: Self;
    const ONE: Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// The numbers of a contiguous operand.
pub(crate) fn dense<'a, T: WithDType>(
    (storage, layout): (&'a CpuStorage, &Layout),
) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => bail!("operand is not contiguous"),
    }
}

/// Whether the product replaces what the destination holds or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beta {
    Zero,
    One,
}

/// `out ← lhs · rhs` or `out ← out + lhs · rhs`.
///
/// # Errors
/// When the shapes do not chain or a view reaches beyond its slice.
pub(crate) fn matmul<T: Real>(
    (out, to): (&mut [T], View),
    (lhs, l): (&[T], View),
    (rhs, r): (&[T], View),
    beta: Beta,
    parallelism: Parallelism,
) -> Result<()> {
    let chains = l.rows == to.rows && l.cols == r.rows && r.cols == to.cols;
    if !chains || !to.fits(out.len()) || !l.fits(lhs.len()) || !r.fits(rhs.len()) {
        bail!("matmul: {l:?} of {} × {r:?} of {} → {to:?} of {}", lhs.len(), rhs.len(), out.len());
    }
    if beta == Beta::Zero && l.cols == 0 {
        out.fill(T::ZERO);
        return Ok(());
    }
    // SAFETY: the views were checked against their slices above, and `out` is borrowed exclusively,
    // so it overlaps neither operand.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            to.rows,
            to.cols,
            l.cols,
            out.as_mut_ptr(),
            to.col_stride as isize,
            to.row_stride as isize,
            beta == Beta::One,
            lhs.as_ptr(),
            l.col_stride as isize,
            l.row_stride as isize,
            rhs.as_ptr(),
            r.col_stride as isize,
            r.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}
