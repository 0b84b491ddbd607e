//! Something that is the same to all, added.

use candle_core::{Result, Tensor, bail};

/// `x [N, ..] + to [1, ..]`, for each of the `N`.
///
/// # Errors
/// When shapes do not fit.
pub fn added_to_all(x: &Tensor, to: &Tensor) -> Result<Tensor> {
    match (x.dims(), to.dims()) {
        ([_, rest @ ..], [1, same @ ..]) if rest == same => {}
        (x, to) => bail!("{to:?} is to be added to each of {x:?}"),
    }
    #[cfg(feature = "kernels")]
    if x.dtype() == to.dtype() && crate::gpu::uses_kernels(&[x, to]) {
        return crate::gpu::apply(desam_kernels::ops::pointwise::BroadcastAdd, &[x, to]);
    }
    x.broadcast_add(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "emulation")]
    use crate::ops::gradcheck::compare_kernels;
    use crate::ops::gradcheck::random;
    #[cfg(feature = "emulation")]
    use candle_core::DType;

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_add_the_same_to_all() {
        // One rounding, of numbers below 2.
        for (dtype, limit) in [(DType::F32, 2e-5), (DType::BF16, 8e-3), (DType::F16, 1e-3)] {
            for shape in [[1, 1, 1], [3, 5, 7], [2, 8, 516], [2, 0, 3]] {
                let all = [random(1, &shape), random(2, &[1, shape[1], shape[2]])];
                let plain = |t: &[Tensor]| t[0].broadcast_add(&t[1]);
                let with = (dtype, limit, shape[1] > 0);
                compare_kernels(&all, |t| added_to_all(&t[0], &t[1]), plain, with);
            }
            let part = |t: &[Tensor]| Ok([t[0].narrow(0, 1, 2)?.transpose(1, 2)?, t[1].clone()]);
            compare_kernels(
                &[random(1, &[3, 4, 6]), random(2, &[1, 6, 4])],
                |t| part(t).and_then(|[x, to]| added_to_all(&x, &to)),
                |t| part(t).and_then(|[x, to]| x.broadcast_add(&to)),
                (dtype, limit, true),
            );
        }
    }

    #[test]
    fn refuses_what_does_not_repeat() {
        let [x, to] = [random(1, &[3, 4]), random(1, &[2, 4])];
        assert!(added_to_all(&x, &to).is_err() && added_to_all(&x, &x).is_err());
    }
}
