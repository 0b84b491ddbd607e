//! Broadcast sum over the first dimension.

use super::gpu::MODULE;
use crate::gpu::{Accelerator, Arg, KernelOp, Launch, Operand, Path, apply, blocks, path, suffix};
use crate::ops::column_sums::of_columns;
use candle_core::{Result, Shape, Tensor, bail};

/// Numbers of a block.
const BLOCK: usize = 4096;

/// Broadcast sum `x [N, ..] + to [1, ..]`: `to` is added to each of the `N`.
///
/// # Errors
/// When shapes do not fit.
pub fn broadcast_add(x: &Tensor, to: &Tensor) -> Result<Tensor> {
    match (x.dims(), to.dims()) {
        ([_, rest @ ..], [1, same @ ..]) if rest == same => {}
        (x, to) => bail!("{to:?} is to be added to each of {x:?}"),
    }
    match path(&[x, to]) {
        Path::Kernels if x.dtype() == to.dtype() => apply(Added, &[x, to]),
        _ => x.broadcast_add(to),
    }
}

/// `(x, to) → x + to`
struct Added;

impl KernelOp for Added {
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
                    Arg::size(tiles)?,
                    Arg::size(to.count())?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{compare_kernels, random};
    use candle_core::DType;

    #[test]
    fn kernels_broadcast_the_sum() {
        // One rounding, of numbers below 2.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 8e-3), (DType::F16, 1e-3)] {
            for shape in [[1, 1, 1], [3, 5, 7], [2, 8, 516], [2, 0, 3]] {
                let all = [random(1, &shape), random(2, &[1, shape[1], shape[2]])];
                let plain = |t: &[Tensor]| t[0].broadcast_add(&t[1]);
                let with = (dtype, limit, shape[1] > 0);
                compare_kernels(&all, |t| broadcast_add(&t[0], &t[1]), plain, with);
            }
            let part = |t: &[Tensor]| Ok([t[0].narrow(0, 1, 2)?.transpose(1, 2)?, t[1].clone()]);
            compare_kernels(
                &[random(1, &[3, 4, 6]), random(2, &[1, 6, 4])],
                |t| part(t).and_then(|[x, to]| broadcast_add(&x, &to)),
                |t| part(t).and_then(|[x, to]| x.broadcast_add(&to)),
                (dtype, limit, true),
            );
        }
        let [x, to] = [random(1, &[3, 4]), random(1, &[2, 4])];
        assert!(broadcast_add(&x, &to).is_err() && broadcast_add(&x, &x).is_err());
    }
}
