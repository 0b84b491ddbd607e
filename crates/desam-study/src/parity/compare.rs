//! Differences between computed and reference values.

use super::report::{Measure, Stage};
use candle_core::{DType, Device, Result, Tensor};

/// Accumulated result of several comparisons.
#[derive(Debug, Clone, Default)]
pub(super) struct Comparison {
    pub(super) elements: usize,
    pub(super) relative: f64,
    pub(super) largest: f64,
    pub(super) note: String,
}

impl Comparison {
    /// Compares two tensors; different shapes fail the stage.
    pub(super) fn tensors(&mut self, found: &Tensor, expected: &Tensor) -> Result<()> {
        if found.dims() != expected.dims() {
            self.fail(format!("shape {:?}, expected {:?}", found.dims(), expected.dims()));
            return Ok(());
        }
        self.values(&numbers(found)?, &numbers(expected)?);
        Ok(())
    }

    /// Compares two lists; different lengths fail the stage.
    pub(super) fn values(&mut self, found: &[f64], expected: &[f64]) {
        if found.len() != expected.len() {
            self.fail(format!("{} numbers, expected {}", found.len(), expected.len()));
            return;
        }
        self.elements += found.len();
        let (off, length) = (distance(found, expected), norm(expected));
        self.include_relative(if length > 0.0 { off / length } else { off });
        self.largest = worst(self.largest, furthest(found, expected));
    }

    /// Includes a relative error that was computed elsewhere.
    pub(super) fn include_relative(&mut self, relative: f64) {
        self.relative = worst(self.relative, relative);
    }

    /// Fails the stage with a reason.
    pub(super) fn fail(&mut self, why: impl Into<String>) {
        self.relative = f64::INFINITY;
        self.largest = f64::INFINITY;
        if self.note.is_empty() {
            self.note = why.into();
        }
    }

    /// The stage with a limit on either measure.
    pub(super) fn stage(self, name: impl Into<String>, limit: f64, limited: Measure) -> Stage {
        let bounded = match limited {
            Measure::RelativeError => self.relative,
            Measure::LargestDifference => self.largest,
        };
        Stage {
            name: name.into(),
            elements: self.elements,
            relative_error: self.relative,
            largest_difference: self.largest,
            limit,
            limited,
            // An empty comparison does not pass.
            passed: bounded <= limit && self.elements > 0,
            note: self.note,
        }
    }

    /// The stage with a limit on its relative error.
    pub(super) fn relative(self, name: impl Into<String>, limit: f64) -> Stage {
        self.stage(name, limit, Measure::RelativeError)
    }

    /// The stage with a limit on its largest difference.
    pub(super) fn absolute(self, name: impl Into<String>, limit: f64) -> Stage {
        self.stage(name, limit, Measure::LargestDifference)
    }
}

/// The larger value; infinite if either is NaN.
pub(super) fn worst(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::INFINITY } else { a.max(b) }
}

/// Elements of any tensor in double precision.
pub(super) fn numbers(t: &Tensor) -> Result<Vec<f64>> {
    t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// Euclidean norm.
pub(super) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Euclidean distance; infinite for different lengths.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Largest absolute difference of two elements; infinite for different lengths.
pub(super) fn furthest(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, worst)
}
