//! Train/validation split of the cases of a site.

use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rule for selecting the validation cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SplitRule {
    /// At random; the same seed picks the same cases.
    Seeded {
        /// The seed.
        seed: u64,
    },
    /// The last cases, in the order they come in.
    Last,
}

/// Indices of cases, each side in ascending order. Every case is on exactly one side.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Cases to train on.
    pub train: Vec<usize>,
    /// Cases to validate on.
    pub validation: Vec<usize>,
}

/// Splits cases `0 .. n`; the paper keeps nine of ten for training (a fraction of 0.1). The number
/// of validation cases is rounded half up, at least one, and leaves at least one for training.
///
/// # Errors
/// [`Error::Split`] when there are fewer than two cases or the fraction is not between 0 and 1.
pub fn split_cases(n: usize, validation_fraction: f64, rule: SplitRule) -> Result<Split> {
    let sensible = validation_fraction > 0.0 && validation_fraction < 1.0;
    if n < 2 || !sensible {
        return Err(Error::Split { cases: n, fraction: validation_fraction });
    }
    let held_out = ((n as f64 * validation_fraction + 0.5).floor() as usize).clamp(1, n - 1);
    let mut order: Vec<usize> = (0..n).collect();
    if let SplitRule::Seeded { seed } = rule {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Fisher and Yates, written out, so that the picks do not hang on a library's version.
        for last in (1..n).rev() {
            order.swap(last, rng.random_range(0..=last as u64) as usize);
        }
    }
    let mut validation = order.split_off(n - held_out);
    let mut train = order;
    train.sort_unstable();
    validation.sort_unstable();
    Ok(Split { train, validation })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tenth_is_held_out() {
        // 9:1 by the paper; counts by hand, half rounded up.
        for (n, train, validation) in
            [(20, 18, 2), (30, 27, 3), (12, 11, 1), (2, 1, 1), (3, 2, 1), (25, 22, 3), (19, 17, 2)]
        {
            let split = split_cases(n, 0.1, SplitRule::Last).unwrap();
            assert_eq!((split.train.len(), split.validation.len()), (train, validation), "n = {n}");
        }
        let split = split_cases(20, 0.1, SplitRule::Last).unwrap();
        assert_eq!(split.validation, [18, 19]);
    }

    #[test]
    fn seeds_matter_and_repeat() {
        let pick = |seed| split_cases(30, 0.1, SplitRule::Seeded { seed }).unwrap();
        assert_eq!(pick(1), pick(1));
        assert!((2..20).any(|seed| pick(seed) != pick(1)));
    }

    #[test]
    fn nonsense_is_refused() {
        for (n, fraction) in [(0, 0.1), (1, 0.1), (9, 0.0), (9, 1.0), (9, -0.1), (9, f64::NAN)] {
            let refused = split_cases(n, fraction, SplitRule::Last);
            assert!(matches!(refused, Err(Error::Split { .. })), "{n} {fraction}");
        }
    }

    #[test]
    fn rules_read_as_written() {
        let seeded: SplitRule = serde_json::from_str(r#"{"seeded":{"seed":3}}"#).unwrap();
        assert_eq!(seeded, SplitRule::Seeded { seed: 3 });
        assert_eq!(serde_json::to_string(&SplitRule::Last).unwrap(), r#""last""#);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_a_partition(n in 2_usize..200, fraction in 0.001_f64..0.999, seed: u64, last: bool) {
            let rule = if last { SplitRule::Last } else { SplitRule::Seeded { seed } };
            let split = split_cases(n, fraction, rule).unwrap();
            prop_assert!(!split.train.is_empty() && !split.validation.is_empty());
            let mut all = [split.train.clone(), split.validation.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
            prop_assert!(split.train.is_sorted() && split.validation.is_sorted());
        }
    }
}
