//! Sortable table of all cases.

use crate::evaluate::{CaseScore, Evaluation, MetricUnit, metric_title};
use maud::{Markup, html};

/// All cases, the worst Dice first; a click on a heading sorts.
pub(super) fn cases(evaluation: &Evaluation) -> Markup {
    let mut cases: Vec<&CaseScore> = evaluation.cases.iter().collect();
    cases.sort_by(|a, b| a.dice.total_cmp(&b.dice));
    let ml = cases.iter().any(|c| c.truth_ml.is_some());
    html! {
        div.card.scroll.tall {
            table.sortable {
                thead {
                    tr {
                        th { "site" }
                        th.left { "case" }
                        th.left { "role" }
                        @for metric in &evaluation.metrics { th { (metric_title(*metric)) } }
                        th { "slices" }
                        th { "true voxels" }
                        th { "found voxels" }
                        @if ml {
                            th { "true ml" }
                            th { "found ml" }
                        }
                    }
                }
                tbody {
                    @for case in cases { (row(evaluation, case, ml)) }
                }
            }
        }
    }
}

fn row(evaluation: &Evaluation, case: &CaseScore, ml: bool) -> Markup {
    html! {
        tr {
            td { (case.site) }
            td.left { (case.case) }
            td.left { (case.role.name()) }
            @for metric in &evaluation.metrics {
                @let value = case.score(*metric).and_then(|s| s.counted());
                td data-value=(plain(value)) { (MetricUnit::of(*metric).format(value)) }
            }
            td data-value=(case.slices) { (case.slices) }
            td data-value=(case.truth_voxels) { (case.truth_voxels) }
            td data-value=(case.predicted_voxels) { (case.predicted_voxels) }
            @if ml {
                @for value in [case.truth_ml, case.predicted_ml] {
                    td data-value=(plain(value)) { (value.map_or("–".into(), |v| format!("{v:.2}"))) }
                }
            }
        }
    }
}

/// Formats a value for the sorting script; empty for none. Infinity is replaced by a large finite number,
/// since the script takes differences.
fn plain(value: Option<f64>) -> String {
    value.filter(|v| !v.is_nan()).map_or(String::new(), |v| format!("{:e}", v.min(f64::MAX / 4.0)))
}
