//! Cosine similarity of a vector with every pixel of a map.

use candle_core::{Result, Tensor};

/// Lower bound of each norm, as the official DAPSAM's; PyTorch bounds each of the two, not their
/// product.
const EPS: f64 = 1e-7;

/// Cosine similarity of one vector an image, `vector [B, C]`, with every pixel of `map [B, C, H, W]` →
/// `[B, 1, H, W]`, as PyTorch's `cosine_similarity` over the channels with `eps = 1e-7`: each norm is
/// bounded below on its own, so that a zero vector has similarity 0.
///
/// In elementary ops on any device and in any type, with a gradient.
///
/// # Errors
/// When batches or channels differ.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use desam_nn::ops::cosine_similarity::cosine_similarity;
///
/// # fn main() -> candle_core::Result<()> {
/// let vector = Tensor::new(&[[3f32, 4.0]], &Device::Cpu)?;
/// // Three pixels: parallel, perpendicular, zero.
/// let map = Tensor::new(&[[[[6f32, 4.0, 0.0]], [[8.0, -3.0, 0.0]]]], &Device::Cpu)?;
/// let similarity = cosine_similarity(&vector, &map)?.flatten_all()?.to_vec1::<f32>()?;
/// assert!((similarity[0] - 1.0).abs() < 1e-6);
/// assert_eq!(similarity[1..], [0.0, 0.0]);
/// # Ok(())
/// # }
/// ```
pub fn cosine_similarity(vector: &Tensor, map: &Tensor) -> Result<Tensor> {
    let (b, c, height, width) = map.dims4()?;
    if vector.dims() != [b, c] {
        candle_core::bail!(
            "cosine similarity: vectors {:?} for a map of {b} images with {c} channels",
            vector.dims()
        );
    }
    let pixels = map.reshape((b, c, height * width))?;
    let dot = vector.unsqueeze(1)?.matmul(&pixels)?;
    let dot = dot.broadcast_div(&norm(vector)?.unsqueeze(1)?)?;
    dot.div(&norm(&pixels)?)?.reshape((b, 1, height, width))
}

/// Norm over axis 1, at least [`EPS`]. The square is bounded, not the root: a root's gradient at zero
/// is infinite.
fn norm(x: &Tensor) -> Result<Tensor> {
    x.sqr()?.sum_keepdim(1)?.maximum(EPS * EPS)?.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, random};
    use candle_core::{Device, Var};

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(5, &[2, 3]), random(6, &[2, 3, 2, 2])];
        check(&inputs, |t| cosine_similarity(&t[0], &t[1]));
    }

    #[test]
    fn a_zero_vector_has_similarity_and_gradients_without_nan() {
        let zero = Var::new(&[[0f32, 0.0]], &Device::Cpu).unwrap();
        let map = Var::new(&[[[[1f32, 0.0]], [[2.0, 0.0]]]], &Device::Cpu).unwrap();
        let y = cosine_similarity(&zero, &map).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0]);
        let grads = y.sum_all().unwrap().backward().unwrap();
        for var in [&zero, &map] {
            let grad = grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(grad.iter().all(|g| g.is_finite()), "{grad:?}");
        }
    }

    #[test]
    fn other_channels_are_refused() {
        let error = cosine_similarity(&random(1, &[2, 3]), &random(1, &[2, 4, 1, 1]));
        assert!(error.unwrap_err().to_string().contains("4 channels"));
    }
}
