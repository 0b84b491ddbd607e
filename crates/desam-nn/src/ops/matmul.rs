//! Matrix product on slices: a safe wrapper of the `gemm` crate.

use candle_core::{CpuStorage, Layout, Result, WithDType, bail};
use gemm::Parallelism;

/// Shape and strides of a matrix in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// Rows.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) cols: usize,
    /// Numbers from one row to the next.
    pub(crate) row_stride: usize,
    /// Numbers from one column to the next.
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

    /// A matrix of this layout in `numbers`.
    pub(crate) fn on<T>(self, numbers: &[T]) -> Matrix<'_, T> {
        Matrix { numbers, view: self }
    }

    /// An output of this layout in `numbers`.
    pub(crate) fn on_mut<T>(self, numbers: &mut [T]) -> MatrixMut<'_, T> {
        MatrixMut { numbers, view: self }
    }

    fn fits(&self, len: usize) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < len
    }
}

/// A matrix in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) numbers: &'a [T],
    pub(crate) view: View,
}

impl<T> Matrix<'_, T> {
    /// The transpose, without a copy.
    pub(crate) fn t(self) -> Self {
        Self { view: self.view.t(), ..self }
    }
}

/// A matrix that is written to.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a, T> {
    numbers: &'a mut [T],
    view: View,
}

/// A float type of the `gemm` crate.
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

/// A tensor as candle passes it to an op.
pub(crate) type Stored<'a> = (&'a CpuStorage, &'a Layout);

/// The slice of a contiguous operand.
pub(crate) fn dense<'a, T: WithDType>(stored: (&'a CpuStorage, &Layout)) -> Result<&'a [T]> {
    let (storage, layout) = stored;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => bail!("operand is not contiguous"),
    }
}

/// Factor of the output before the product is added, as BLAS's beta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beta {
    /// The product replaces the output.
    Zero,
    /// The product is added to the output.
    One,
}

/// Matrix product `out ← lhs · rhs` or `out ← out + lhs · rhs`.
///
/// # Errors
/// When the shapes do not chain or a view reaches beyond its slice.
pub(crate) fn matmul<T: Real>(
    out: MatrixMut<'_, T>,
    lhs: Matrix<'_, T>,
    rhs: Matrix<'_, T>,
    beta: Beta,
    parallelism: Parallelism,
) -> Result<()> {
    let MatrixMut { numbers: out, view: to } = out;
    let (Matrix { numbers: lhs, view: l }, Matrix { numbers: rhs, view: r }) = (lhs, rhs);
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
