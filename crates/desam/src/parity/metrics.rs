//! Overlap of pairs of masks.

use super::compare::Comparison;
use super::report::Stage;
use super::vectors::Vectors;
use crate::Result;
use desam_core::Metric;
use desam_metrics::metric::{BothEmpty, Overlap, OverlapMetric};
use serde::Deserialize;

/// Relative error of a metric.
const METRIC: f64 = 1e-6;

/// One case of `metrics.json`; null is a value that the reference could not define.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    case: usize,
    dice: Option<f64>,
    jaccard: Option<f64>,
    precision: Option<f64>,
    recall: Option<f64>,
}

impl Case {
    fn value(&self, measure: Overlap) -> Option<f64> {
        match measure {
            Overlap::Dice => self.dice,
            Overlap::Jaccard => self.jaccard,
            Overlap::Precision => self.precision,
            Overlap::Recall => self.recall,
        }
    }
}

/// Dice, Jaccard, precision and recall of every case, fed slice by slice.
pub(super) fn metrics(file: &Vectors, cases: &[Case]) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    for measure in [Overlap::Dice, Overlap::Jaccard, Overlap::Precision, Overlap::Recall] {
        let mut compared = Comparison::default();
        for case in cases {
            let id = case.case;
            let prediction = file.bytes(&format!("case{id}.pred"))?;
            let truth = file.bytes(&format!("case{id}.truth"))?;
            let [_, height, width] = file.dims(&format!("case{id}.truth"))?;
            if prediction.len() != truth.len() || truth.is_empty() {
                return Err(file.wrong(format!("case{id}: pred and truth have no common shape")));
            }
            let Some(expected) = case.value(measure) else {
                continue;
            };
            let mut metric = OverlapMetric::new(measure, BothEmpty::default());
            let pixels = height * width;
            for (p, t) in prediction.chunks(pixels).zip(truth.chunks(pixels)) {
                metric.update(p, t)?;
            }
            // Nothing to give where the reference has a value fails the stage.
            compared.values(&[metric.compute().unwrap_or(f64::NAN)], &[expected]);
        }
        stages.push(compared.relative(format!("metric {}", measure.name()), METRIC));
    }
    Ok(stages)
}
