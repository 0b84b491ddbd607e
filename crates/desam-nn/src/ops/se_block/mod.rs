//! PIMM's residual block with the official squeeze-excitation (a factor of ½), as one op.
//!
//! conv 3×3, instance norm, LeakyReLU, conv 3×3, instance norm, times ½, plus the shortcut (a 1×1
//! convolution and instance norm where channels differ), LeakyReLU. What stands between two
//! convolutions is never written to memory: it is done again whenever a convolution reads it. Only
//! the convolutions' own outputs are kept for the gradient, and freed while it is made.

mod backward;
mod block;
mod branches;
mod finish;
mod forward;
#[cfg(feature = "kernels")]
mod gpu;
mod kernels;

use super::conv2d::{self, Conv2dConfig};
use super::instance_norm;
use super::pointwise::plain_leaky_relu;
use candle_core::{DType, Result, Tensor, bail};

pub use finish::finish;

use block::{Block, One, Two};

/// LeakyReLU's slope, the instance norm's epsilon and the gate (facts of the official block).
pub(crate) const SLOPE: f32 = 0.01;
pub(crate) const EPS: f64 = 1e-5;
pub(crate) const GATE: f32 = 0.5;

/// Kernels of a block.
#[derive(Debug, Clone, Copy)]
pub struct SeBlockKernels<'a> {
    /// `[O, I, 3, 3]`
    pub conv1: &'a Tensor,
    /// `[O, O, 3, 3]`
    pub conv2: &'a Tensor,
    /// `[O, I, 1, 1]`, where the shortcut is convolved: where `I` and `O` differ.
    pub conv3: Option<&'a Tensor>,
}

impl SeBlockKernels<'_> {
    fn check(&self, inputs: usize) -> Result<()> {
        let (o, i, _, _) = self.conv1.dims4()?;
        let fits = i == inputs
            && self.conv1.dims() == [o, i, 3, 3]
            && self.conv2.dims() == [o, o, 3, 3]
            && self.conv3.map_or(i == o, |c| c.dims() == [o, i, 1, 1]);
        match fits {
            true => Ok(()),
            false => bail!(
                "residual block: kernels {:?}, {:?} and {:?} on {inputs} channels",
                self.conv1.dims(),
                self.conv2.dims(),
                self.conv3.map(Tensor::dims)
            ),
        }
    }

    /// All numbers in a row, so that an op can take them as one input.
    fn flat(&self) -> Result<Tensor> {
        let all = [Some(self.conv1), Some(self.conv2), self.conv3];
        let flat = all.into_iter().flatten().map(Tensor::flatten_all);
        Tensor::cat(&flat.collect::<Result<Vec<_>>>()?, 0)
    }
}

/// `x`, one or two tensors `[B, I, H, W]` whose channels follow each other, → `[B, O, H, W]`. Two
/// are read where they lie, without being joined.
///
/// # Errors
/// When shapes do not fit.
pub fn se_block(x: &[&Tensor], kernels: SeBlockKernels<'_>) -> Result<Tensor> {
    let channels = x.iter().map(|x| x.dim(1)).sum::<Result<usize>>()?;
    kernels.check(channels)?;
    let flat = kernels.flat()?;
    let tracked = flat.track_op() || x.iter().any(|x| x.track_op());
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x, &[&flat]].concat()) {
        return gpu::se_block(x, &kernels, &flat, tracked);
    }
    let ours = x.iter().all(|x| x.device().is_cpu() && x.dtype() == DType::F32);
    let block = Block::new(kernels.conv1.dim(0)?, kernels.conv3.is_some(), tracked);
    match x {
        [x] if ours => x.contiguous()?.apply_op2(&flat, One(block)),
        [a, b] if ours && kernels.conv3.is_some() => {
            if (a.dim(0)?, a.dim(2)?, a.dim(3)?) != (b.dim(0)?, b.dim(2)?, b.dim(3)?) {
                bail!("residual block: {:?} cannot be joined with {:?}", a.dims(), b.dims());
            }
            let (a, b) = (a.contiguous()?, b.contiguous()?);
            a.apply_op3(&b, &flat, Two(block))
        }
        all => plain(all, kernels),
    }
}

/// The definition, op by op: the reference.
///
/// # Errors
/// When shapes do not fit.
pub fn plain(x: &[&Tensor], kernels: SeBlockKernels<'_>) -> Result<Tensor> {
    let x = Tensor::cat(x, 1)?;
    let slope = f64::from(SLOPE);
    let conv =
        |x: &Tensor, kernel: &Tensor| conv2d::plain(x, kernel, Conv2dConfig::same(kernel.dim(2)?));
    let main = instance_norm::plain(&conv(&x, kernels.conv1)?, EPS, slope)?;
    let main = instance_norm::plain(&conv(&main, kernels.conv2)?, EPS, 1.0)?;
    let shortcut = match kernels.conv3 {
        Some(kernel) => instance_norm::plain(&conv(&x, kernel)?, EPS, 1.0)?,
        None => x,
    };
    plain_leaky_relu(&(main.affine(f64::from(GATE), 0.0)? + shortcut)?, slope)
}

#[cfg(test)]
#[cfg(feature = "emulation")]
mod kernel_tests;
#[cfg(test)]
mod tests;
