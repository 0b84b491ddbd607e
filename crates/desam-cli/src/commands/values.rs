//! Value parsers for flags: enums by name, and numbers within a range.
//!
//! A value out of range is a usage error whose message states the range.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use desam::types::Named;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Parser for an enum: accepts its names, and lists them as the flag's possible values.
pub(super) fn enum_values<T>() -> impl TypedValueParser<Value = T>
where
    T: Named + FromStr + Send + Sync,
    T::Err: Display,
{
    PossibleValuesParser::new(T::NAMES).try_map(|text| text.parse::<T>().map_err(|e| e.to_string()))
}

/// Parser for a fraction: above 0 and below 1.
pub(super) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number above 0 and below 1".into()),
    }
}

/// Parser for numbers above 0, up to `max`.
pub(super) fn positive(
    max: f64,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= max => Ok(value),
        _ => Err(format!("expected a number above 0, at most {max}")),
    }
}

/// Parser for numbers from 0 to `max`.
pub(super) fn non_negative(
    max: f64,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f64>() {
        Ok(value) if (0.0..=max).contains(&value) => Ok(value),
        _ => Err(format!("expected a number from 0 to {max}")),
    }
}

/// Parser for integers in a range.
pub(super) fn integer(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<usize>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!("expected a whole number from {} to {}", range.start(), range.end())),
    }
}

/// Parser for seeds of random number generators.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}", u64::MAX))
}

/// Points along each side of the prompt grid. The cost of a slice grows with the square.
pub(super) const GRID_SIDE: RangeInclusive<usize> = 1..=64;
/// Epochs, as `TrainConfig::validate` accepts them.
pub(super) const EPOCHS: RangeInclusive<usize> = 1..=100_000;
/// Batch size in slices, as `TrainConfig::validate` accepts it.
pub(super) const BATCH_SIZE: RangeInclusive<usize> = 1..=4096;
/// Upper bound of the learning rate; training diverges long before.
pub(super) const MAX_LEARNING_RATE: f64 = 1000.0;
/// Upper bound of loss weights and of the gradient norm: keeps products within the range of f32.
pub(super) const MAX_WEIGHT: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_rejected_with_the_range() {
        assert!(["0", "1", "-1", "nan", "x"].iter().all(|t| fraction(t).is_err()));
        let rate = positive(1000.0);
        for text in ["0", "-1", "inf", "nan", "", "1e300", "1000.1"] {
            assert!(rate(text).is_err_and(|e| e.contains("at most 1000")), "{text}");
        }
        let weight = non_negative(1e6);
        for text in ["-1", "inf", "nan", "", "1e300"] {
            assert!(weight(text).is_err_and(|e| e.contains("0 to 1000000")), "{text}");
        }
        assert_eq!((weight("0"), weight("1e6")), (Ok(0.0), Ok(1e6)));
        let epochs = integer(EPOCHS);
        for text in ["0", "-1", "1.5", "1e300", "nan", "100001", "18446744073709551615"] {
            assert!(epochs(text).is_err_and(|e| e.contains("1 to 100000")), "{text}");
        }
        let grid = integer(GRID_SIDE);
        assert!(["0", "65"].iter().all(|t| grid(t).is_err_and(|e| e.contains("1 to 64"))));
        assert_eq!((fraction("0.1"), rate("1e-4"), epochs("3")), (Ok(0.1), Ok(1e-4), Ok(3)));
    }
}
