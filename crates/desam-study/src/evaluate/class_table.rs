//! The scores of each class as a plain-text table.

use super::metric_unit::{MetricUnit, metric_title};
use super::table::{counted, percent};
use super::text_table::TextTable;
use super::{CaseScore, Evaluation, MetricSummary};
use desam_metrics::metric::CaseMetric;

impl Evaluation {
    /// A row for each site and class, with the mean of each metric, then the classes over the target sites.
    pub(super) fn class_table(&self) -> String {
        let others = || self.metrics.iter().filter(|m| **m != CaseMetric::DICE);
        let mut head =
            ["site", "class", "Dice %", "missed", "invented"].map(str::to_owned).to_vec();
        head.extend(others().map(|metric| metric_title(*metric)));
        let mut rows = TextTable::new(head);
        for site in &self.sites {
            for class in &site.classes {
                let mut row = vec![site.site.clone(), class.class.clone()];
                let dice = class.metrics.get(CaseMetric::DICE);
                row.extend(dice_cells(dice.and_then(|dice| dice.mean), dice));
                row.extend(others().map(|metric| {
                    let summary = class.metrics.get(*metric);
                    mean_cell(*metric, summary.and_then(|summary| summary.mean), summary)
                }));
                rows.push(row);
            }
        }
        if !self.overall_classes.is_empty() {
            rows.rule();
        }
        for class in &self.overall_classes {
            let mut row = vec![self.rest(), class.class.clone()];
            let dice = class.metrics.get(CaseMetric::DICE);
            row.extend(dice_cells(
                dice.and_then(|dice| dice.mean_of_sites),
                dice.map(|d| &d.cases),
            ));
            row.extend(others().map(|metric| {
                let over = class.metrics.get(*metric);
                mean_cell(*metric, over.and_then(|over| over.mean_of_sites), over.map(|o| &o.cases))
            }));
            rows.push(row);
        }
        rows.render()
    }

    /// Classes of cases that have no value by a metric and are left out of all means, in one line: the mean
    /// over the classes of such a case is over fewer classes, which nothing else shows. `None` where there
    /// are none.
    pub(super) fn undefined_line(&self) -> Option<String> {
        let lacks = |case: &CaseScore, class: usize, metric: CaseMetric| {
            let score = case.classes.get(class).and_then(|class| class.score(metric));
            score.is_some_and(|score| score.counted().is_none())
        };
        let of_metric = |metric: CaseMetric| {
            let of_class = |(class, name): (usize, &str)| {
                let cases = self.cases.iter().filter(|case| lacks(case, class, metric)).count();
                (cases > 0).then(|| format!("{} of {name}", counted(cases, "case")))
            };
            let found: Vec<String> =
                self.classes.names().enumerate().filter_map(of_class).collect();
            (!found.is_empty()).then(|| format!("{} in {}", metric_title(metric), found.join(", ")))
        };
        let found: Vec<String> = self.metrics.iter().copied().filter_map(of_metric).collect();
        (!found.is_empty())
            .then(|| format!("undefined, and left out of all means: {}", found.join("; ")))
    }
}

fn dice_cells(mean: Option<f64>, summary: Option<&MetricSummary>) -> [String; 3] {
    let count = |of: fn(&MetricSummary) -> usize| summary.map_or(0, of).to_string();
    [percent(mean), count(|s| s.missed), count(|s| s.invented)]
}

fn mean_cell(metric: CaseMetric, mean: Option<f64>, summary: Option<&MetricSummary>) -> String {
    let left_out = summary.map_or(0, |summary| summary.left_out);
    let mean = MetricUnit::of(metric).format(mean);
    if left_out > 0 { format!("{mean}, {left_out} left out") } else { mean }
}
