//! The same by kernels.

use crate::gpu::{
    Accelerator, Arg, KernelOp, Launch, Module, Operand, apply, blocks, module, suffix,
};
use candle_core::{Result, Shape, Tensor, bail};

const MODULE: Module = module!("layout", LAYOUT);
/// Rows and columns of a block's tile.
const TILE: [usize; 2] = [64, 32];
/// Threads of a block that puts patches together.
const THREADS: usize = 256;

/// `[B, R, C]` → `[B, C, R]`
pub(super) struct Turned;

impl KernelOp for Turned {
    const NAME: &'static str = "desam-turned";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x] = inputs else { bail!("turned: {} inputs", inputs.len()) };
        let (images, rows, columns) = x.layout.shape().dims3()?;
        let y = on.allocate(x.count(), x.dtype())?;
        if x.count() > 0 {
            let tiles = rows.div_ceil(TILE[0]) * columns.div_ceil(TILE[1]);
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("layout_turn_{}", suffix(x.dtype())?),
                grid: blocks(images * tiles, 1)?,
                threads: 256,
                shared: 0,
                args: &[x.address(on)?, on.address(&y, 0)?, Arg::size(rows)?, Arg::size(columns)?],
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
        let [_] = inputs else { bail!("turned: {} inputs", inputs.len()) };
        Ok(vec![Some(apply(Self, &[grad])?)])
    }
}

/// `[B, I, H, W]` → `[B, H / side, W / side, I · side²]`
pub(super) struct Patches {
    pub(super) side: usize,
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
                    Arg::size(channels)?,
                    Arg::size(height)?,
                    Arg::size(width)?,
                    Arg::size(side)?,
                    Arg::size(work)?,
                ],
            })?;
        }
        Ok((y, Shape::from((images, down, across, len))))
    }
}
