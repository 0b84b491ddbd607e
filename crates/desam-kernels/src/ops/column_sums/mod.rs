//! Column sums of a matrix: gradients of biases and of broadcast operands.

use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Result, Shape, Tensor, bail};

const MODULE: Module = module!("column_sums", COLUMN_SUMS);
/// Rows per block.
pub(crate) const ROWS: usize = 256;
/// Columns per block.
const COLUMNS: usize = 128;

/// Grid of blocks of 256 threads, one per chunk of [`ROWS`] rows and 128 columns.
///
/// # Errors
/// When there are more than a GPU takes.
pub(crate) fn grid(rows: usize, width: usize) -> Result<[u32; 3]> {
    blocks(rows.div_ceil(ROWS).max(1) * width.div_ceil(COLUMNS), 1)
}

/// A contiguous matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, S> {
    /// Holds its elements.
    pub(crate) storage: &'a S,
    /// Of the first element.
    pub(crate) offset: usize,
    /// Rows.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) width: usize,
}

/// Sums of the columns, `[width]`, f32; zeros if there are no rows.
///
/// # Errors
/// When a kernel cannot be started.
pub(crate) fn column_sums<A: Accelerator>(
    on: &A,
    matrix: Matrix<'_, A::Storage>,
) -> Result<A::Storage> {
    let Matrix { storage, offset, rows, width } = matrix;
    let chunks = rows.div_ceil(ROWS).max(1);
    let sums = on.allocate(chunks * width, DType::F32)?;
    if width > 0 {
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("column_sums_{}", suffix(storage.dtype())?),
            grid: grid(rows, width)?,
            threads: 256,
            shared: 0,
            args: &[
                on.address(storage, offset)?,
                on.address(&sums, 0)?,
                KernelArgument::size(rows)?,
                KernelArgument::size(width)?,
                KernelArgument::size(ROWS)?,
            ],
        })?;
    }
    match chunks {
        1 => Ok(sums),
        rows => column_sums(on, Matrix { storage: &sums, offset: 0, rows, width }),
    }
}

/// `x`, taken as a matrix with rows of `width` numbers, on a GPU → `[width]`, f32.
///
/// # Errors
/// When `x` is no such matrix.
pub(crate) fn of_columns(x: &Tensor, width: usize) -> Result<Tensor> {
    run_op(ColumnSums { width }, &[&x.detach()])
}

struct ColumnSums {
    width: usize,
}

impl KernelOp for ColumnSums {
    const NAME: &'static str = "desam-column-sums";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let ([x], width) = (inputs, self.width) else {
            bail!("column sums: {} inputs", inputs.len())
        };
        let rows = x.count() / width.max(1);
        if rows * width != x.count() {
            bail!("column sums: {} numbers in rows of {width}", x.count());
        }
        let offset = x.layout.start_offset();
        let sums = column_sums(on, Matrix { storage: x.storage, offset, rows, width })?;
        Ok((sums, Shape::from(width)))
    }
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod tests;
