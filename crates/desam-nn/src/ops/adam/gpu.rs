//! Adam's step, gradient norms and moving averages by kernels. Each function says whether kernels did
//! the work.

use super::{AdamStep, MovingAverage, Parameter};
use crate::gpu::{run_multi_tensor, uses_kernels};
use candle_core::{DType, Result, Tensor};
use desam_kernels::ops::adam as kernels;

/// The step of all parameters in one launch.
pub(super) fn step(step: &AdamStep, parameters: &[Parameter<'_>]) -> Result<bool> {
    let all: Vec<&Tensor> = parameters.iter().flat_map(Parameter::tensors).collect();
    let Some(first) = all.first() else { return Ok(false) };
    if !uses_kernels(&all) || !parameters.iter().all(|p| p.fits(DType::F32)) {
        return Ok(false);
    }
    let parameters = parameters.iter().map(|parameter| {
        let [parameter, grad, first_moment, second_moment] = parameter.tensors();
        kernels::StepTensors { parameter, grad, first_moment, second_moment }
    });
    let AdamStep { beta1, beta2, epsilon, scale, .. } = *step;
    let [rate, correction] = step.corrections();
    let kept = step.kept();
    let scalars = kernels::StepScalars { beta1, beta2, epsilon, rate, correction, kept, scale };
    let op = kernels::AdamStep { parameters: parameters.collect(), scalars };
    run_multi_tensor(first.device(), op)?;
    Ok(true)
}

/// The sum of all squares in two launches.
pub(super) fn square_sum(tensors: &[&Tensor]) -> Result<Option<f64>> {
    let Some(first) = tensors.first() else { return Ok(None) };
    if !tensors.iter().all(|t| t.dtype() == DType::F32) || !uses_kernels(tensors) {
        return Ok(None);
    }
    run_multi_tensor(first.device(), kernels::SquareSum(tensors)).map(Some)
}

/// All moving averages in one launch.
pub(super) fn follow(means: &[MovingAverage<'_>], rest: f64) -> Result<bool> {
    let all: Vec<&Tensor> = means.iter().flat_map(|m| [&*m.mean, m.value]).collect();
    let Some(first) = all.first() else { return Ok(false) };
    let single = |t: &&Tensor| t.dtype() == DType::F32 && t.is_contiguous();
    if !uses_kernels(&all) || !all.iter().all(single) {
        return Ok(false);
    }
    let averages = means.iter().map(|m| kernels::Average { mean: &*m.mean, value: m.value });
    let op = kernels::MovingAverage { averages: averages.collect(), rest };
    run_multi_tensor(first.device(), op)?;
    Ok(true)
}
