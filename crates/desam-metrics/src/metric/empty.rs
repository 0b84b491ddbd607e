//! Scores of cases with an empty mask.

use super::{BothEmpty, Confusion};
use desam_core::named;
use serde::{Deserialize, Serialize};

named! {
    /// Empty masks of a case.
    pub enum Empty: "empty mask" {
        /// Both: nothing was there and nothing was found (a true negative).
        Both = "both",
        /// The prediction: the case was missed.
        Prediction = "prediction",
        /// The truth: the prediction is a false positive.
        Truth = "truth",
    }
}

impl Empty {
    /// The empty masks; `None` where neither is.
    pub fn of(counts: &Confusion) -> Option<Self> {
        match (counts.predicted(), counts.present()) {
            (0, 0) => Some(Self::Both),
            (0, _) => Some(Self::Prediction),
            (_, 0) => Some(Self::Truth),
            _ => None,
        }
    }
}

named! {
    /// Value of a distance where exactly one of the two masks is empty. There is no distance to an
    /// empty set, and yet a missed case must not improve a mean.
    #[derive(Default)]
    pub enum OneEmpty: "distance of an empty mask" {
        /// The diagonal of the volume, more than any two voxels could be apart; the BraTS challenge's
        /// penalty (373.13 mm on 240 × 240 × 155 mm).
        #[default]
        Diagonal = "diagonal",
        /// Infinity, as in surface-distance; every mean over it is infinite, too. JSON has null.
        Infinite = "infinite",
        /// No value (medpy gives an error). A summary reports how many such cases there were.
        LeftOut = "left-out" => "left_out",
    }
}

/// Scores of cases with an empty mask. Under every policy a [`Score`] says which mask was empty.
///
/// | | both empty | one empty |
/// |---|---|---|
/// | overlap | [`BothEmpty`] | 0 |
/// | surface Dice | [`BothEmpty`] | 0 |
/// | distances | 0 if [`BothEmpty::Perfect`], else no value | [`OneEmpty`] |
/// | volume error | 0 | the other volume |
/// | relative volume error | 0 if [`BothEmpty::Perfect`], else no value | −1 where the prediction is empty; where the truth is, no value (a summary counts such cases), or infinite if [`OneEmpty::Infinite`] |
///
/// The default is a perfect score where both are empty and the worst one where one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyPolicy {
    /// Score where both masks are empty.
    pub both: BothEmpty,
    /// Distance where one mask is empty.
    pub one: OneEmpty,
}

/// The score of a case by one metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Neither mask is empty: the metric's value.
    Value(f64),
    /// At least one mask is empty.
    Empty {
        /// The empty mask, or both.
        which: Empty,
        /// The case's value in a mean; `None` leaves it out.
        counted_as: Option<f64>,
    },
}

impl Score {
    /// The value that enters a mean; `None` only where the policy leaves a case with an empty mask out.
    pub fn counted(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Empty { counted_as, .. } => *counted_as,
        }
    }

    /// The empty masks, if any.
    pub fn empty(&self) -> Option<Empty> {
        match self {
            Self::Value(_) => None,
            Self::Empty { which, .. } => Some(*which),
        }
    }
}
