//! Means over groups of cases.

use crate::{Error, Result};
use desam_core::named;

named! {
    /// Unit of equal weight in a mean over groups of cases.
    pub enum MeanOver: "mean over" {
        /// Every group: the mean of the groups' means (macro average).
        Groups = "groups",
        /// Every case, whichever its group (micro average).
        Cases = "cases",
    }
}

impl MeanOver {
    /// The weight of one case of a group of `own`, among `groups` groups of `all` cases together.
    fn weight(self, own: usize, groups: usize, all: usize) -> f64 {
        match self {
            Self::Groups => 1.0 / (groups * own) as f64,
            Self::Cases => 1.0 / all as f64,
        }
    }
}

/// Values of a group, sorted so that results do not depend on their order, and the weight of each.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) values: Vec<f64>,
    pub(super) weight: f64,
}

impl Group {
    pub(super) fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// Its contribution to the mean over all groups.
    pub(super) fn share(&self) -> f64 {
        self.weight * self.values.iter().sum::<f64>()
    }
}

/// The non-empty groups, with their weights.
///
/// # Errors
/// When a value is NaN.
pub(super) fn weighted(groups: &[&[f64]], over: MeanOver) -> Result<Vec<Group>> {
    if let Some(found) = groups.iter().copied().flatten().find(|v| v.is_nan()) {
        let (what, expected) = ("value of a case", "a number");
        return Err(Error::Statistics { what, found: found.to_string(), expected });
    }
    let held: Vec<_> = groups.iter().filter(|g| !g.is_empty()).collect();
    let all = held.iter().map(|g| g.len()).sum();
    let group = |values: &&&[f64]| {
        let weight = over.weight(values.len(), held.len(), all);
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        Group { values, weight }
    };
    Ok(held.iter().map(group).collect())
}
