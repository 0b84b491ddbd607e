//! Attention between two sequences of which one is short, as in SAM's mask decoder: a handful of
//! tokens and the image.

pub(super) mod columns;
mod cpu;
mod few_keys;
mod few_queries;

use super::softmax;
use candle_core::{DType, Result, Tensor};

/// `softmax(q kᵀ / √D) v` for each head: `q [N, Q, heads · D]`, `k` and `v` `[N, K, heads · D]` →
/// `[N, Q, heads · D]`.
///
/// For f32 on the CPU the heads are read where they lie, and scores are held for one head of one
/// image and a stretch of the longer sequence (backwards for all heads, if the queries are the
/// shorter). All else by [`plain`].
///
/// # Errors
/// When shapes do not fit or the channels are no multiple of `heads`.
pub fn cross_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    if [q, k, v].iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32) {
        q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, cpu::CrossAttention { heads })
    } else {
        plain(q, k, v, heads)
    }
}

/// The definition, in elementary ops: the reference.
///
/// # Errors
/// When shapes do not fit or the channels are no multiple of `heads`.
pub fn plain(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    // [N, T, heads · D] → [N, heads, T, D]
    let split = |x: &Tensor| -> Result<Tensor> {
        let (n, tokens, channels) = x.dims3()?;
        x.reshape((n, tokens, heads, channels / heads.max(1)))?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let scale = 1.0 / (q.dim(3)? as f64).sqrt();
    let scores = q.matmul(&k.t()?)?.affine(scale, 0.0)?;
    let mixed = softmax::softmax(&scores)?.matmul(&v)?;
    let (n, heads, tokens, per_head) = mixed.dims4()?;
    mixed.transpose(1, 2)?.reshape((n, tokens, heads * per_head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradcheck::{check, compare, random, same_bits};
    use candle_core::Device;

    fn case(n: usize, queries: usize, keys: usize, channels: usize) -> [Tensor; 3] {
        let q = (random(1, &[n, queries, channels]) * 3.0).unwrap();
        [q, random(2, &[n, keys, channels]), random(3, &[n, keys, channels])]
    }

    #[test]
    fn agrees_with_the_definition_forward_and_backward() {
        for (n, queries, keys, channels, heads) in [
            (1, 1, 1, 1, 1),
            (2, 7, 7, 32, 8),
            (3, 7, 300, 64, 4),
            (3, 300, 7, 64, 4),
            (1, 1, 33, 6, 2),
            (1, 33, 1, 6, 2),
            (2, 517, 9, 16, 1),
            (2, 9, 517, 16, 1),
            (1, 20, 19, 10, 5),
        ] {
            compare(
                &case(n, queries, keys, channels),
                |t| cross_attention(&t[0], &t[1], &t[2], heads),
                |t| plain(&t[0], &t[1], &t[2], heads),
            );
        }
        for n in 1..10 {
            for (queries, keys) in [(3, 5), (5, 3)] {
                compare(
                    &case(n, queries, keys, 4),
                    |t| cross_attention(&t[0], &t[1], &t[2], 2),
                    |t| plain(&t[0], &t[1], &t[2], 2),
                );
            }
        }
        let turned = |t: &[Tensor]| t[0].transpose(0, 2);
        let [_, k, v] = case(2, 1, 6, 4);
        let all = [random(1, &[4, 9, 2]), k, v];
        compare(
            &all,
            |t| cross_attention(&turned(t)?, &t[1], &t[2], 2),
            |t| plain(&turned(t)?, &t[1], &t[2], 2),
        );
    }

    #[test]
    fn one_token_may_be_all_three() {
        let x = [random(4, &[2, 7, 16])];
        compare(&x, |t| cross_attention(&t[0], &t[0], &t[0], 2), |t| plain(&t[0], &t[0], &t[0], 2));
    }

    #[test]
    fn nothing_and_what_does_not_fit() {
        let zeros = |shape: [usize; 3]| Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap();
        let run = |q, k, v, heads| cross_attention(&zeros(q), &zeros(k), &zeros(v), heads);
        assert_eq!(run([0, 3, 4], [0, 5, 4], [0, 5, 4], 2).unwrap().dims(), &[0, 3, 4]);
        assert_eq!(run([2, 0, 4], [2, 5, 4], [2, 5, 4], 2).unwrap().dims(), &[2, 0, 4]);
        assert!(run([2, 3, 4], [2, 0, 4], [2, 0, 4], 2).is_err());
        assert!(run([2, 3, 4], [2, 5, 4], [2, 5, 4], 3).is_err());
        assert!(run([2, 3, 4], [2, 5, 4], [2, 5, 4], 0).is_err());
        assert!(run([2, 3, 4], [1, 5, 4], [2, 5, 4], 2).is_err());
        assert!(run([2, 3, 4], [2, 5, 4], [2, 6, 4], 2).is_err());
        assert!(run([2, 3, 4], [2, 5, 6], [2, 5, 6], 2).is_err());
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        same_bits(&case(2, 7, 1100, 64), |t| cross_attention(&t[0], &t[1], &t[2], 4));
        same_bits(&case(2, 1100, 7, 64), |t| cross_attention(&t[0], &t[1], &t[2], 4));
    }

    #[test]
    fn gradients() {
        check(&case(2, 3, 4, 4), |t| plain(&t[0], &t[1], &t[2], 2));
    }
}
