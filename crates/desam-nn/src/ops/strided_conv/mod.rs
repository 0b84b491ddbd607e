//! 3×3 convolution with stride 2 over channels-last images, as in a convolutional stem.

mod cpu;

use super::linear::{Activation, Affine, linear};
use crate::gpu::{Backend, select_backend};
use candle_core::{Result, Tensor};

/// Stride in both directions.
const STRIDE: usize = 2;

/// Convolution 3×3 with stride 2 and one pixel of zero padding: `x [B, H, W, I]` → `[B, ⌈H / 2⌉, ⌈W /
/// 2⌉, O]`. `affine` has the kernel, `[O, I, 3, 3]`, and the bias, `[O]`; `activation` is applied to every
/// output.
///
/// The windows are unfolded (im2col) and multiplied by the kernel in one product with a fused epilogue:
/// with stride 2 they overlap by little, and channels-last a window is three runs of memory.
///
/// # Errors
/// When shapes do not fit.
pub fn conv3x3_stride2(x: &Tensor, affine: Affine<'_>, activation: Activation) -> Result<Tensor> {
    let (outputs, inputs) = check(x, affine)?;
    // A window has its channels last, the kernel has them second.
    let weight = affine.weight.permute((0, 2, 3, 1))?.reshape((outputs, 9 * inputs))?;
    linear(&unfold(x)?, Affine { weight: &weight, bias: affine.bias }, activation.into())
}

/// The same by candle's convolution: the reference.
///
/// # Errors
/// When shapes do not fit.
pub fn plain(x: &Tensor, affine: Affine<'_>, activation: Activation) -> Result<Tensor> {
    check(x, affine)?;
    let first = x.permute((0, 3, 1, 2))?.contiguous()?;
    let y = first.conv2d(affine.weight, 1, STRIDE, 1, 1)?.permute((0, 2, 3, 1))?.contiguous()?;
    match affine.bias {
        Some(bias) => activation.plain(&y.broadcast_add(bias)?),
        None => activation.plain(&y),
    }
}

/// Refuses a kernel that does not fit; returns its outputs and inputs.
fn check(x: &Tensor, affine: Affine<'_>) -> Result<(usize, usize)> {
    match (x.dims(), affine.weight.dims()) {
        (&[_, _, _, inputs], &[outputs, of, 3, 3]) if inputs == of && inputs > 0 => {
            Ok((outputs, inputs))
        }
        (x, weight) => candle_core::bail!(
            "convolution with stride 2 of {x:?} (expected [B, H, W, I]): kernel {weight:?} \
             ([O, I, 3, 3])"
        ),
    }
}

/// Unfolded windows (im2col), `x [B, H, W, I]` → `[B, ⌈H / 2⌉, ⌈W / 2⌉, 9 I]`, a window row by row and
/// channels last.
fn unfold(x: &Tensor) -> Result<Tensor> {
    if select_backend(&[x]) == Backend::Cpu && !x.track_op() {
        return x.contiguous()?.apply_op1_no_bwd(&cpu::Unfold);
    }
    let (_, height, width, _) = x.dims4()?;
    let padded = x.pad_with_zeros(1, 1, 1)?.pad_with_zeros(2, 1, 1)?;
    let lines = |start: usize, side: usize| {
        let at = (0..side.div_ceil(STRIDE)).map(|i| (start + i * STRIDE) as u32);
        Tensor::from_iter(at, x.device())
    };
    let tap = |tap: usize| {
        let rows = padded.index_select(&lines(tap / 3, height)?, 1)?;
        rows.index_select(&lines(tap % 3, width)?, 2)
    };
    Tensor::cat(&(0..9).map(tap).collect::<Result<Vec<_>>>()?, 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check as check_gradient, max_diff, random};
    use candle_core::{DType, Device, Var};

    fn inputs(shape: [usize; 4], outputs: usize) -> Vec<Tensor> {
        let weight = random(2, &[outputs, shape[3], 3, 3]);
        vec![random(1, &shape), weight, random(3, &[outputs])]
    }

    fn affine(t: &[Tensor]) -> Affine<'_> {
        Affine { weight: &t[1], bias: Some(&t[2]) }
    }

    #[test]
    fn agrees_with_candles_convolution_for_odd_shapes() {
        for (shape, outputs) in
            [([1, 1, 1, 1], 1), ([2, 5, 4, 3], 7), ([1, 8, 6, 16], 33), ([3, 3, 9, 20], 5)]
        {
            let cast = |t: &[Tensor], dtype: DType| -> Vec<Tensor> {
                t.iter().map(|t| t.to_dtype(dtype).unwrap()).collect()
            };
            let single = cast(&inputs(shape, outputs), DType::F32);
            let double = cast(&single, DType::F64);
            for activation in [Activation::Identity, Activation::Gelu] {
                let found = conv3x3_stride2(&single[0], affine(&single), activation).unwrap();
                let expected = plain(&double[0], affine(&double), activation).unwrap();
                assert_eq!(found.dims(), expected.dims());
                // Up to 181 numbers below 1 are summed in f32.
                assert!(max_diff(&found, &expected) < 2e-5, "{shape:?}");
            }
        }
    }

    #[test]
    fn unfolded_windows_are_the_same_bits_with_and_without_a_gradient() {
        for shape in [[2, 5, 4, 3], [1, 6, 8, 1], [1, 2, 1, 5]] {
            let x = random(4, &shape).to_dtype(DType::F32).unwrap();
            let tracked = Var::from_tensor(&x).unwrap();
            let (fast, slow) = (unfold(&x).unwrap(), unfold(&tracked).unwrap());
            assert_eq!(fast.dims(), slow.dims());
            assert_eq!(max_diff(&fast, &slow), 0.0);
        }
    }

    #[test]
    fn gradients() {
        check_gradient(&inputs([1, 3, 4, 2], 2), |t| {
            conv3x3_stride2(&t[0], affine(t), Activation::Identity)
        });
    }

    #[test]
    fn kernels_that_do_not_fit_are_refused() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let x = zeros(&[1, 4, 4, 2]);
        for weight in [zeros(&[3, 1, 3, 3]), zeros(&[3, 2, 5, 5]), zeros(&[3, 2])] {
            let affine = Affine { weight: &weight, bias: None };
            let error = conv3x3_stride2(&x, affine, Activation::Identity).unwrap_err().to_string();
            assert!(error.contains("[O, I, 3, 3]"), "{error}");
        }
    }
}
