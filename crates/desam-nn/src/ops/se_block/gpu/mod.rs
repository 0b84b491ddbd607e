//! The block by kernels.
//!
//! As on the CPU, of what stands between the convolutions one map is kept, and of the shortcut its
//! convolution's output. The map is the one behind norm and rectifier: it is what the second
//! convolution's kernel meets again, and the norm's output is read off it. So a block keeps two maps
//! of the output's size with its output, or one where the shortcut is its input. Two joined inputs are
//! copied into one tensor, but get their gradients apart.

mod backward;
mod forward;
mod meeting;
mod sizes;

pub(super) use forward::Finish;

use crate::gpu::{Accelerator, KernelOp, Operand, apply};
use backward::Back;
use candle_core::{Result, Shape, Tensor, bail};
use forward::{Saved, forward};
use sizes::{Kernels, Sizes};
use std::sync::{Arc, Mutex};

/// `(x, kernels) → y` or `(a, b, kernels) → y`, the kernels all in a row.
pub(super) struct Block {
    outputs: usize,
    /// Whether the shortcut is convolved.
    convolved: bool,
    /// `a` and `b`, where there are two.
    joined: Option<Tensor>,
    /// Whether there will be a way back.
    keep: bool,
    saved: Mutex<Option<Saved>>,
}

impl Block {
    /// A block that reads `parts`.
    pub(super) fn new(
        parts: &[&Tensor],
        outputs: usize,
        convolved: bool,
        keep: bool,
    ) -> Result<Self> {
        let joined = match parts {
            [_] => None,
            parts => {
                let parts = parts.iter().map(|part| part.detach().contiguous());
                // Of tensors with gaps candle would make one with gaps.
                Some(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)?)
            }
        };
        Ok(Self { outputs, convolved, joined, keep, saved: Mutex::new(None) })
    }

    fn run_on<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        kernels: &Operand<'_, A::Storage>,
    ) -> Result<(A::Storage, Shape)> {
        let sizes = Sizes::of(x.dims(), self.outputs, self.convolved)?;
        let (y, saved) = forward(on, &sizes, x, &Kernels::new(kernels, &sizes)?, self.keep)?;
        if let Ok(mut kept) = self.saved.lock() {
            *kept = saved;
        }
        Ok((y, sizes.maps().shape().clone()))
    }
}

impl KernelOp for Block {
    const NAME: &'static str = "desam-se-block";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        match (inputs, &self.joined) {
            ([x, kernels], None) => self.run_on(on, x, kernels),
            ([_, _, kernels], Some(joined)) => {
                let (storage, layout) = joined.storage_and_layout();
                self.run_on(on, &Operand { storage: on.of(&storage)?, layout }, kernels)
            }
            _ => bail!("residual block: {} inputs", inputs.len()),
        }
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let Some((kernels, parts)) = inputs.split_last() else {
            bail!("residual block: no inputs")
        };
        let x = self.joined.as_ref().unwrap_or(parts[0]).detach();
        let wanted = inputs.iter().map(|t| t.track_op()).collect::<Vec<_>>();
        let made = Arc::new(Mutex::new(vec![]));
        let back = Back {
            sizes: Sizes::of(x.dims(), self.outputs, self.convolved)?,
            x,
            parts: parts.iter().map(|part| part.dim(1)).collect::<Result<_>>()?,
            kernels: kernels.detach(),
            y: output.detach(),
            saved: Mutex::new(self.saved.lock().ok().and_then(|mut saved| saved.take())),
            wanted: wanted.clone(),
            made: made.clone(),
        };
        let last = apply(back, &[&grad.to_dtype(output.dtype())?.detach()])?;
        let mut all = match made.lock() {
            Ok(mut made) => std::mem::take(&mut *made),
            Err(_) => bail!("residual block: the way back failed"),
        };
        if let Some(place) = wanted.iter().rposition(|wanted| *wanted) {
            all[place] = Some(last);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
