//! Logits of each class from a softmax over the classes and the background.

use candle_core::{Result, Tensor};

/// Logits `[B, K, H, W]` of `K` classes from `[B, K + 1, H, W]` with the background first, whose softmax
/// gives probabilities: the sigmoid of each result is the softmax probability of that class, since
/// `logit p_k = z_k − ln Σ_{j ≠ k} exp z_j`. With gradients.
///
/// # Errors
/// When there are fewer than two channels.
pub fn class_logits(logits: &Tensor) -> Result<Tensor> {
    let (_, channels, _, _) = logits.dims4()?;
    if channels < 2 {
        candle_core::bail!("softmax over {channels} channel; expected the background and classes");
    }
    let class = |k: usize| -> Result<Tensor> {
        let before = logits.narrow(1, 0, k)?;
        let others = match channels - k - 1 {
            0 => before,
            after => Tensor::cat(&[before, logits.narrow(1, k + 1, after)?], 1)?,
        };
        // Shifted by the largest, so that no exponential overflows.
        let largest = others.max_keepdim(1)?.detach();
        let sum = others.broadcast_sub(&largest)?.exp()?.sum_keepdim(1)?;
        logits.narrow(1, k, 1)? - (sum.log()? + largest)?
    };
    Tensor::cat(&(1..channels).map(class).collect::<Result<Vec<_>>>()?, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn sigmoids_are_the_softmax_probabilities_with_their_gradients() {
        let numbers: Vec<f64> = (0..24).map(|i| f64::from(i * 7 % 13) / 2.0 - 3.0).collect();
        let raw = Tensor::from_vec(numbers, (2, 3, 2, 2), &Device::Cpu).unwrap();
        let var = Var::from_tensor(&raw).unwrap();
        let logits = class_logits(var.as_tensor()).unwrap();
        let found = (logits.neg().unwrap().exp().unwrap() + 1.0).unwrap().recip().unwrap();
        let exponentials = var.as_tensor().exp().unwrap();
        let sum = exponentials.sum_keepdim(1).unwrap();
        let expected = exponentials.broadcast_div(&sum).unwrap().narrow(1, 1, 2).unwrap();
        let weights =
            Tensor::arange(0f64, 16.0, &Device::Cpu).unwrap().reshape((2, 2, 2, 2)).unwrap();
        let gradient = |t: &Tensor| {
            let grads = (t * &weights).unwrap().sum_all().unwrap().backward().unwrap();
            grads.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let pairs = [(values(&found), values(&expected)), (gradient(&found), gradient(&expected))];
        for (found, expected) in pairs {
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        }
        // Far apart, nothing overflows: ln(e^0 / e^200).
        let far = Tensor::new(&[[[[200f32]], [[0f32]]]], &Device::Cpu).unwrap();
        assert_eq!(
            class_logits(&far).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            [-200.0]
        );
        assert!(class_logits(&far.narrow(1, 0, 1).unwrap()).is_err());
    }
}
