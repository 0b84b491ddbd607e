//! Gradients of an objective, without candle's detour for variables.
//!
//! `Tensor::backward` adds every gradient to zeros that it makes for that, on one thread: five passes
//! over memory. A variable is a leaf, at which nothing waits for its gradient, so what an op of ours
//! says of one is handed over as it is, past candle, and only sums of several are added.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use std::cell::RefCell;

thread_local! {
    /// Variables and their gradients, while [`backward`] is under way on this thread.
    static HANDED_OVER: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// Gradients of the sum of `objective` with respect to all variables that it depends on, as
/// `objective.backward()` gives them.
///
/// They are the same numbers: where several ops have a share in a variable's gradient, the shares
/// are added in one order for a graph, though perhaps another than candle's.
///
/// # Errors
/// Where `objective.backward()` fails.
pub fn backward(objective: &Tensor) -> Result<GradStore> {
    let outer = Outer(HANDED_OVER.replace(Some(Vec::new())));
    let mut grads = objective.backward()?;
    let handed = HANDED_OVER.take();
    drop(outer);
    for (variable, grad) in handed.into_iter().flatten() {
        let sum = match grads.remove(&variable) {
            Some(others) => others.add(&grad)?,
            None => grad,
        };
        grads.insert(&variable, sum);
    }
    Ok(grads)
}

/// What an op's `bwd` returns for its input `to`: nothing, where [`backward`] takes it directly.
pub(crate) fn hand_over(to: &Tensor, grad: Option<Tensor>) -> Option<Tensor> {
    let grad = grad?;
    HANDED_OVER.with_borrow_mut(|handed| match handed {
        Some(handed) if to.is_variable() => {
            handed.push((to.clone(), grad));
            None
        }
        _ => Some(grad),
    })
}

/// Puts back what was under way before, come what may.
struct Outer(Option<Vec<(Tensor, Tensor)>>);

impl Drop for Outer {
    fn drop(&mut self) {
        HANDED_OVER.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::conv2d::{Conv2dConfig, conv2d};
    use crate::ops::gradcheck::{max_diff, random};
    use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Var};

    fn variable(seed: u64, shape: &[usize]) -> Var {
        Var::from_tensor(&random(seed, shape).to_dtype(DType::F32).unwrap()).unwrap()
    }

    /// An op that has no way back.
    struct OneWay;

    impl CustomOp1 for OneWay {
        fn name(&self) -> &'static str {
            "one-way"
        }

        fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
            Ok((x.clone(), layout.shape().clone()))
        }
    }

    fn point(x: &Tensor, w: &Tensor) -> Tensor {
        conv2d(x, w, Conv2dConfig::same(1)).unwrap()
    }

    #[test]
    fn are_candles_own_however_often_a_variable_is_used_and_by_whom() {
        let (x, w) = (variable(1, &[2, 3, 5, 4]), variable(2, &[3, 3, 1, 1]));
        let weights = random(3, &[2, 3, 5, 4]).to_dtype(DType::F32).unwrap();
        // `w` twice by our op, `x` by ours and by candle's, and by ours alone.
        for twice in [false, true] {
            let y = point(x.as_tensor(), w.as_tensor());
            let y = match twice {
                true => (point(&y, w.as_tensor()) + x.as_tensor().sqr().unwrap()).unwrap(),
                false => y,
            };
            let objective = (y * &weights).unwrap().sum_all().unwrap();
            let (found, expected) = (backward(&objective).unwrap(), objective.backward().unwrap());
            for var in [&x, &w] {
                let [found, expected] =
                    [&found, &expected].map(|g| g.get(var.as_tensor()).unwrap());
                assert!(max_diff(found, expected) < 1e-6);
                assert!(max_diff(found, &found.zeros_like().unwrap()) > 0.1);
            }
        }
    }

    #[test]
    fn candles_own_way_back_is_what_it_was_after_ours_and_after_ours_has_failed() {
        let (x, w) = (variable(1, &[1, 2, 3, 4]), variable(2, &[2, 2, 1, 1]));
        let y = point(x.as_tensor(), w.as_tensor());
        assert!(backward(&y).unwrap().get(x.as_tensor()).is_some());
        assert!(backward(&y.apply_op1(OneWay).unwrap()).is_err());
        let grads = y.backward().unwrap();
        assert!(grads.get(x.as_tensor()).is_some() && grads.get(w.as_tensor()).is_some());
    }

    #[test]
    fn what_is_no_variable_stays_with_candle() {
        let (x, w) = (variable(1, &[1, 2, 3, 4]), variable(2, &[2, 2, 1, 1]));
        let inner = point(x.as_tensor(), w.as_tensor());
        let frozen = w.as_tensor().detach();
        let grads = backward(&point(&inner, &frozen)).unwrap();
        assert!(grads.get(&frozen).is_none() && grads.get(&inner).is_none());
        assert!(grads.get(x.as_tensor()).is_some() && grads.get(w.as_tensor()).is_some());
    }
}
