//! LeakyReLU in one pass, forward and backward.

use crate::ops::matmul::{Real, dense};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Numbers a thread takes at once.
const CHUNK: usize = 1 << 15;

/// `x → y`.
pub(super) struct LeakyRelu {
    pub(super) slope: f64,
}

impl CustomOp1 for LeakyRelu {
    fn name(&self) -> &'static str {
        "desam-leaky-relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = (x, layout);
        let y = match x.0 {
            CpuStorage::F32(_) => CpuStorage::F32(along(dense::<f32>(x)?, dense(x)?, self.slope)),
            CpuStorage::F64(_) => CpuStorage::F64(along(dense::<f64>(x)?, dense(x)?, self.slope)),
            _ => bail!("LeakyReLU: expected f32 or f64"),
        };
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let backward = Backward { slope: self.slope };
        Ok(Some(x.detach().apply_op2_no_bwd(&grad.contiguous()?, &backward)?))
    }
}

/// `(x, ∂y) → ∂x`.
struct Backward {
    slope: f64,
}

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "desam-leaky-relu-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        grad: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, grad) = ((x, xl), (grad, gl));
        let dx = match (x.0, grad.0) {
            (CpuStorage::F32(_), CpuStorage::F32(_)) => {
                CpuStorage::F32(along(dense::<f32>(x)?, dense(grad)?, self.slope))
            }
            (CpuStorage::F64(_), CpuStorage::F64(_)) => {
                CpuStorage::F64(along(dense::<f64>(x)?, dense(grad)?, self.slope))
            }
            _ => bail!("LeakyReLU: expected f32 or f64"),
        };
        Ok((dx, xl.shape().clone()))
    }
}

/// `value` where `x` is positive, `slope · value` elsewhere.
fn along<T: Real>(x: &[T], values: &[T], slope: f64) -> Vec<T> {
    let slope = T::from_f64(slope);
    let mut out = vec![T::ZERO; x.len()];
    let chunks = out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(values.par_chunks(CHUNK));
    chunks.for_each(|((out, x), values)| {
        for ((out, x), value) in out.iter_mut().zip(x).zip(values) {
            *out = if *x > T::ZERO { *value } else { *value * slope };
        }
    });
    out
}
