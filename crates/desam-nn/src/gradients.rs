//! Backward pass in which leaf gradients bypass candle's accumulator.
//!
//! `Tensor::backward` allocates a zero tensor for every gradient and accumulates into it on one thread:
//! five passes over memory. A variable is a leaf, so no later op consumes its gradient: our ops store it
//! directly ([`backward`] collects it), and only a variable that is used more than once needs a sum.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use std::cell::RefCell;

thread_local! {
    /// Variables and their gradients while [`backward`] runs on this thread.
    static LEAF_GRADIENTS: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// Backward pass: gradients of the sum of `objective` with respect to all variables that it depends on,
/// as `objective.backward()` computes them.
///
/// Contributions of several ops to one variable's gradient are added in an order that is fixed for
/// a graph, though it may differ from candle's.
///
/// # Errors
/// When `objective.backward()` fails.
pub fn backward(objective: &Tensor) -> Result<GradStore> {
    let outer = OuterState(LEAF_GRADIENTS.replace(Some(Vec::new())));
    let mut grads = objective.backward()?;
    let stored = LEAF_GRADIENTS.take();
    drop(outer);
    for (variable, grad) in stored.into_iter().flatten() {
        let sum = match grads.remove(&variable) {
            Some(others) => others.add(&grad)?,
            None => grad,
        };
        grads.insert(&variable, sum);
    }
    Ok(grads)
}

/// Stores the gradient of a variable `input` for [`backward`]; what is not stored is returned, for an
/// op's `bwd` to return it to candle.
pub(crate) fn store_leaf_gradient(input: &Tensor, grad: Option<Tensor>) -> Option<Tensor> {
    let grad = grad?;
    LEAF_GRADIENTS.with_borrow_mut(|stored| match stored {
        Some(stored) if input.is_variable() => {
            stored.push((input.clone(), grad));
            None
        }
        _ => Some(grad),
    })
}

/// Restores the state of an enclosing backward pass on drop, also on unwinding.
struct OuterState(Option<Vec<(Tensor, Tensor)>>);

impl Drop for OuterState {
    fn drop(&mut self) {
        LEAF_GRADIENTS.set(self.0.take());
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

    /// An op without a backward pass.
    struct ForwardOnly;

    impl CustomOp1 for ForwardOnly {
        fn name(&self) -> &'static str {
            "forward-only"
        }

        fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
            Ok((x.clone(), layout.shape().clone()))
        }
    }

    fn conv1x1(x: &Tensor, w: &Tensor) -> Tensor {
        conv2d(x, w, Conv2dConfig::same(1)).unwrap()
    }

    #[test]
    fn agree_with_candles_however_often_a_variable_is_used_and_by_which_ops() {
        let (x, w) = (variable(1, &[2, 3, 5, 4]), variable(2, &[3, 3, 1, 1]));
        let weights = random(3, &[2, 3, 5, 4]).to_dtype(DType::F32).unwrap();
        // `w` twice by our op, `x` by ours and by candle's, and by ours alone.
        for twice in [false, true] {
            let y = conv1x1(x.as_tensor(), w.as_tensor());
            let y = if twice {
                (conv1x1(&y, w.as_tensor()) + x.as_tensor().sqr().unwrap()).unwrap()
            } else {
                y
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
    fn candles_backward_pass_is_unchanged_after_ours_and_after_ours_has_failed() {
        let (x, w) = (variable(1, &[1, 2, 3, 4]), variable(2, &[2, 2, 1, 1]));
        let y = conv1x1(x.as_tensor(), w.as_tensor());
        assert!(backward(&y).unwrap().get(x.as_tensor()).is_some());
        assert!(backward(&y.apply_op1(ForwardOnly).unwrap()).is_err());
        let grads = y.backward().unwrap();
        assert!(grads.get(x.as_tensor()).is_some() && grads.get(w.as_tensor()).is_some());
    }

    #[test]
    fn only_variables_bypass_candle() {
        let (x, w) = (variable(1, &[1, 2, 3, 4]), variable(2, &[2, 2, 1, 1]));
        let inner = conv1x1(x.as_tensor(), w.as_tensor());
        let frozen = w.as_tensor().detach();
        let grads = backward(&conv1x1(&inner, &frozen)).unwrap();
        assert!(grads.get(&frozen).is_none() && grads.get(&inner).is_none());
        assert!(grads.get(x.as_tensor()).is_some() && grads.get(w.as_tensor()).is_some());
    }
}
