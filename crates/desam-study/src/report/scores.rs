//! Score tables of a run: headline figures, Dice by site, all metrics.

use crate::evaluate::{
    Evaluation, MetricSummary, MetricUnit, OverallSummary, Role, SiteScore, counted, metric_title,
    percent,
};
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::Interval;
use maud::{Markup, html};

/// The headline figures.
pub(super) fn headline(evaluation: &Evaluation) -> Markup {
    let empty: usize = evaluation.sites.iter().map(|s| s.empty_predictions).sum();
    html! {
        div.headline {
            @for own in evaluation.source_sites() {
                div.card {
                    b { (percent(Some(own.mean_dice))) " %" }
                    "Dice on the source site " (own.site) ", "
                    (counted(own.cases, "held-out case"))
                }
            }
            @if evaluation.overall_dice.is_some() {
                div.card {
                    b { (percent(evaluation.overall_dice)) " %" }
                    "Dice, " (evaluation.rest()) ": mean of "
                    (counted(evaluation.targets().count(), "unseen site"))
                }
            }
            div.card {
                b { (empty) " empty" }
                "predictions, each counted as a Dice of 0 in its mean"
            }
        }
    }
}

/// Dice, one row per site.
pub(super) fn table(evaluation: &Evaluation) -> Markup {
    let cases: usize = evaluation.targets().map(|s| s.cases).sum();
    let overall = evaluation.overall.get(CaseMetric::DICE);
    let sites_row = TotalRow {
        class: "total first-total",
        name: "mean of sites",
        dice: evaluation.overall_dice,
        interval: overall.and_then(|o| o.sites_interval),
    };
    let cases_row = TotalRow {
        class: "total",
        name: "mean of cases",
        dice: evaluation.overall_cases_dice,
        interval: overall.and_then(|o| o.cases.interval),
    };
    html! {
        div.card.scroll {
            table {
                thead {
                    tr {
                        th { "site" }
                        th.left { "role" }
                        th { "cases" }
                        th { "Dice %" }
                        th.bar {}
                        th.extra { "median" }
                        th { "worst" }
                        th { "empty" }
                    }
                }
                tbody {
                    @for site in &evaluation.sites {
                        (site_row(site))
                    }
                    @if evaluation.overall_dice.is_some() {
                        (total_row(evaluation, &sites_row))
                        (total_row(evaluation, &cases_row))
                    }
                }
            }
        }
        p.soft {
            "Dice over all voxels of a case, " (evaluation.setting()) ". "
            @if cases > 0 {
                "The overall rows are the mean of the sites' means and the mean over all "
                (counted(cases, "case")) " of the sites that training never saw."
            }
        }
        @if let Some(line) = evaluation.border_line() {
            p.soft { "Border rule: " (line) "." }
        }
        @if let Some(line) = evaluation.confidence_line() {
            p.soft { "Confidence: " (line) "." }
        }
        @if let Some(line) = evaluation.range_warning() {
            p.soft { "Unlike the training cases: " (line) "." }
        }
        @for lost in &evaluation.unscored {
            p.soft { "Not scored: " (lost.site) "/" (lost.case) ": " (lost.reason) "." }
        }
    }
}

fn site_row(site: &SiteScore) -> Markup {
    let interval = site.metrics.get(CaseMetric::DICE).and_then(|m| m.interval);
    html! {
        tr class=[(site.role == Role::SourceValidation).then_some("validation")] {
            td { (site.site) }
            td.left { (site.role.name()) }
            td { (site.cases) }
            td { (percent(Some(site.mean_dice))) (small(MetricUnit::PER_CENT, interval)) }
            (bar(Some(site.mean_dice)))
            td.extra { (percent(Some(site.median_dice))) }
            td { (percent(Some(site.min_dice))) }
            td { (site.empty_predictions) }
        }
    }
}

/// A row over all target sites.
struct TotalRow {
    class: &'static str,
    name: &'static str,
    dice: Option<f64>,
    interval: Option<Interval>,
}

fn total_row(evaluation: &Evaluation, row: &TotalRow) -> Markup {
    let worst = evaluation.targets().map(|s| s.min_dice).reduce(f64::min);
    html! {
        tr class=(row.class) {
            td { (evaluation.rest()) }
            td.left { (row.name) }
            td { (evaluation.targets().map(|s| s.cases).sum::<usize>()) }
            td { (percent(row.dice)) (small(MetricUnit::PER_CENT, row.interval)) }
            (bar(row.dice))
            td.extra {}
            td { (percent(worst)) }
            td { (evaluation.targets().map(|s| s.empty_predictions).sum::<usize>()) }
        }
    }
}

/// A decorative bar for a fraction; the number is next to it.
fn bar(fraction: Option<f64>) -> Markup {
    let width = fraction.filter(|f| f.is_finite()).map_or(0.0, |f| 100.0 * f.clamp(0.0, 1.0));
    html! {
        td.bar aria-hidden="true" { span.track { i style=(format!("width:{width:.2}%")) {} } }
    }
}

/// The other metrics, one row per site: the mean, below it the interval and the worst case.
pub(super) fn other_metrics(evaluation: &Evaluation) -> Markup {
    let others = || evaluation.metrics.iter().copied().filter(|m| *m != CaseMetric::DICE);
    let summary = |site: &SiteScore, metric| site.metrics.get(metric).copied();
    html! {
        div.card.scroll {
            table {
                thead {
                    tr {
                        th { "site" }
                        @for metric in others() { th { (metric_title(metric)) } }
                    }
                }
                tbody {
                    @for site in &evaluation.sites {
                        tr {
                            td { (site.site) }
                            @for metric in others() {
                                (metric_cell(metric, summary(site, metric)))
                            }
                        }
                    }
                    @if !evaluation.overall.is_empty() {
                        tr class="total first-total" {
                            td { "mean of sites" }
                            @for metric in others() {
                                (mean_cell(metric, evaluation.overall.get(metric)))
                            }
                        }
                        tr.total {
                            td { "mean of cases" }
                            @for metric in others() {
                                (metric_cell(metric, evaluation.overall.get(metric).map(|o| o.cases)))
                            }
                        }
                    }
                }
            }
        }
        p.soft { "Means; below, their intervals and the worst case. Of " (evaluation.empty_counts()) "." }
    }
}

/// The mean over sites, below it its interval.
pub(super) fn mean_cell(metric: CaseMetric, over: Option<&OverallSummary>) -> Markup {
    let unit = MetricUnit::of(metric);
    html! {
        td {
            (unit.format(over.and_then(|o| o.mean_of_sites)))
            (small(unit, over.and_then(|o| o.sites_interval)))
        }
    }
}

/// The mean, below it the interval and the worst case.
pub(super) fn metric_cell(metric: CaseMetric, summary: Option<MetricSummary>) -> Markup {
    let unit = MetricUnit::of(metric);
    let Some(summary) = summary else {
        return html! { td { "–" } };
    };
    html! {
        td {
            (unit.format(summary.mean))
            (small(unit, summary.interval))
            small { "worst " (unit.format(summary.worst)) }
            @if summary.left_out > 0 { small { (summary.left_out) " left out" } }
        }
    }
}

fn small(unit: MetricUnit, interval: Option<Interval>) -> Markup {
    html! { @if interval.is_some() { small { (unit.format_interval(interval)) } } }
}
