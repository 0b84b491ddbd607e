//! Transposed matrices and image patches.

use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::{Result, Shape, Tensor, bail};

const MODULE: Module = module!("layout", LAYOUT);
/// Rows and columns of a block's tile.
const TILE: [usize; 2] = [64, 32];
/// Threads of a block that gathers patches.
const THREADS: usize = 256;

/// Transposed matrices, `[B, R, C]` → `[B, C, R]`, contiguous.
#[derive(Debug)]
pub struct Transpose;

impl KernelOp for Transpose {
    const NAME: &'static str = "desam-transpose";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x] = inputs else { bail!("transpose: {} inputs", inputs.len()) };
        let (images, rows, columns) = x.layout.shape().dims3()?;
        let y = on.allocate(x.count(), x.dtype())?;
        if x.count() > 0 {
            let tiles = rows.div_ceil(TILE[0]) * columns.div_ceil(TILE[1]);
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layout_transpose_{}", suffix(x.dtype())?),
                grid: blocks(images * tiles, 1)?,
                threads: 256,
                shared: 0,
                args: &[
                    x.address(on)?,
                    on.address(&y, 0)?,
                    KernelArgument::size(rows)?,
                    KernelArgument::size(columns)?,
                ],
            })?;
        }
        Ok((y, Shape::from((images, columns, rows))))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [_] = inputs else { bail!("transpose: {} inputs", inputs.len()) };
        Ok(vec![Some(run_op(Self, &[grad])?)])
    }
}

/// Square patches as rows (im2col without overlap), `[B, I, H, W]` → `[B, H / side, W / side, I · side²]`
#[derive(Debug)]
pub struct Patches {
    /// Side of a patch.
    pub side: usize,
}

impl KernelOp for Patches {
    const NAME: &'static str = "desam-patches";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let ([x], side) = (inputs, self.side) else { bail!("patches: {} inputs", inputs.len()) };
        let (images, channels, height, width) = x.layout.shape().dims4()?;
        let (down, across, len) = (height / side, width / side, channels * side * side);
        let count = images * down * across * len;
        let y = on.allocate(count, x.dtype())?;
        if count > 0 {
            let work = count / side * side.div_ceil(4);
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layout_patches_{}", suffix(x.dtype())?),
                grid: blocks(work, THREADS)?,
                threads: THREADS as u32,
                shared: 0,
                args: &[
                    x.address(on)?,
                    on.address(&y, 0)?,
                    KernelArgument::size(channels)?,
                    KernelArgument::size(height)?,
                    KernelArgument::size(width)?,
                    KernelArgument::size(side)?,
                    KernelArgument::size(work)?,
                ],
            })?;
        }
        Ok((y, Shape::from((images, down, across, len))))
    }
}
