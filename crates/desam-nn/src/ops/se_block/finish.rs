//! The rest of a block from its first convolutions, for parts that many prompts share.

use super::forward::{Map, SQUARE, Shortcut, add};
use super::{EPS, GATE, SLOPE};
use crate::ops::conv2d::cpu::{kernel, plain};
use crate::ops::conv2d::{Conv2dConfig, conv2d};
use crate::ops::instance_norm::{instance_norm, instance_norm_leaky};
use crate::ops::pointwise::leaky_relu;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};

/// From the outputs of both branches' first convolutions, `main` and `shortcut` `[B, O, H, W]`, and
/// `conv2 [O, O, 3, 3]` to the block's output.
///
/// # Errors
/// When shapes do not fit.
pub fn finish(main: &Tensor, shortcut: &Tensor, conv2: &Tensor) -> Result<Tensor> {
    let tracked = [main, shortcut, conv2].iter().any(|t| t.track_op());
    let same = main.dims() == shortcut.dims() && main.dim(1)? == conv2.dim(1)?;
    #[cfg(feature = "kernels")]
    if !tracked && same && crate::gpu::uses_kernels(&[main, shortcut, conv2]) {
        return super::gpu::finish(main, shortcut, conv2);
    }
    if tracked || !same || !main.device().is_cpu() || main.dtype() != DType::F32 {
        let x = instance_norm_leaky(main, EPS, f64::from(SLOPE))?;
        let x = instance_norm(&conv2d(&x, conv2, Conv2dConfig::same(3))?, EPS)?;
        let sum = (x.affine(f64::from(GATE), 0.0)? + instance_norm(shortcut, EPS)?)?;
        return leaky_relu(&sum, f64::from(SLOPE));
    }
    let (main, shortcut) = (main.contiguous()?, shortcut.contiguous()?);
    main.apply_op3_no_bwd(&shortcut, &conv2.contiguous()?, &Finish)
}

/// `(main, shortcut, conv2) → y`, nothing tracked.
struct Finish;

impl CustomOp3 for Finish {
    fn name(&self) -> &'static str {
        "desam-se-block-finish"
    }

    fn cpu_fwd(
        &self,
        main: &CpuStorage,
        ml: &Layout,
        shortcut: &CpuStorage,
        sl: &Layout,
        conv2: &CpuStorage,
        cl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (main, shortcut) = (plain((main, ml))?, plain((shortcut, sl))?);
        let first = Map::measure(main.values, main.planes);
        let third = Map::measure(shortcut.values, shortcut.planes);
        let weights = kernel((conv2, cl))?.0.pack(cl.shape().dims4()?.0);
        let second = Map::convolve(&first.rectified(), SQUARE, &weights);
        Ok((CpuStorage::F32(add(&second, Shortcut::Map(&third))?), ml.shape().clone()))
    }
}
