//! Cross attention on the CPU: shapes, and the choice between the two layouts of scores.

use super::heads::{AttentionSizes, Inputs};
use super::{few_keys, few_queries};
use crate::ops::matmul::{Stored, dense};
use crate::ops::vector::f32s;
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};

/// The op `(q, k, v) → y`, f32.
pub(super) struct CrossAttention {
    pub(super) heads: usize,
}

impl CustomOp3 for CrossAttention {
    fn name(&self) -> &'static str {
        "desam-cross-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = AttentionSizes::new(ql.shape(), kl.shape(), vl.shape(), self.heads)?;
        let stored: [Stored<'_>; 3] = [(q, ql), (k, kl), (v, vl)];
        let inputs = Inputs { q: dense(stored[0])?, k: dense(stored[1])?, v: dense(stored[2])? };
        // Vectors run along the longer sequence.
        let y = if sizes.queries < sizes.keys {
            few_queries::forward(inputs, sizes)?
        } else {
            few_keys::forward(inputs, sizes)?
        };
        Ok((CpuStorage::F32(y), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let sizes = AttentionSizes::new(q.shape(), k.shape(), v.shape(), self.heads)?;
        let ((qs, ql), (ks, kl)) = (q.storage_and_layout(), k.storage_and_layout());
        let ((vs, vl), (gs, gl)) = (v.storage_and_layout(), grad.storage_and_layout());
        let inputs = Inputs { q: f32s(&qs, ql)?, k: f32s(&ks, kl)?, v: f32s(&vs, vl)? };
        let g = f32s(&gs, gl)?;
        let gradients = if sizes.queries < sizes.keys {
            few_queries::backward(inputs, g, sizes)?
        } else {
            few_keys::backward(inputs, g, sizes)?
        };
        let tensor = |numbers: Vec<f32>, of: &Tensor| -> Result<Option<Tensor>> {
            Ok(Some(Tensor::from_vec(numbers, of.shape(), &Device::Cpu)?))
        };
        Ok((tensor(gradients.q, q)?, tensor(gradients.k, k)?, tensor(gradients.v, v)?))
    }
}
