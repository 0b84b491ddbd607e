//! Scores as plain-text tables for a terminal. Dice is in per cent, as in the paper's tables.

use super::metric_unit::{MetricUnit, few_cases_note, metric_title};
use super::summarise::mean;
use super::text_table::TextTable;
use super::{Evaluation, MetricSummary, OverallSummary, SiteScore};
use desam_metrics::metric::CaseMetric;
use desam_metrics::statistics::Interval;

/// Formats a fraction in per cent with two decimals; a dash for `None`, NaN and infinity.
pub(crate) fn percent(fraction: Option<f64>) -> String {
    MetricUnit::PER_CENT.format(fraction.filter(|f| f.is_finite()))
}

/// `1 case`, `2 cases`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

impl Evaluation {
    /// `A to Rest`: the paper's name for source to target sites.
    pub(crate) fn rest(&self) -> String {
        format!("{} to Rest", self.source)
    }

    /// The overall result in one line.
    pub fn headline(&self) -> String {
        let sites = self.targets().count();
        let cases: usize = self.targets().map(|s| s.cases).sum();
        if sites == 0 {
            let own: Vec<f64> = self.source_sites().map(|s| s.mean_dice).collect();
            let own = mean(&own);
            return format!("{}: Dice {} % in its validation cases", self.source, percent(own));
        }
        format!(
            "{}: Dice {} % (mean of {}), {} % (mean of {})",
            self.rest(),
            percent(self.overall_dice),
            counted(sites, "site"),
            percent(self.overall_cases_dice),
            counted(cases, "case"),
        )
    }

    /// A table for a terminal: one row per site, the source site's validation cases first; below, the
    /// target sites together, as mean over sites and as mean over cases; then a table of the classes of a
    /// model of several, such a table for each other metric, the treatment of empty masks, and the unscored cases. Dice is in per cent.
    pub fn table(&self) -> String {
        let mut text = format!("trained on {}; {}\n", self.source, self.setting());
        text.push_str(&self.dice_table());
        if self.classes.is_several() {
            text.push_str(&format!("\nby class\n{}", self.class_table()));
            if let Some(line) = self.undefined_line() {
                text.push_str(&format!("{line}\n"));
            }
        }
        for &metric in self.metrics.iter().filter(|m| **m != CaseMetric::DICE) {
            text.push_str(&format!("\n{}\n", self.metric_heading(metric)));
            text.push_str(&self.metric_table(metric));
        }
        if let Some(line) = self.border_line() {
            text.push_str(&format!("\n{line}\n"));
        }
        let lines = [self.empty_slices_line(), self.confidence_line(), self.range_warning()];
        for line in lines.into_iter().flatten() {
            text.push_str(&format!("\n{line}\n"));
        }
        if let Some(config) = &self.bootstrap {
            let percent = config.level_percent();
            text.push_str(&format!(
                "\nintervals: {percent} %, bootstrap over cases within their site, {} draws, seed \
                 {}\n",
                config.resamples, config.seed
            ));
            if self.has_few_cases() {
                text.push_str(&format!("{}\n", few_cases_note()));
            }
        }
        text.push_str(&format!("of {}\n", self.empty_counts()));
        for lost in &self.unscored {
            text.push_str(&format!("not scored: {}/{}: {}\n", lost.site, lost.case, lost.reason));
        }
        text
    }

    /// Whether any interval is based on few cases.
    pub(crate) fn has_few_cases(&self) -> bool {
        let of_site = |site: &SiteScore| site.metrics.iter().any(|(_, m)| is_few(m.interval));
        let overall = |o: &OverallSummary| is_few(o.sites_interval) || is_few(o.cases.interval);
        self.sites.iter().any(of_site) || self.overall.iter().any(|(_, o)| overall(o))
    }

    fn level(&self) -> Option<String> {
        self.bootstrap.as_ref().map(|b| format!("{} % interval", b.level_percent()))
    }

    /// The header of a table, with a column for intervals where there are any.
    fn head(&self, unit: &str, [median, worst, empty]: [&str; 3]) -> Vec<String> {
        let mut head = ["site", "role", "cases", unit].map(str::to_owned).to_vec();
        head.extend(self.level());
        head.extend([median, worst, empty].map(str::to_owned));
        head
    }

    fn dice_table(&self) -> String {
        let mut rows = TextTable::new(self.head("Dice %", ["median", "min", "empty"]));
        for site in &self.sites {
            let interval = site.metrics.get(CaseMetric::DICE).and_then(|m| m.interval);
            let mut row = site_names(site);
            row.push(percent(Some(site.mean_dice)));
            row.extend(self.interval(MetricUnit::PER_CENT, interval));
            row.extend([Some(site.median_dice), Some(site.min_dice)].map(percent));
            row.push(site.empty_predictions.to_string());
            rows.push(row);
        }
        if self.targets().next().is_some() {
            rows.rule();
            let overall = self.overall.get(CaseMetric::DICE);
            let empty: usize = self.targets().map(|s| s.empty_predictions).sum();
            let worst = self.targets().map(|s| s.min_dice).reduce(f64::min);
            let [sites, cases] = self.overall_names();
            let over_sites = overall.and_then(|o| o.sites_interval);
            let over_cases = overall.and_then(|o| o.cases.interval);
            for (names, dice, interval) in [
                (sites, self.overall_dice, over_sites),
                (cases, self.overall_cases_dice, over_cases),
            ] {
                let mut row = names;
                row.push(percent(dice));
                row.extend(self.interval(MetricUnit::PER_CENT, interval));
                row.extend([String::new(), percent(worst), empty.to_string()]);
                rows.push(row);
            }
        }
        rows.render()
    }

    fn metric_heading(&self, metric: CaseMetric) -> String {
        let better = match metric {
            CaseMetric::VolumeError | CaseMetric::RelativeVolumeError => "nearer to 0 is better",
            m if m.higher_is_better() => "higher is better",
            _ => "lower is better",
        };
        format!("{} ({better})", metric_title(metric))
    }

    fn metric_table(&self, metric: CaseMetric) -> String {
        let unit = MetricUnit::of(metric);
        let mut rows = TextTable::new(self.head("mean", ["median", "worst", "missed"]));
        let tail = |s: &MetricSummary| {
            let missed = s.missed.to_string();
            let left_out = (s.left_out > 0).then(|| format!(", {} left out", s.left_out));
            [unit.format(s.median), unit.format(s.worst), missed + &left_out.unwrap_or_default()]
        };
        for site in &self.sites {
            let Some(summary) = site.metrics.get(metric) else { continue };
            let mut row = site_names(site);
            row.push(unit.format(summary.mean));
            row.extend(self.interval(unit, summary.interval));
            row.extend(tail(summary));
            rows.push(row);
        }
        if let Some(over) = self.overall.get(metric) {
            rows.rule();
            let [mut sites, mut cases] = self.overall_names();
            sites.push(unit.format(over.mean_of_sites));
            sites.extend(self.interval(unit, over.sites_interval));
            cases.push(unit.format(over.cases.mean));
            cases.extend(self.interval(unit, over.cases.interval));
            for mut row in [sites, cases] {
                row.extend(tail(&over.cases));
                rows.push(row);
            }
        }
        rows.render()
    }

    fn interval(&self, unit: MetricUnit, interval: Option<Interval>) -> Option<String> {
        self.bootstrap.as_ref().map(|_| unit.format_interval(interval))
    }

    fn overall_names(&self) -> [Vec<String>; 2] {
        let sites = self.targets().count();
        let cases: usize = self.targets().map(|s| s.cases).sum();
        [counted(sites, "site"), counted(cases, "case")]
            .map(|over| vec![self.rest(), format!("mean of {over}"), cases.to_string()])
    }
}

fn is_few(interval: Option<Interval>) -> bool {
    interval.is_some_and(|i| i.few_cases.is_some())
}

fn site_names(site: &SiteScore) -> Vec<String> {
    vec![site.site.clone(), site.role.name().to_owned(), site.cases.to_string()]
}
