//! Attention gate without parameters: a sigmoid of pooled maximum and mean.

use candle_core::{Result, Tensor};

/// Gate without parameters: `x · σ(max + mean)`, maximum and mean pooled over `axes` (global max and
/// average pooling), so that there is one factor for each index of the other axes.
///
/// Over the rows and columns of a channels-last map this is channel attention, as in CBAM without its
/// perceptron. In elementary ops on any device and in any type, with a gradient; where several
/// elements are the maximum, each gets its gradient.
///
/// # Errors
/// When an axis does not exist or has no elements.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use desam_nn::ops::pooled_gate::pooled_gate;
///
/// # fn main() -> candle_core::Result<()> {
/// // One image of two tokens with two channels each; the first channel sums to zero.
/// let x = Tensor::new(&[[[[0f32, 3.0], [0.0, 1.0]]]], &Device::Cpu)?;
/// let y = pooled_gate(&x, &[1, 2])?.flatten_all()?.to_vec1::<f32>()?;
/// // σ(max 3 + mean 2) = 1 / (1 + e⁻⁵) = 0.9933 for the second channel.
/// assert!((y[1] - 3.0 * 0.993_307_1).abs() < 1e-5 && (y[3] - 0.993_307_1).abs() < 1e-5);
/// assert_eq!([y[0], y[2]], [0.0, 0.0]);
/// # Ok(())
/// # }
/// ```
pub fn pooled_gate(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let (mut max, mut mean) = (x.clone(), x.clone());
    for &axis in axes {
        max = max.max_keepdim(axis)?;
        mean = mean.mean_keepdim(axis)?;
    }
    x.broadcast_mul(&sigmoid(&(max + mean)?)?)
}

/// `1 / (1 + exp(−x))`; a large negative `x` gives 0, because the exponential is infinite then.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::sigmoid(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, compare, random};
    use candle_core::Device;

    #[test]
    fn by_hand_over_rows_and_channels() {
        // Columns 0 and 1 of one image of 2×2 tokens with one channel: max + mean are 2 + 1 and
        // -1 - 2; σ(3) = 0.952574, σ(-3) = 0.047426 from tables.
        let x = Tensor::new(&[[[[2f64], [-1.0]], [[0.0], [-3.0]]]], &Device::Cpu).unwrap();
        let y = pooled_gate(&x, &[1, 3]).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let expected = [2.0 * 0.952574, -0.047426, 0.0, -3.0 * 0.047426];
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-6), "{y:?}");
    }

    #[test]
    fn gradients_match_finite_differences() {
        for axes in [&[1usize, 2][..], &[1, 3]] {
            check(&[random(3, &[2, 3, 2, 3])], |t| pooled_gate(&t[0], axes));
            let run = |t: &[Tensor]| pooled_gate(&t[0], axes);
            compare(&[random(4, &[2, 5, 5, 7])], run, run);
        }
    }

    #[test]
    fn far_numbers_saturate_and_an_axis_that_does_not_exist_is_an_error() {
        let x = Tensor::new(&[[[[1e30f32]]], [[[-1e30]]]], &Device::Cpu).unwrap();
        let y = pooled_gate(&x, &[1, 2]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(y[0], 1e30);
        assert_eq!(y[1].abs(), 0.0);
        assert!(pooled_gate(&x, &[4]).is_err());
    }
}
