//! A comparison as a plain-text table.

use super::compare::{Comparison, Difference};
use super::counted;
use super::metric_unit::{MetricUnit, few_cases_note, metric_title};
use super::text_table::TextTable;

/// Formats a p-value with three decimals.
fn p(value: f64) -> String {
    if value < 0.001 { "< 0.001".to_owned() } else { format!("{value:.3}") }
}

impl Comparison {
    /// A table for a terminal: one row per site, then the target sites together, then the method.
    /// Dice and other shares are in per cent, their differences in percentage points.
    pub fn table(&self) -> String {
        let level = self.config.bootstrap.level_percent();
        let interval = format!("{level} % interval");
        let head = [
            "site",
            "role",
            "cases",
            "A",
            "B",
            "B - A",
            &interval,
            "better",
            "worse",
            "Wilcoxon p",
            "sign-flip p",
            "Holm p",
        ];
        let mut rows = TextTable::new(head.map(str::to_owned).to_vec());
        for site in &self.sites {
            let names = [site.site.clone(), site.role.name().to_owned()];
            rows.push(self.row(names, &site.difference, site.holm_p_value));
        }
        let targets = self.sites.iter().filter(|s| s.role == super::Role::Target).count();
        if let (Some(over_sites), Some(over_cases)) = (&self.mean_of_sites, &self.mean_of_cases) {
            rows.rule();
            let names = |over: String| ["all targets".to_owned(), format!("mean of {over}")];
            rows.push(self.row(names(counted(targets, "site")), over_sites, None));
            rows.push(self.row(names(counted(over_cases.cases, "case")), over_cases, None));
        }
        let draws = &self.config.bootstrap;
        let truth = self.truth.map_or_else(String::new, |t| format!("both against {t}\n"));
        let mut text = format!("{}\n{truth}{}", metric_title(self.config.metric), rows.render());
        text.push_str(&format!(
            "\nintervals and sign-flip tests: cases drawn, or signs flipped, within their site, {} \
             draws, seed {}; Wilcoxon over cases, whichever site they are of; Holm over {}\n",
            draws.resamples,
            draws.seed,
            counted(targets, "target site")
        ));
        let over = [&self.mean_of_sites, &self.mean_of_cases].into_iter().flatten();
        let all = self.sites.iter().map(|site| &site.difference).chain(over);
        if all.filter_map(|d| d.interval).any(|i| i.few_cases.is_some()) {
            text.push_str(&format!("{}\n", few_cases_note()));
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text
    }

    fn row(&self, names: [String; 2], of: &Difference, holm: Option<f64>) -> Vec<String> {
        let unit = MetricUnit::of(self.config.metric);
        let mut row = names.to_vec();
        row.push(of.cases.to_string());
        row.extend([of.mean_a, of.mean_b, of.mean_difference].map(|v| unit.format(Some(v))));
        row.push(unit.format_interval(of.interval));
        row.extend([of.better, of.worse].map(|n| n.to_string()));
        row.extend([of.wilcoxon.p_value, of.sign_flip.p_value].map(p));
        row.push(holm.map(p).unwrap_or_default());
        row
    }
}
