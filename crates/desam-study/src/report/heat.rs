//! Heat map of Dice from source to target sites.

use super::RunReport;
use super::run_group::{difference_notice, group_by_settings};
use crate::evaluate::{Evaluation, MetricUnit, Role, few_cases_note, percent};
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::Interval;
use maud::{Markup, html};

/// The Dice values of the palest and the strongest colour.
struct ColourScale {
    low: f64,
    high: f64,
}

impl ColourScale {
    /// The range of all values, rounded outwards to tenths.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let ends = values.filter(|v| v.is_finite()).fold(None, |ends: Option<(f64, f64)>, v| {
            Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        });
        let (low, high) = ends.unwrap_or((0.0, 1.0));
        let low = ((10.0 * low).floor() / 10.0).clamp(0.0, 0.9);
        let high = ((10.0 * high).ceil() / 10.0).clamp(low + 0.1, 1.0);
        Self { low, high }
    }

    /// CSS of a value's colour.
    fn style(&self, value: f64) -> String {
        let value = if value.is_finite() { value } else { self.low };
        let share = (value - self.low) / (self.high - self.low);
        format!("--share:{:.1}%", 100.0 * share.clamp(0.0, 1.0))
    }
}

/// All sites: the sources in the order of the runs, then the others in order of appearance. Where every
/// site is a source once, the source sites' own cells are on the diagonal.
fn sites<'a>(runs: &[&'a RunReport]) -> Vec<&'a str> {
    let sources = runs.iter().flat_map(|r| r.evaluation.source.names().iter().map(String::as_str));
    let scored = runs.iter().flat_map(|r| r.evaluation.sites.iter().map(|s| s.site.as_str()));
    let all: Vec<&str> = scored.clone().collect();
    let mut names: Vec<&str> = Vec::new();
    for name in sources.filter(|s| all.contains(s)).chain(scored) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The heat maps of all runs, one for each group of scoring settings.
pub(super) fn heat_maps(runs: &[RunReport]) -> Markup {
    let groups = group_by_settings(runs);
    html! {
        h2 { "Source to target" }
        @if let Some(why) = difference_notice(&groups) { p.notice { (why) } }
        @for group in &groups {
            @if groups.len() > 1 { h3 { "Scored with " (group.label(&groups)) } }
            (heat_map(&group.runs))
            @let uneven = group.uneven_sites();
            @if !uneven.is_empty() {
                p.notice {
                    "Not every run was scored on " (uneven.join(", "))
                    ": their means are over different sites."
                }
            }
        }
    }
}

/// The heat map of a group, one row per run.
fn heat_map(runs: &[&RunReport]) -> Markup {
    let sites = sites(runs);
    let dices = runs.iter().flat_map(|r| &r.evaluation.sites).map(|s| s.mean_dice);
    let overall = runs.iter().filter_map(|r| r.evaluation.overall_dice);
    let colours = ColourScale::around(dices.chain(overall));
    html! {
        div.card.scroll {
            table.heat {
                thead {
                    tr {
                        th.left scope="col" { "trained on" }
                        @for site in &sites { th scope="col" { (site) } }
                        th scope="col" { "mean of target sites" }
                    }
                }
                tbody {
                    @for run in runs {
                        tr {
                            th scope="row" {
                                (run.evaluation.source)
                                @if runs.len() > 1 { small { " " (run.name) } }
                            }
                            @for site in &sites { (cell(&run.evaluation, site, &colours)) }
                            (rest(&run.evaluation, &colours))
                        }
                    }
                }
            }
        }
        p.soft {
            "Mean Dice over a site's cases, in per cent; colours run from "
            (format!("{:.0}", 100.0 * colours.low)) " to " (format!("{:.0}", 100.0 * colours.high))
            " %. Dashed: the source site's own cases, held out from training. "
            (intervals(runs))
        }
    }
}

/// Explains the intervals.
fn intervals(runs: &[&RunReport]) -> String {
    let Some(config) = runs.iter().find_map(|r| r.evaluation.bootstrap.as_ref()) else {
        return String::new();
    };
    let few = runs.iter().any(|r| r.evaluation.has_few_cases());
    let few = if few { format!(" {}.", few_cases_note()) } else { String::new() };
    format!(
        "Below: {} % intervals, bootstrap over cases within their site ({} draws, seed {}); they \
         speak of other cases of these sites, not of other sites. A site with a single case has none.{few}",
        config.level_percent(),
        config.resamples,
        config.seed
    )
}

fn cell(evaluation: &Evaluation, site: &str, colours: &ColourScale) -> Markup {
    let Some(score) = evaluation.sites.iter().find(|s| s.site == site) else {
        return html! { td { "–" } };
    };
    let interval = score.metrics.get(CaseMetric::DICE).and_then(|m| m.interval);
    let class = if score.role == Role::SourceValidation { "value own" } else { "value" };
    html! {
        td class=(class) style=(colours.style(score.mean_dice)) {
            (percent(Some(score.mean_dice))) (small(interval))
        }
    }
}

fn rest(evaluation: &Evaluation, colours: &ColourScale) -> Markup {
    let Some(dice) = evaluation.overall_dice else {
        return html! { td.rest { "–" } };
    };
    let interval = evaluation.overall.get(CaseMetric::DICE).and_then(|o| o.sites_interval);
    html! {
        td class="value rest" style=(colours.style(dice)) { (percent(Some(dice))) (small(interval)) }
    }
}

/// An interval in small print.
fn small(interval: Option<Interval>) -> Markup {
    html! { @if interval.is_some() { small { (MetricUnit::PER_CENT.format_interval(interval)) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_run_over_whole_tenths() {
        let colours = ColourScale::around([0.43, f64::NAN, 0.87].into_iter());
        assert_eq!((colours.low, colours.high), (0.4, 0.9));
        assert_eq!(colours.style(0.65), "--share:50.0%");
        for (value, share) in [(2.0, "100.0"), (-1.0, "0.0"), (f64::NAN, "0.0")] {
            assert_eq!(colours.style(value), format!("--share:{share}%"));
        }
        let one = ColourScale::around(std::iter::once(1.0));
        assert_eq!((one.low, one.high), (0.9, 1.0));
        let none = ColourScale::around(std::iter::empty());
        assert_eq!((none.low, none.high), (0.0, 1.0));
    }
}
