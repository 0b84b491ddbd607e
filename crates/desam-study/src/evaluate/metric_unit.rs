//! Units and formatting of metric values.

use desam_metrics::metric::{CaseMetric, Overlap};
use desam_metrics::statistics::{FEW_CASES, Interval};

/// Display unit of a metric: per cent for shares, the stored unit for everything else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MetricUnit {
    scale: f64,
}

impl MetricUnit {
    /// Per cent, for values from 0 to 1.
    pub(crate) const PER_CENT: Self = Self { scale: 100.0 };

    /// The unit of a metric.
    pub(crate) fn of(metric: CaseMetric) -> Self {
        let share = metric.higher_is_better() || metric == CaseMetric::RelativeVolumeError;
        if share { Self::PER_CENT } else { Self { scale: 1.0 } }
    }

    /// Formats a value with two decimals; a dash for `None` and NaN.
    pub(crate) fn format(self, value: Option<f64>) -> String {
        match value {
            Some(v) if v.is_finite() => format!("{:.2}", self.scale * v),
            Some(v) if v == f64::INFINITY => "∞".to_owned(),
            _ => "–".to_owned(),
        }
    }

    /// Formats an interval with two decimals, and the number of cases where they are few; a dash for
    /// `None`.
    pub(crate) fn format_interval(self, interval: Option<Interval>) -> String {
        interval.map_or_else(
            || "–".to_owned(),
            |i| {
                let few = i.few_cases.map_or_else(String::new, |n| format!(" (n = {n})"));
                format!("{} to {}{few}", self.format(Some(i.low)), self.format(Some(i.high)))
            },
        )
    }
}

/// The note below a table on intervals of few cases.
pub(crate) fn few_cases_note() -> String {
    format!("n: of fewer than {FEW_CASES} cases, an interval is too narrow to be relied on")
}

/// Name of a metric with its unit, for headings.
pub(crate) fn metric_title(metric: CaseMetric) -> String {
    match metric {
        CaseMetric::Overlap(Overlap::Dice) => "Dice %".to_owned(),
        CaseMetric::Overlap(overlap) => format!("{} %", overlap.name()),
        CaseMetric::SurfaceDice { tolerance_mm } => format!("surface Dice at {tolerance_mm} mm, %"),
        CaseMetric::Hausdorff => "HD mm".to_owned(),
        CaseMetric::Hausdorff95 => "HD95 mm".to_owned(),
        CaseMetric::AverageDistance => "ASD mm".to_owned(),
        CaseMetric::AverageSymmetricDistance => "ASSD mm".to_owned(),
        CaseMetric::RobustHausdorff95 => "robust HD95 mm".to_owned(),
        CaseMetric::VolumeError => "volume error ml".to_owned(),
        CaseMetric::RelativeVolumeError => "volume error %".to_owned(),
        // A metric of later versions: its name contains the unit.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_per_cent_and_missing_values_are_dashes() {
        let [dice, hd95] = ["dice", "hd95_mm"].map(|n| MetricUnit::of(n.parse().unwrap()));
        assert_eq!(
            (dice.format(Some(0.5)), hd95.format(Some(0.5))),
            ("50.00".into(), "0.50".into())
        );
        assert_eq!((dice.format(None), hd95.format(Some(f64::NAN))), ("–".into(), "–".into()));
        assert_eq!(hd95.format(Some(f64::INFINITY)), "∞");
        let interval = Some(Interval { low: 0.25, high: 0.5, few_cases: None });
        assert_eq!(
            (dice.format_interval(interval), dice.format_interval(None)),
            ("25.00 to 50.00".into(), "–".into())
        );
        let few = Some(Interval { low: 0.25, high: 0.5, few_cases: Some(3) });
        assert_eq!(dice.format_interval(few), "25.00 to 50.00 (n = 3)");
    }

    #[test]
    fn every_metric_has_a_title_with_its_unit() {
        for metric in CaseMetric::all() {
            let title = metric_title(metric);
            assert!(["%", "mm", "ml"].iter().any(|unit| title.ends_with(unit)), "{title}");
        }
    }
}
