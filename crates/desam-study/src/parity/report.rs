//! Report of a parity check: differences, limits, and which stages pass.

use crate::Result;
use desam::files::write_json;
use desam_core::Precision;
use serde::Serialize;
use std::path::Path;

/// The measure that a stage's limit bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// [`Stage::relative_error`].
    RelativeError,
    /// [`Stage::largest_difference`].
    LargestDifference,
}

/// Comparison of one stage of the model or the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Name of the stage.
    pub name: String,
    /// Number of compared elements.
    pub elements: usize,
    /// Relative error ‖out − ref‖ / ‖ref‖; the worst one where a stage has several tensors. Infinite (null
    /// in JSON) where shapes or counts differ or a value is NaN.
    pub relative_error: f64,
    /// Largest absolute difference of two elements.
    pub largest_difference: f64,
    /// The limit.
    pub limit: f64,
    /// The measure that `limit` bounds.
    pub limited: Measure,
    /// Whether the stage is within its limit.
    pub passed: bool,
    /// A remark, or empty.
    pub note: String,
}

/// A check that was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The file or stages.
    pub what: String,
    /// The reason.
    pub reason: String,
}

/// Gradient check: one parameter's gradient at step 0 against double precision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GradientCheck {
    /// The parameter's official name.
    pub name: String,
    /// Norm of the double-precision gradient as a share of the largest.
    pub share: f64,
    /// ‖ours − f64‖ / ‖f64‖; for rounding noise, our norm as a share of the largest.
    pub ours: f64,
    /// The same for PyTorch's f32; for rounding noise, its norm as a share of the largest.
    pub pytorch: f64,
    /// Largest absolute difference of ours from f64.
    pub largest: f64,
    /// The same for PyTorch's f32.
    pub pytorch_largest: f64,
    /// The limit of `ours`.
    pub limit: f64,
    /// Whether the gradient is rounding noise compared with the largest, so that only its norm is checked.
    pub noise: bool,
    /// Whether `ours` is within the limit.
    pub passed: bool,
}

/// All comparisons of a parity check.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ParityReport {
    /// The device: `cpu`, or a GPU.
    pub device: String,
    /// Compute precision of the model.
    pub precision: Precision,
    /// The stages in the order of the model.
    pub stages: Vec<Stage>,
    /// The gradient checks that the stages on gradients summarise.
    pub gradients: Vec<GradientCheck>,
    /// Skipped checks.
    pub skipped: Vec<Skipped>,
}

impl ParityReport {
    /// Whether something was compared and every stage is within its limit.
    pub fn passed(&self) -> bool {
        !self.stages.is_empty() && self.stages.iter().all(|s| s.passed)
    }

    /// The stages that exceed their limit.
    pub fn failed(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|s| !s.passed)
    }

    /// A plain-text table, followed by the skipped checks. The bounded measure of each row is marked with
    /// `*`.
    pub fn table(&self) -> String {
        let width = self.stages.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).max(5);
        let mut lines = vec![format!(
            "{:<width$}  {:>9}  {:>9}   {:>9}   {:>8}",
            "stage", "elements", "relative", "largest", "limit"
        )];
        for s in &self.stages {
            let marks = match s.limited {
                Measure::RelativeError => ("*", " "),
                Measure::LargestDifference => (" ", "*"),
            };
            let line = format!(
                "{:<width$}  {:>9}  {:>9}{} {:>9}{}  {:>8}  {}  {}",
                s.name,
                s.elements,
                short(s.relative_error),
                marks.0,
                short(s.largest_difference),
                marks.1,
                short(s.limit),
                if s.passed { "pass" } else { "FAIL" },
                s.note
            );
            lines.push(line.trim_end().to_owned());
        }
        let failed = self.failed().count();
        lines.push(String::new());
        lines.push(match failed {
            0 => format!("all {} stages pass", self.stages.len()),
            _ => format!("{failed} of {} stages FAIL", self.stages.len()),
        });
        lines.push(format!("computed on {} in {}", self.device, self.precision));
        lines.extend(self.skipped.iter().map(|s| format!("not checked: {}: {}", s.what, s.reason)));
        lines.join("\n")
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        Ok(write_json(path, self)?)
    }

    pub(super) fn skip(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.skipped.push(Skipped { what: what.into(), reason: reason.into() });
    }
}

/// Formats small whole numbers plainly, everything else with two significant digits.
fn short(value: f64) -> String {
    let whole = value.fract() == 0.0 && value.abs() < 1e6;
    if whole { format!("{value}") } else { format!("{value:.1e}") }
}

#[cfg(test)]
mod tests {
    use super::super::compare::Comparison;
    use super::*;

    #[test]
    fn an_empty_report_does_not_pass_and_one_failure_fails_it() {
        let mut report = ParityReport::default();
        assert!(!report.passed());
        let stage = |found: f64| {
            let mut c = Comparison::default();
            c.values(&[found], &[1.0]);
            c.stage("a stage", 1e-3, Measure::RelativeError)
        };
        report.stages.push(stage(1.0));
        assert!(report.passed() && report.table().contains("all 1 stages pass"));
        report.stages.push(stage(1.1));
        report.skip("x.safetensors", "there is none");
        let table = report.table();
        assert!(!report.passed() && table.contains("1 of 2 stages FAIL"), "{table}");
        assert!(table.contains("not checked: x.safetensors: there is none"), "{table}");
        report.stages.push(stage(f64::NAN));
        assert_eq!(report.failed().count(), 2);
    }
}
