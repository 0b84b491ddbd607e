//! Adam's step on the CPU: one pass over parameter, gradient and moments, in place.

use super::{AdamStep, Moments};
use crate::ops::matmul::{Real, dense};
use crate::ops::vector::{CHUNK, dispatch};
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};
use rayon::prelude::*;
use std::cell::RefCell;

/// A float type with a square root and its storage in candle.
pub(super) trait Root: Real {
    fn root(self) -> Self;
    fn stored(storage: &mut CpuStorage) -> Option<&mut Vec<Self>>;
}

macro_rules! root {
    ($type:ty, $variant:ident) => {
        impl Root for $type {
            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }

            fn stored(storage: &mut CpuStorage) -> Option<&mut Vec<Self>> {
                match storage {
                    CpuStorage::$variant(numbers) => Some(numbers),
                    _ => None,
                }
            }
        }
    };
}
root!(f32, F32);
root!(f64, F64);

/// An in-place op on a tensor's storage.
struct Change<F>(RefCell<F>);

impl<F: FnMut(&mut CpuStorage, &Layout) -> Result<()>> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "desam-adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        (self.0.borrow_mut())(storage, layout)
    }
}

/// Runs `f` on the numbers of a contiguous tensor.
fn change<T: Root>(tensor: &Tensor, mut f: impl FnMut(&mut [T]) -> Result<()>) -> Result<()> {
    let on_storage = |storage: &mut CpuStorage, layout: &Layout| match (
        layout.contiguous_offsets(),
        T::stored(storage),
    ) {
        (Some((start, end)), Some(numbers)) => f(&mut numbers[start..end]),
        _ => bail!("Adam: a tensor to be changed has gaps or another type"),
    };
    tensor.inplace_op1(&Change(RefCell::new(on_storage)))
}

/// The step's constants in the parameter's type, rounded as candle rounds them in the elementary ops.
#[derive(Clone, Copy)]
struct Factors<T> {
    keep: [T; 2],
    take: [T; 2],
    by_correction: T,
    epsilon: T,
    rate: T,
    kept: T,
    scale: T,
}

pub(super) fn apply<T: Root>(
    step: &AdamStep,
    var: &Var,
    grad: &Tensor,
    moments: &mut Moments,
) -> Result<()> {
    let (storage, layout) = grad.storage_and_layout();
    let grad: &[T] = match &*storage {
        Storage::Cpu(storage) => dense((storage, layout))?,
        _ => bail!("Adam: the gradient is not on the CPU"),
    };
    let [rate, correction] = step.corrections();
    let factors = Factors {
        keep: [step.beta1, step.beta2].map(T::from_f64),
        take: [1.0 - step.beta1, 1.0 - step.beta2].map(T::from_f64),
        by_correction: T::from_f64(1.0 / correction),
        epsilon: T::from_f64(step.epsilon),
        rate: T::from_f64(rate),
        kept: T::from_f64(step.kept()),
        scale: T::from_f64(step.scale),
    };
    change(var.as_tensor(), |values: &mut [T]| {
        change(&moments.first, |first: &mut [T]| {
            change(&moments.second, |second: &mut [T]| {
                let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
                let chunks = values.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK)).zip(moments);
                chunks.for_each(|((values, grad), (first, second))| {
                    dispatch(|| update(factors, values, grad, [first, second]));
                });
                Ok(())
            })
        })
    })
}

#[inline(always)]
fn update<T: Root>(f: Factors<T>, values: &mut [T], grad: &[T], moments: [&mut [T]; 2]) {
    let [first, second] = moments;
    let moments = first.iter_mut().zip(second);
    for ((value, g), (first, second)) in values.iter_mut().zip(grad).zip(moments) {
        let g = *g * f.scale;
        *first = *first * f.keep[0] + g * f.take[0];
        *second = *second * f.keep[1] + g * g * f.take[1];
        let root = second.root() * f.by_correction + f.epsilon;
        *value = *value * f.kept - *first * f.rate / root;
    }
}
