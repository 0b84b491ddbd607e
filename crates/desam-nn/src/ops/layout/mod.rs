//! Tokens and pixels put into another order.

mod cpu;

use crate::gpu::{Backend, select_backend};
use candle_core::{Result, Tensor};
#[cfg(feature = "kernels")]
use desam_kernels::ops::layout as kernels;

fn fast(x: &Tensor) -> bool {
    select_backend(&[x]) == Backend::Cpu && !x.track_op()
}

/// `x [B, H, W, C]` → `[B, C, H, W]`, contiguous.
///
/// # Errors
/// When there are not four dimensions.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    x.dims4()?;
    if fast(x) {
        return x.contiguous()?.apply_op1_no_bwd(&cpu::ChannelsFirst);
    }
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x]) {
        let (images, height, width, channels) = x.dims4()?;
        let rows = x.reshape((images, height * width, channels))?;
        let transposed = crate::gpu::apply(kernels::Transpose, &[&rows])?;
        return transposed.reshape((images, channels, height, width));
    }
    x.permute((0, 3, 1, 2))?.contiguous()
}

/// Matrices turned: `x [B, R, C]` → `[B, C, R]`, contiguous.
///
/// # Errors
/// When there are not three dimensions.
pub fn turned(x: &Tensor) -> Result<Tensor> {
    x.dims3()?;
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x]) {
        return crate::gpu::apply(kernels::Transpose, &[x]);
    }
    x.transpose(1, 2)?.contiguous()
}

/// Square patches of pixels as rows: `x [B, I, H, W]` → `[B, H / side, W / side, I · side²]`, a
/// row in the order of a convolution's kernel. What is left over at the far edges is left out.
///
/// # Errors
/// When there are not four dimensions, or the patch is larger than the image or has no side.
pub fn patches(x: &Tensor, side: usize) -> Result<Tensor> {
    let (images, channels, height, width) = x.dims4()?;
    if side == 0 || side > height.min(width) {
        candle_core::bail!("patches of side {side} of pixels {:?}", x.dims());
    }
    if fast(x) {
        return x.contiguous()?.apply_op1_no_bwd(&cpu::Patches { side });
    }
    #[cfg(feature = "kernels")]
    if crate::gpu::uses_kernels(&[x]) && !x.track_op() {
        return crate::gpu::apply(kernels::Patches { side }, &[x]);
    }
    let (down, across) = (height / side, width / side);
    x.narrow(2, 0, down * side)?
        .narrow(3, 0, across * side)?
        .reshape(&[images, channels, down, side, across, side][..])?
        .permute([0, 2, 4, 1, 3, 5])?
        .reshape((images, down, across, channels * side * side))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{max_diff, random};
    use candle_core::DType;

    /// The same by candle in f64, which the fast paths are not for.
    fn same(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
        let single = x.to_dtype(DType::F32).unwrap();
        let (fast, plain) =
            (f(&single).unwrap(), f(&single.to_dtype(DType::F64).unwrap()).unwrap());
        assert_eq!(fast.dims(), plain.dims());
        assert!(fast.is_contiguous());
        assert_eq!(max_diff(&fast, &plain), 0.0);
    }

    #[test]
    fn channels_come_first() {
        for shape in [[1, 1, 1, 1], [2, 3, 5, 7], [1, 8, 9, 24], [3, 17, 16, 96], [0, 2, 2, 3]] {
            same(&random(1, &shape), channels_first);
        }
        let turned = random(2, &[2, 4, 6, 48]).transpose(1, 2).unwrap();
        same(&turned, channels_first);
        assert!(channels_first(&random(1, &[2, 3])).is_err());
    }

    #[test]
    fn patches_are_rows_in_the_kernels_order() {
        for (shape, side) in [([1, 3, 16, 16], 4), ([2, 1, 7, 5], 2), ([1, 2, 3, 3], 3)] {
            same(&random(3, &shape), |x| patches(x, side));
        }
        let x = Tensor::arange(0f32, 8.0, &candle_core::Device::Cpu).unwrap();
        let rows = patches(&x.reshape((1, 1, 2, 4)).unwrap(), 2).unwrap();
        let rows = rows.reshape((2, 4)).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]);
        assert!(patches(&x.reshape((1, 1, 2, 4)).unwrap(), 3).is_err());
        assert!(patches(&x.reshape((1, 1, 2, 4)).unwrap(), 0).is_err());
    }

    /// Values are not rounded; what gradients are the gradients of is.
    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_put_numbers_where_candle_does() {
        let turn = |t: &[Tensor]| t[0].permute((0, 3, 1, 2));
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let (with, back) = ((dtype, 1e-12, false), (dtype, 4e-3, true));
            for shape in [[1, 1, 1, 1], [2, 3, 5, 7], [1, 8, 9, 33], [3, 13, 5, 40], [1, 1, 70, 3]]
            {
                let x = [random(1, &shape)];
                compare_kernels(&x, |t| channels_first(&t[0]), turn, with);
                compare_kernels(&x, |t| channels_first(&t[0]), turn, back);
            }
            compare_kernels(&[random(1, &[0, 2, 2, 3])], |t| channels_first(&t[0]), turn, with);
            let part = |t: &[Tensor]| t[0].narrow(0, 1, 2)?.transpose(1, 2);
            let x = [random(2, &[3, 4, 6, 9])];
            compare_kernels(&x, |t| channels_first(&part(t)?), |t| turn(&[part(t)?]), with);
            let x = [random(2, &[3, 4, 66])];
            compare_kernels(&x, |t| turned(&t[0]), |t| t[0].transpose(1, 2), with);
            compare_kernels(&x, |t| turned(&t[0]), |t| t[0].transpose(1, 2), back);
            for (shape, side) in
                [([1, 3, 16, 16], 4), ([2, 1, 7, 5], 2), ([1, 2, 3, 3], 3), ([3, 2, 12, 10], 5)]
            {
                let x = [random(3, &shape)];
                compare_kernels(&x, |t| patches(&t[0], side), |t| patches(&t[0], side), with);
                let part = |t: &[Tensor]| t[0].transpose(2, 3)?.narrow(1, 0, 1);
                compare_kernels(
                    &x,
                    |t| patches(&part(t)?, side),
                    |t| patches(&part(t)?, side),
                    back,
                );
            }
        }
    }
}
