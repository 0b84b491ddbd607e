//! Transposed convolution with a 2×2 kernel and stride 2: every pixel becomes a 2×2 block, blocks
//! do not overlap, so it is one matrix product and a rearrangement.

use candle_core::{Result, Tensor};

/// `x [B, I, H, W]`, `weight [I, O, 2, 2]` → `[B, O, 2H, 2W]`, no bias.
///
/// # Errors
/// When the kernel is not 2×2 or the channels differ.
pub fn conv_transpose2x2(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (b, i, h, w) = x.dims4()?;
    let (wi, o, kh, kw) = weight.dims4()?;
    if (wi, kh, kw) != (i, 2, 2) {
        candle_core::bail!("transposed convolution: kernel {:?} on {:?}", weight.dims(), x.dims());
    }
    let kernel = weight.reshape((i, o * 4))?.t()?.contiguous()?;
    let blocks = kernel.broadcast_matmul(&x.reshape((b, i, h * w))?.contiguous()?)?;
    let blocks = blocks.reshape(&[b, o, 2, 2, h, w][..])?;
    blocks.permute(vec![0, 1, 4, 2, 5, 3])?.contiguous()?.reshape((b, o, 2 * h, 2 * w))
}

/// The same by candle's own kernel: the reference.
///
/// # Errors
/// When the channels differ.
pub fn plain(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.conv_transpose2d(weight, 0, 0, 2, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, max_diff, random};

    #[test]
    fn agrees_with_the_plain_path() {
        for (seed, (b, i, o, h, w)) in
            [(1, 3, 2, 1, 1), (2, 5, 4, 3, 7), (9, 1, 3, 2, 5)].into_iter().enumerate()
        {
            let x = random(seed as u64, &[b, i, h, w]);
            let k = random(seed as u64 + 50, &[i, o, 2, 2]);
            let (ours, plain) = (conv_transpose2x2(&x, &k).unwrap(), plain(&x, &k).unwrap());
            assert_eq!(ours.dims(), plain.dims());
            assert!(max_diff(&ours, &plain) < 1e-12);
        }
    }

    #[test]
    fn another_kernel_is_refused() {
        assert!(conv_transpose2x2(&random(1, &[1, 2, 3, 3]), &random(2, &[2, 2, 3, 3])).is_err());
    }

    #[test]
    fn gradients() {
        check(&[random(1, &[2, 2, 2, 3]), random(2, &[2, 3, 2, 2])], |t| {
            conv_transpose2x2(&t[0], &t[1])
        });
    }
}
