//! Multi-head cross attention between two sequences of which one is short, as in SAM's mask decoder: a
//! few tokens and the image.

pub(super) mod columns;
mod cpu;
mod few_keys;
mod few_queries;
#[cfg(feature = "kernels")]
mod gpu;
mod heads;

use super::softmax;
use crate::gpu::{Backend, select_backend};
use candle_core::{Result, Tensor};

/// Scaled dot-product attention `softmax(q kᵀ / √D) v` of each head: `q [N, Q, heads · D]`, `k` and `v` `[N, K, heads · D]` →
/// `[N, Q, heads · D]`.
///
/// For f32 on the CPU heads are read in place, and scores are stored for one head of one image and a
/// chunk of the longer sequence (backward for all heads, if the queries are the shorter). On a GPU no
/// score is stored (flash attention), for heads of 4, 8, 16 or 32 channels in f32, bf16 and f16. All
/// else by [`plain`].
///
/// # Errors
/// When shapes do not fit or the channels are no multiple of `heads`.
pub fn cross_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    match select_backend(&[q, k, v]) {
        Backend::Cpu => {
            let op = cpu::CrossAttention { heads };
            return q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op);
        }
        #[cfg(feature = "kernels")]
        Backend::Kernels => {
            if let Some(y) = gpu::cross_attention([q, k, v], heads)? {
                return Ok(y);
            }
        }
        Backend::Plain => {}
    }
    plain(q, k, v, heads)
}

/// The definition in elementary ops: the reference.
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
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::{check, compare, random, same_bits};
    use candle_core::{DType, Device};

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
        let transposed = |t: &[Tensor]| t[0].transpose(0, 2);
        let [_, k, v] = case(2, 1, 6, 4);
        let all = [random(1, &[4, 9, 2]), k, v];
        compare(
            &all,
            |t| cross_attention(&transposed(t)?, &t[1], &t[2], 2),
            |t| plain(&transposed(t)?, &t[1], &t[2], 2),
        );
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_agree_with_the_definition_forward_and_backward() {
        // Weights sum to 1, so that results are rounded once; a gradient sees the rounded result and
        // the rounded gradient of it, and grows with the scores' spread. Heads of 5 channels have no
        // dedicated kernels: there the products round as well.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 3e-2), (DType::F16, 4e-3)] {
            for (n, queries, keys, channels, heads) in [
                (1, 1, 1, 4, 1),
                (2, 7, 7, 64, 2),
                (2, 7, 20, 32, 2),
                (2, 20, 7, 32, 2),
                (1, 1, 33, 8, 2),
                (1, 33, 1, 8, 2),
                (1, 9, 20, 64, 2),
                (1, 20, 19, 10, 2),
            ] {
                compare_kernels(
                    &case(n, queries, keys, channels),
                    |t| cross_attention(&t[0], &t[1], &t[2], heads),
                    |t| plain(&t[0], &t[1], &t[2], heads),
                    (dtype, limit, true),
                );
            }
            let part = |t: &[Tensor]| t[0].narrow(0, 1, 4)?.transpose(0, 2);
            let [_, k, v] = case(2, 1, 6, 4);
            compare_kernels(
                &[random(1, &[5, 9, 2]), k, v],
                |t| cross_attention(&part(t)?, &t[1], &t[2], 1),
                |t| plain(&part(t)?, &t[1], &t[2], 1),
                (dtype, limit, true),
            );
        }
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_read_repeated_queries_where_they_are() {
        let [q, k, v] = case(3, 20, 7, 16);
        let one = q.narrow(0, 1, 1).unwrap();
        let q = |t: &[Tensor]| t[0].broadcast_as((3, 20, 16));
        for tracked in [false, true] {
            compare_kernels(
                &[one.clone(), k.clone(), v.clone()],
                |t| cross_attention(&q(t)?, &t[1], &t[2], 4),
                |t| plain(&q(t)?, &t[1], &t[2], 4),
                (DType::F32, 2e-5, tracked),
            );
        }
    }

    /// More than a block takes of the longer sequence, than backwards is taken of the shorter at once,
    /// and than shared memory holds of the keys.
    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_join_their_parts() {
        for (queries, keys, channels, heads, tracked) in [
            (270, 3, 4, 1, true),
            (3, 270, 4, 1, true),
            (19, 18, 8, 1, true),
            (18, 19, 8, 1, true),
            (24, 23, 256, 8, false),
        ] {
            compare_kernels(
                &case(1, queries, keys, channels),
                |t| cross_attention(&t[0], &t[1], &t[2], heads),
                |t| plain(&t[0], &t[1], &t[2], heads),
                (DType::F32, 2e-5, tracked),
            );
        }
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_take_nothing_and_refuse_what_does_not_fit() {
        let run = |q: [usize; 3], k: [usize; 3], v: [usize; 3], heads| {
            let var = |shape: [usize; 3]| candle_core::Var::zeros(&shape, DType::F32, &Device::Cpu);
            let (q, k, v) = (var(q)?, var(k)?, var(v)?);
            crate::gpu::emulated(|| {
                let y = cross_attention(&q, &k, &v, heads)?;
                let grads = y.sum_all()?.backward()?;
                Ok(vec![y.detach(), grads.get(&k).unwrap().clone()])
            })
        };
        let Some(all) = run([2, 0, 8], [2, 5, 8], [2, 5, 8], 2).unwrap() else {
            return println!("skipped: kernels are not emulated, there was no C++ compiler");
        };
        assert_eq!((all[0].dims(), all[1].dims()), (&[2, 0, 8][..], &[2, 5, 8][..]));
        assert!(run([0, 3, 8], [0, 5, 8], [0, 5, 8], 2).is_ok());
        assert!(run([2, 3, 8], [2, 0, 8], [2, 0, 8], 2).is_err());
        assert!(run([2, 3, 8], [2, 5, 8], [2, 5, 8], 3).is_err());
        assert!(run([2, 3, 8], [2, 5, 8], [2, 5, 8], 0).is_err());
        assert!(run([2, 3, 8], [1, 5, 8], [2, 5, 8], 2).is_err());
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
