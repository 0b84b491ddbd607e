//! The affine map plus a residual where a gradient is wanted: only the sum is kept.

use super::cpu::{ProductSizes, column_sums};
use crate::ops::gemm_conv::{DenseGemm, TileEpilogue};
use crate::ops::matmul::{Stored, dense};
use crate::ops::vector::f32s;
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};

/// `(x, parameters, to) → to + x · weightᵀ + bias`, f32: the parameters are the weight's numbers
/// `[outputs, inputs]`, then the biases, if there are any.
pub(super) struct LinearResidual {
    pub(super) outputs: usize,
}

impl LinearResidual {
    fn sizes(&self, x: &Shape) -> ProductSizes {
        let inputs = x.dims().last().copied().unwrap_or(0);
        let rows = x.elem_count() / inputs.max(1);
        ProductSizes { rows, inputs, outputs: self.outputs }
    }

    /// Splits the shared input into weight and biases.
    fn split<'a>(&self, parameters: &'a [f32], inputs: usize) -> Result<(&'a [f32], &'a [f32])> {
        match parameters.split_at_checked(self.outputs * inputs) {
            Some((weight, bias)) if [0, self.outputs].contains(&bias.len()) => Ok((weight, bias)),
            _ => bail!(
                "linear: {} numbers for {} outputs of {inputs} inputs",
                parameters.len(),
                self.outputs
            ),
        }
    }
}

impl CustomOp3 for LinearResidual {
    fn name(&self) -> &'static str {
        "desam-linear-added"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        parameters: &CpuStorage,
        pl: &Layout,
        to: &CpuStorage,
        tl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let stored: [Stored<'_>; 3] = [(x, xl), (parameters, pl), (to, tl)];
        let [x, parameters, residual] = [dense(stored[0])?, dense(stored[1])?, dense(stored[2])?];
        let ProductSizes { rows, inputs, outputs } = self.sizes(xl.shape());
        let (weight, bias) = self.split(parameters, inputs)?;
        let mut dims = xl.shape().dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        let epilogue = TileEpilogue { bias, residual, ..TileEpilogue::default() };
        let y = DenseGemm { x, weight, rows, inputs, outputs }.run(epilogue)?;
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        to: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let sizes = self.sizes(x.shape());
        let ((xs, xl), (ps, pl)) = (x.storage_and_layout(), parameters.storage_and_layout());
        let (gs, gl) = grad.storage_and_layout();
        let (xs, ps, gs) = (f32s(&xs, xl)?, f32s(&ps, pl)?, f32s(&gs, gl)?);
        let (weight, bias) = self.split(ps, sizes.inputs)?;
        let tensor = |values, shape: &Shape| Tensor::from_vec(values, shape, &Device::Cpu);
        let dx = x.track_op().then(|| tensor(sizes.input_gradient(gs, weight)?, x.shape()));
        let dparameters = parameters.track_op().then(|| {
            let mut all = sizes.weight_gradient(gs, xs)?;
            if !bias.is_empty() {
                all.extend(column_sums(gs, sizes.outputs)?);
            }
            tensor(all, parameters.shape())
        });
        // A residual that was broadcast gets the sum over what it was added to.
        let broadcast = to.shape() != grad.shape();
        let dto =
            to.track_op().then(|| if broadcast { grad.sum_keepdim(0) } else { Ok(grad.clone()) });
        Ok((dx.transpose()?, dparameters.transpose()?, dto.transpose()?))
    }
}
