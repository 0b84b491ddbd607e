//! Chart axes with round tick values.

/// Whether a value can be plotted. Above 1e300 the difference of two could overflow; a loss that large is a
/// failure anyway.
pub(super) fn is_drawable(value: f64) -> bool {
    value.abs() < 1e300
}

/// A linear axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) step: f64,
}

impl Axis {
    /// An axis that covers the finite `values`, and 0 if `zero`, in about `steps` steps of 1, 2 or 5 times a
    /// power of ten; 0 to 1 without values.
    pub(super) fn covering(values: impl Iterator<Item = f64>, zero: bool, steps: f64) -> Self {
        let mut ends: Option<(f64, f64)> = zero.then_some((0.0, 0.0));
        for v in values.filter(|&v| is_drawable(v)) {
            ends = Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))));
        }
        let (low, high) = ends.unwrap_or((0.0, 1.0));
        let (low, high) = if high > low { (low, high) } else { (low, low + low.abs().max(1.0)) };
        let step = round_step((high - low) / steps);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    /// An axis of epochs from `low` to `high`, with whole steps of at least 1.
    pub(super) fn epochs(low: f64, high: f64) -> Self {
        let high = high.max(low + 1.0);
        Self { low, high, step: round_step((high - low) / 8.0).max(1.0) }
    }

    /// Normalised position of `value`: 0 at `low`, 1 at `high`.
    pub(super) fn position(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Tick values: the multiples of the step, limited in number for any range.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-9).ceil();
        let last = (self.high / self.step + 1e-9).floor();
        let count = (last - first).clamp(0.0, 40.0) as usize;
        (0..=count).map(|n| (first + n as f64) * self.step).collect()
    }

    /// Label of a tick, with as many decimals as the step needs.
    pub(super) fn label(&self, tick: f64) -> String {
        if self.step >= 1e6 || self.step < 1e-4 {
            return format!("{tick:.0e}");
        }
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        // No negative zero.
        format!("{:.decimals$}", tick + 0.0)
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let nearly = least * (1.0 - 1e-9);
    [1.0, 2.0, 5.0].map(|m| m * power).into_iter().find(|s| *s >= nearly).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_round() {
        // By hand: 0 to 1.37 in about 5 steps is 0 to 1.5 by 0.5.
        let scale = Axis::covering([0.3, 1.37].into_iter(), true, 5.0);
        assert_eq!(scale, Axis { low: 0.0, high: 1.5, step: 0.5 });
        assert_eq!(scale.ticks(), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(scale.label(0.5), "0.5");
        let epochs = Axis::epochs(1.0, 200.0);
        assert_eq!(epochs.step, 50.0);
        assert_eq!(epochs.ticks(), [50.0, 100.0, 150.0, 200.0]);
        assert_eq!(Axis::epochs(1.0, 1.0).ticks(), [1.0, 2.0]);
    }

    #[test]
    fn nothing_and_no_numbers_are_harmless() {
        let none = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for zero in [true, false] {
            let scale = Axis::covering(none.into_iter(), zero, 5.0);
            assert_eq!((scale.low, scale.high), (0.0, 1.0));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn everything_lies_on_the_axis(a in -1e9_f64..1e9, b in prop::num::f64::NORMAL) {
            let scale = Axis::covering([a, b].into_iter(), false, 5.0);
            let ticks = scale.ticks();
            prop_assert!(!ticks.is_empty() && ticks.len() < 42, "{scale:?}");
            for v in [a, b].into_iter().filter(|&v| is_drawable(v)) {
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&scale.position(v)), "{v} in {scale:?}");
            }
        }
    }
}
