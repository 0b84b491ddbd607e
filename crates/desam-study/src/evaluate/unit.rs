//! How a metric's values are shown to people.

use desam_metrics::metric::{CaseMetric, Overlap};
use desam_metrics::statistics::{FEW_CASES, Interval};

/// A metric's unit on the screen: shares are in per cent there, all else is as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    scale: f64,
}

impl Unit {
    /// Shares.
    pub(crate) const PER_CENT: Self = Self { scale: 100.0 };

    /// Of a metric.
    pub(crate) fn of(metric: CaseMetric) -> Self {
        let share = metric.higher_is_better() || metric == CaseMetric::RelativeVolumeError;
        if share { Self::PER_CENT } else { Self { scale: 1.0 } }
    }

    /// With two decimals; a dash for nothing.
    pub(crate) fn show(self, value: Option<f64>) -> String {
        match value {
            Some(v) if v.is_finite() => format!("{:.2}", self.scale * v),
            Some(v) if v == f64::INFINITY => "∞".to_owned(),
            _ => "–".to_owned(),
        }
    }

    /// Both ends with two decimals, and the number of cases where they are few; a dash for nothing.
    pub(crate) fn between(self, interval: Option<Interval>) -> String {
        interval.map_or_else(
            || "–".to_owned(),
            |i| {
                let few = i.few_cases.map_or_else(String::new, |n| format!(" (n = {n})"));
                format!("{} to {}{few}", self.show(Some(i.low)), self.show(Some(i.high)))
            },
        )
    }
}

/// What intervals with a number of cases are, for the notes below a table.
pub(crate) fn few_cases_note() -> String {
    format!("n: of fewer than {FEW_CASES} cases, an interval is too narrow to be relied on")
}

/// A metric with its unit, for headings.
pub(crate) fn title(metric: CaseMetric) -> String {
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
        // A metric of later versions: its own name has the unit.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_per_cent_and_nothing_is_a_dash() {
        let [dice, hd95] = ["dice", "hd95_mm"].map(|n| Unit::of(n.parse().unwrap()));
        assert_eq!((dice.show(Some(0.5)), hd95.show(Some(0.5))), ("50.00".into(), "0.50".into()));
        assert_eq!((dice.show(None), hd95.show(Some(f64::NAN))), ("–".into(), "–".into()));
        assert_eq!(hd95.show(Some(f64::INFINITY)), "∞");
        let interval = Some(Interval { low: 0.25, high: 0.5, few_cases: None });
        assert_eq!(
            (dice.between(interval), dice.between(None)),
            ("25.00 to 50.00".into(), "–".into())
        );
        let few = Some(Interval { low: 0.25, high: 0.5, few_cases: Some(3) });
        assert_eq!(dice.between(few), "25.00 to 50.00 (n = 3)");
    }

    #[test]
    fn every_metric_has_a_title_with_its_unit() {
        for metric in CaseMetric::all() {
            let title = title(metric);
            assert!(["%", "mm", "ml"].iter().any(|unit| title.ends_with(unit)), "{title}");
        }
    }
}
