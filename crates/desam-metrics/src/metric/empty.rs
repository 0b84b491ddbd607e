//! What a case counts as that has an empty mask.

use super::{BothEmpty, Confusion};
use serde::{Deserialize, Serialize};

/// Which masks of a case are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Nothing was there and nothing was found.
    Both,
    /// The case was missed.
    Prediction,
    /// The case was invented.
    Truth,
}

impl Empty {
    /// Which masks are empty; `None` where both hold something.
    pub fn of(counts: &Confusion) -> Option<Self> {
        match (counts.predicted(), counts.present()) {
            (0, 0) => Some(Self::Both),
            (0, _) => Some(Self::Prediction),
            (_, 0) => Some(Self::Truth),
            _ => None,
        }
    }
}

/// What a distance counts as where one mask is empty and the other is not: nothing is at any
/// distance from nothing, and yet a missed case must not make a mean better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OneEmpty {
    /// The diagonal of the volume, more than any two voxels could be apart; what the BraTS
    /// challenge charges (373.13 mm on 240 × 240 × 155 mm).
    #[default]
    Diagonal,
    /// Infinitely far, as surface-distance says, and so is every mean over it. JSON writes null.
    Infinite,
    /// No value (medpy gives an error). A summary says how many such cases there were.
    LeftOut,
}

/// What cases with an empty mask count as. Whatever it says, a score names the empty mask.
///
/// | | both empty | one empty |
/// |---|---|---|
/// | overlap | [`BothEmpty`] | 0 |
/// | surface Dice | [`BothEmpty`] | 0 |
/// | distances | 0 if [`BothEmpty::Perfect`], else no value | [`OneEmpty`] |
/// | volume error | 0 | the other volume |
/// | relative volume error | 0 if [`BothEmpty::Perfect`], else no value | −1 where the prediction is empty; where the truth is, infinite, or no value if [`OneEmpty::LeftOut`] |
///
/// The default is a perfect score where both are empty and the worst one where one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyPolicy {
    /// Both masks are empty.
    pub both: BothEmpty,
    /// One mask is.
    pub one: OneEmpty,
}

/// What a metric says of a case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Both masks hold something: the metric's value.
    Value(f64),
    /// One does not, or neither does.
    Empty {
        /// Which.
        which: Empty,
        /// What the case counts as in a mean; `None` leaves it out.
        counted_as: Option<f64>,
    },
}

impl Score {
    /// What goes into a mean; `None` only where the policy leaves a case with an empty mask out.
    pub fn counted(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Empty { counted_as, .. } => *counted_as,
        }
    }

    /// Which masks are empty, if any.
    pub fn empty(&self) -> Option<Empty> {
        match self {
            Self::Value(_) => None,
            Self::Empty { which, .. } => Some(*which),
        }
    }
}
