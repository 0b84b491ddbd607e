//! The backward pass of the block. Buffers are dropped as soon as they are no longer needed.

use super::forward::{FeatureMap, Saved, forward};
use super::residual::{Shortcut, add_output_gradient, branch_gradients, sum_input_gradients};
use super::sizes::{SeBlockSizes, SeBlockWeights};
use crate::ops::instance_norm::tensor;
use crate::{Accelerator, KernelArgument, KernelOp, Operand};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Result, Shape, Storage, Tensor, bail};
use std::sync::{Arc, Mutex};

/// `∂y →` the last of the gradients that are wanted; the others are left in `made`.
pub(super) struct SeBlockBackward {
    pub(super) sizes: SeBlockSizes,
    /// The whole input, `[B, I, H, W]`.
    pub(super) x: Tensor,
    /// Channels of each part of the input.
    pub(super) parts: Vec<usize>,
    /// All convolution kernels, concatenated.
    pub(super) kernels: Tensor,
    pub(super) y: Tensor,
    /// Taken by the first backward pass; a second one recomputes it by a forward pass.
    pub(super) saved: Mutex<Option<Saved>>,
    /// Of each part of the input and of the kernels: whether its gradient is wanted.
    pub(super) wanted: Vec<bool>,
    pub(super) made: Arc<Mutex<Vec<Option<Tensor>>>>,
}

/// The elements of a gradient, and its shape.
type Made<S> = Option<(S, Shape)>;

impl KernelOp for SeBlockBackward {
    const NAME: &'static str = "desam-se-block-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad] = inputs else { bail!("residual block: {} gradients", inputs.len()) };
        let [x, kernels, y] = [&self.x, &self.kernels, &self.y].map(|t| t.storage_and_layout());
        let x = Operand { storage: on.of(&x.0)?, layout: x.1 };
        let flat = Operand { storage: on.of(&kernels.0)?, layout: kernels.1 };
        let y = Operand { storage: on.of(&y.0)?, layout: y.1 };
        let kernels = SeBlockWeights::new(&flat, &self.sizes)?;
        let saved = match self.saved.lock().ok().and_then(|mut saved| saved.take()) {
            Some(saved) => saved,
            None => match forward(on, &self.sizes, &x, &kernels, true)?.1 {
                Some(saved) => saved,
                None => bail!("residual block: nothing was kept"),
            },
        };
        let pass = BackwardPass { on, back: self, x: &x, kernels: &kernels };
        let mut all = pass.gradients([&y, grad], saved, flat.dtype())?;
        let Some(last) = all.iter_mut().rev().find_map(Option::take) else {
            bail!("residual block: no gradient is requested")
        };
        if let Ok(mut made) = self.made.lock() {
            *made = all
                .into_iter()
                .map(|g| g.map(|(values, shape)| tensor(on, values, shape)))
                .collect();
        }
        Ok(last)
    }
}

/// Inputs of every step of the backward pass.
struct BackwardPass<'a, A: Accelerator> {
    on: &'a A,
    back: &'a SeBlockBackward,
    x: &'a Operand<'a, A::Storage>,
    kernels: &'a SeBlockWeights<'a, A::Storage>,
}

impl<A: Accelerator> BackwardPass<'_, A> {
    /// The gradients of each part of the input, and of all kernels, concatenated.
    fn gradients(
        &self,
        behind: [&Operand<'_, A::Storage>; 2],
        saved: Saved,
        dtype: DType,
    ) -> Result<Vec<Made<A::Storage>>> {
        let (on, sizes) = (self.on, &self.back.sizes);
        let (maps, of_kernels) = (sizes.maps(), self.back.wanted.last() == Some(&true));
        let Saved { first, second_moments, third } = saved;

        let convolved = match &third {
            Some(third) => Some((maps.of(on.of(&third.values)?), on.of(&third.moments)?)),
            None => None,
        };
        let shortcut = match &convolved {
            Some((values, moments)) => Shortcut { values, moments: Some(*moments) },
            None => Shortcut { values: self.x, moments: None },
        };
        let d_second =
            branch_gradients(on, behind, on.of(&second_moments)?, &shortcut, sizes.constants)?;
        let (conv2, d_first) = self.before_first(d_second, first, dtype)?;

        let grad = maps.of(&d_first);
        let conv1 = if of_kernels {
            Some(sizes.first().weight_gradient(on, &grad, self.x, dtype)?)
        } else {
            None
        };
        let dx = if self.back.wanted.iter().rev().skip(1).any(|wanted| *wanted) {
            Some(sizes.first().input_gradient(on, &grad, &self.kernels.first())?)
        } else {
            None
        };
        drop(d_first);

        let conv3 = match (&convolved, of_kernels) {
            (Some((grad, _)), true) => {
                Some(sizes.third().weight_gradient(on, grad, self.x, dtype)?)
            }
            _ => None,
        };
        let mut all = match (dx, &convolved) {
            (Some(dx), Some((grad, _))) => {
                let other = sizes.third().input_gradient(on, grad, &self.kernels.third())?;
                self.spread(&dx, &other)?
            }
            (Some(dx), None) => {
                add_output_gradient(on, behind, &dx, sizes.constants)?;
                vec![Some((dx, self.x.layout.shape().clone()))]
            }
            (None, _) => self.back.parts.iter().map(|_| None).collect(),
        };
        let kernels = [conv1, conv2, conv3].into_iter().flatten();
        all.push(if of_kernels { Some(self.row(kernels, dtype)?) } else { None });
        Ok(all)
    }

    /// From the gradient of the second convolution's output: its weight gradient, if it is wanted, and
    /// the gradient of the first convolution's output.
    fn before_first(
        &self,
        grad: A::Storage,
        first: FeatureMap<Storage>,
        dtype: DType,
    ) -> Result<(Option<A::Storage>, A::Storage)> {
        let (on, second, maps) = (self.on, self.back.sizes.second(), self.back.sizes.maps());
        let rectified = maps.of(on.of(&first.values)?);
        let conv2 = match self.back.wanted.last() {
            Some(true) => Some(second.weight_gradient(on, &maps.of(&grad), &rectified, dtype)?),
            _ => None,
        };
        let before = second.input_gradient(on, &maps.of(&grad), &self.kernels.second())?;
        drop(grad);
        let norm = self.back.sizes.constants.first_norm();
        norm.backward(on, [&rectified, &maps.of(&before)], on.of(&first.moments)?, &before)?;
        Ok((conv2, before))
    }

    /// The sum of both, for the parts of the input whose gradient is wanted.
    fn spread(&self, a: &A::Storage, b: &A::Storage) -> Result<Vec<Made<A::Storage>>> {
        let (dims, before) = (self.back.sizes.input(), self.back.parts[0]);
        let each = self.back.parts.iter().zip(&self.back.wanted).map(|(channels, wanted)| {
            let dims = [dims[0], *channels, dims[2], dims[3]];
            let made = wanted.then(|| self.on.allocate(dims.iter().product(), a.dtype()));
            Ok(made.transpose()?.map(|storage| (storage, Shape::from(&dims[..]))))
        });
        let made = each.collect::<Result<Vec<Made<A::Storage>>>>()?;
        let mut to = [KernelArgument::NULL; 2];
        for (to, made) in to.iter_mut().zip(&made) {
            if let Some((storage, _)) = made {
                *to = self.on.address(storage, 0)?;
            }
        }
        sum_input_gradients(self.on, [a, b], to, before, dims)?;
        Ok(made)
    }

    /// The gradients of all kernels, concatenated.
    fn row(
        &self,
        kernels: impl Iterator<Item = A::Storage>,
        dtype: DType,
    ) -> Result<(A::Storage, Shape)> {
        let shape = self.back.kernels.shape().clone();
        let mut row = self.on.allocate(shape.elem_count(), dtype)?;
        let kernels = kernels.zip(self.kernels.counts());
        let mut begin = 0;
        for (kernel, count) in kernels {
            kernel.copy2d(&mut row, 1, count, count, count, 0, begin)?;
            begin += count;
        }
        Ok((row, shape))
    }
}
