//! Stages of the metrics: overlap and surface distances of pairs of masks.

use super::compare::Comparison;
use super::reference_vectors::ReferenceVectors;
use super::report::{Skipped, Stage};
use crate::Result;
use desam_metrics::metric::{
    BothEmpty, CaseMeasures, CaseMetric, EmptyPolicy, MaskPair, OneEmpty, Score, VoxelGrid,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Relative error limit of a metric.
const METRIC: f64 = 1e-6;

/// Treatment of empty masks in medpy and surface-distance, where they return a value.
const EMPTY: EmptyPolicy = EmptyPolicy { both: BothEmpty::Zero, one: OneEmpty::Infinite };

/// One case of `metrics.json`: a value for each metric by name, or null where it is undefined.
#[derive(Debug, Deserialize)]
pub(super) struct MetricCase {
    case: usize,
    spacing_zyx_mm: Option<[f64; 3]>,
    #[serde(flatten)]
    values: BTreeMap<String, Value>,
}

/// Compares every metric that the cases name; unknown names are reported as skipped.
pub(super) fn metrics(
    file: &ReferenceVectors,
    cases: &[MetricCase],
) -> Result<(Vec<Stage>, Vec<Skipped>)> {
    let (mut rows, mut skipped) = rows(cases);
    for case in cases {
        let wrong = |e: &dyn std::fmt::Display| file.wrong(format!("case{}: {e}", case.case));
        let [prediction, truth] =
            ["pred", "truth"].map(|which| format!("case{}.{which}", case.case));
        let shape = file.dims(&prediction)?;
        let (prediction, truth) = (file.bytes(&prediction)?, file.bytes(&truth)?);
        let Some(spacing_mm) = case.spacing_zyx_mm else {
            return Err(wrong(&"spacing_zyx_mm is missing in metrics.json"));
        };
        let pair = MaskPair::new(&prediction, &truth, VoxelGrid { shape, spacing_mm });
        let measures = CaseMeasures::new(pair.map_err(|e| wrong(&e))?, EMPTY)?;
        for (name, metric, row) in &mut rows {
            let Some(expected) = case.values.get(name) else {
                continue;
            };
            let score = measures.score(*metric);
            match (expected.as_f64(), score) {
                // No value where the reference has one fails the stage.
                (Some(expected), _) => {
                    row.values(&[score.counted().unwrap_or(f64::NAN)], &[expected]);
                }
                (None, _) if !expected.is_null() => {
                    return Err(wrong(&format!("{name} is {expected}, not a number")));
                }
                // Neither has a value, since a mask is empty.
                (None, Score::Empty { .. }) => {}
                (None, Score::Value(found)) => {
                    row.fail(format!("case{}: {found}, the reference has no value", case.case));
                }
            }
        }
    }
    let mut stages = Vec::new();
    for (name, _, row) in rows {
        let what = format!("metric {name}");
        // Without a value in any case there is nothing to compare.
        if row.elements == 0 && row.note.is_empty() {
            skipped.push(Skipped { what, reason: "no case has a value".to_owned() });
        } else {
            stages.push(row.relative(what, METRIC));
        }
    }
    if stages.is_empty() {
        return Err(
            file.wrong("metrics.json has no case with the value of a metric that is known here")
        );
    }
    Ok((stages, skipped))
}

type MetricRow = (String, CaseMetric, Comparison);

/// A row for each metric that any case names, in the order of [`CaseMetric`].
fn rows(cases: &[MetricCase]) -> (Vec<MetricRow>, Vec<Skipped>) {
    let mut names: Vec<&String> = cases.iter().flat_map(|c| c.values.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let (mut rows, mut skipped): (Vec<MetricRow>, Vec<Skipped>) = Default::default();
    for name in names {
        match name.parse::<CaseMetric>() {
            Ok(metric) => rows.push((name.clone(), metric, Comparison::default())),
            Err(e) => {
                skipped.push(Skipped { what: format!("metric {name}"), reason: e.to_string() });
            }
        }
    }
    rows.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal));
    (rows, skipped)
}
