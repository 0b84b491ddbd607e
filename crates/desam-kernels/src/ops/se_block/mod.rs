//! PIMM's residual block with squeeze-excitation, as one op.
//!
//! For the backward pass a block saves one map between its convolutions and the output of the shortcut's
//! convolution. The map is taken behind instance norm and LeakyReLU: the weight gradient of the second
//! convolution reads it, and the norm's output follows from it. So a block keeps two maps of the
//! output's size in addition to its output, or one where the shortcut is the input itself. Two
//! concatenated inputs are copied into one tensor, but get separate gradients.

mod backward;
mod forward;
mod residual;
mod sizes;

pub use forward::SeBlockTail;

use crate::ops::instance_norm::NormLeakyRelu;
use crate::{Accelerator, KernelArgument, KernelOp, Operand, run_op};
use backward::SeBlockBackward;
use candle_core::{Result, Shape, Tensor, bail};
use forward::{Saved, forward};
use sizes::{SeBlockSizes, SeBlockWeights};
use std::sync::{Arc, Mutex};

/// The constants of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeBlockConstants {
    /// Added to the variance by the instance norms.
    pub eps: f64,
    /// Of the LeakyReLUs below zero.
    pub slope: f32,
    /// Factor of the squeeze-excitation.
    pub gate: f32,
}

impl SeBlockConstants {
    /// The norm and the rectifier behind the first convolution.
    fn first_norm(self) -> NormLeakyRelu {
        NormLeakyRelu { eps: self.eps, slope: self.slope }
    }

    fn args(self) -> [KernelArgument; 3] {
        [
            KernelArgument::F32(self.eps as f32),
            KernelArgument::F32(self.gate),
            KernelArgument::F32(self.slope),
        ]
    }
}

/// Shape of a block beyond its input's.
#[derive(Debug, Clone, Copy)]
pub struct SeBlockConfig {
    /// Channels of the output.
    pub outputs: usize,
    /// Whether the shortcut is convolved.
    pub convolved: bool,
    /// Whether a gradient will be asked for.
    pub keep: bool,
    /// Numbers of the official block.
    pub constants: SeBlockConstants,
}

/// `(x, kernels) → y` or `(a, b, kernels) → y`, the convolution kernels concatenated.
#[derive(Debug)]
pub struct SeBlock {
    config: SeBlockConfig,
    /// `a` and `b`, where there are two.
    joined: Option<Tensor>,
    saved: Mutex<Option<Saved>>,
}

impl SeBlock {
    /// A block that reads `parts`, the channels of which follow each other.
    ///
    /// # Errors
    /// When the parts do not fit.
    pub fn new(parts: &[&Tensor], config: SeBlockConfig) -> Result<Self> {
        let joined = match parts {
            [_] => None,
            parts => {
                let parts = parts.iter().map(|part| part.detach().contiguous());
                // candle concatenates strided tensors into a strided one.
                Some(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)?)
            }
        };
        Ok(Self { config, joined, saved: Mutex::new(None) })
    }

    fn run_on<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        kernels: &Operand<'_, A::Storage>,
    ) -> Result<(A::Storage, Shape)> {
        let sizes = SeBlockSizes::of(x.dims(), &self.config)?;
        let (y, saved) =
            forward(on, &sizes, x, &SeBlockWeights::new(kernels, &sizes)?, self.config.keep)?;
        if let Ok(mut kept) = self.saved.lock() {
            *kept = saved;
        }
        Ok((y, sizes.maps().shape().clone()))
    }
}

impl KernelOp for SeBlock {
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
        let back = SeBlockBackward {
            sizes: SeBlockSizes::of(x.dims(), &self.config)?,
            x,
            parts: parts.iter().map(|part| part.dim(1)).collect::<Result<_>>()?,
            kernels: kernels.detach(),
            y: output.detach(),
            saved: Mutex::new(self.saved.lock().ok().and_then(|mut saved| saved.take())),
            wanted: wanted.clone(),
            made: made.clone(),
        };
        let last = run_op(back, &[&grad.to_dtype(output.dtype())?.detach()])?;
        let mut all = match made.lock() {
            Ok(mut made) => std::mem::take(&mut *made),
            Err(_) => bail!("residual block: the backward pass failed"),
        };
        if let Some(index) = wanted.iter().rposition(|wanted| *wanted) {
            all[index] = Some(last);
        }
        Ok(all)
    }
}
