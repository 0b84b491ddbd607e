//! Ranges of measurements over the training cases.

use serde::{Deserialize, Serialize};

/// Smallest and largest value of a measurement over the training cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRange {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

impl ValueRange {
    /// The range of finite values; `None` without one.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let finite = values.into_iter().filter(|value| value.is_finite());
        finite.fold(None, |range, value| {
            let Self { min, max } = range.unwrap_or(Self { min: value, max: value });
            Some(Self { min: min.min(value), max: max.max(value) })
        })
    }

    /// Whether a value lies within the range, extended by `factor` at both ends.
    pub fn holds(&self, value: f64, factor: f64) -> bool {
        (self.min / factor..=self.max * factor).contains(&value)
    }
}

impl std::fmt::Display for ValueRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = f.precision().unwrap_or(1);
        let [min, max] = [self.min, self.max].map(|value| format!("{value:.places$}"));
        if min == max { f.write_str(&min) } else { write!(f, "{min} to {max}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_that_of_finite_values_and_extends_by_a_factor() {
        let range = ValueRange::of([3.0, f64::NAN, 1.0, f64::INFINITY, 2.0]);
        assert_eq!(range, Some(ValueRange { min: 1.0, max: 3.0 }));
        assert_eq!(ValueRange::of([f64::NAN]), None);
        let range = range.unwrap();
        // Half of 1 and twice 3 are within.
        assert!([0.5, 1.0, 6.0].iter().all(|v| range.holds(*v, 2.0)));
        assert!([0.49, 6.01, f64::NAN].iter().all(|v| !range.holds(*v, 2.0)));
        assert_eq!(
            (format!("{range}"), format!("{range:.2}")),
            ("1.0 to 3.0".into(), "1.00 to 3.00".into())
        );
        assert_eq!(format!("{}", ValueRange { min: 2.01, max: 2.04 }), "2.0");
    }
}
