//! A tensor added to every image of a batch.

use super::{BLOCK, MODULE};
use crate::ops::column_sums::of_columns;
use crate::{Accelerator, KernelArgument, KernelOp, Launch, Operand, blocks, suffix};
use candle_core::{Result, Shape, Tensor, bail};

/// `(x [N, ..], to [1, ..]) → x + to`, both of one type.
#[derive(Debug)]
pub struct BroadcastAdd;

impl KernelOp for BroadcastAdd {
    const NAME: &'static str = "desam-added-to-all";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x, to] = inputs else { bail!("added to all: {} inputs", inputs.len()) };
        let y = on.allocate(x.count(), x.dtype())?;
        if x.count() > 0 {
            let tiles = to.count().div_ceil(BLOCK);
            on.launch(&Launch {
                module: MODULE,
                kernel: &format!("pointwise_added_{}", suffix(x.dtype())?),
                grid: blocks(x.count() / to.count() * tiles, 1)?,
                threads: 256,
                shared: 0,
                args: &[
                    x.address(on)?,
                    to.address(on)?,
                    on.address(&y, 0)?,
                    KernelArgument::size(tiles)?,
                    KernelArgument::size(to.count())?,
                ],
            })?;
        }
        Ok((y, x.layout.shape().clone()))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, to] = inputs else { bail!("added to all: {} inputs", inputs.len()) };
        let dto = to
            .track_op()
            .then(|| of_columns(grad, to.elem_count())?.to_dtype(to.dtype())?.reshape(to.shape()));
        Ok(vec![x.track_op().then(|| grad.clone()), dto.transpose()?])
    }
}
