//! Sharding: distribution of the cases over several processes.

use crate::layout::Case;
use crate::{Error, Result};
use desam_volume::volumes::{self, ReadOptions};
use serde::{Deserialize, Serialize};

/// Parts that a run may be cut into.
const MOST_PARTS: usize = 100_000;

/// One of several shards of the cases, all of about the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    index: usize,
    of: usize,
}

impl Part {
    /// Part `index`, counted from 0, of `of`.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn new(index: usize, of: usize) -> Result<Self> {
        if (1..=MOST_PARTS).contains(&of) && index < of {
            Ok(Self { index, of })
        } else {
            Err(Error::Part { index, of })
        }
    }

    /// Index of the shard, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Number of shards.
    pub fn of(self) -> usize {
        self.of
    }

    /// The cases of this part, in the order of `cases`. It depends on the cases and the sizes of
    /// their images alone: every process deals the same hands.
    ///
    /// # Errors
    /// When an image's size cannot be read.
    pub fn cases<'c>(self, cases: &'c [Case], read: &ReadOptions) -> Result<Vec<&'c Case>> {
        let mut weights = Vec::with_capacity(cases.len());
        for case in cases {
            weights.push((case.site.as_str(), bytes(case, read)?));
        }
        let shards = assign(&weights, self.of);
        let mine = cases.iter().zip(shards).filter(|(_, shard)| *shard == self.index);
        Ok(mine.map(|(case, _)| case).collect())
    }
}

/// Size of a case's image on the disk.
fn bytes(case: &Case, read: &ReadOptions) -> Result<u64> {
    let mut sum = 0;
    // Sizes alone: where the data lie does not matter.
    let anywhere = read.clone().with_follow_outside(true);
    for file in volumes::files_with(&case.image, &anywhere)? {
        sum += file.metadata().map_err(Error::io("read", &file))?.len();
    }
    Ok(sum)
}

/// Fingerprint of the cases of a data set, independent of its folder: their number, and a hash of
/// their names and the sizes of their images.
pub(super) fn fingerprint(cases: &[Case], read: &ReadOptions) -> Result<String> {
    let mut hasher = blake3::Hasher::new_derive_key("desam cases of an embedding v1");
    for case in cases {
        for name in [&case.site, &case.id] {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        hasher.update(&bytes(case, read)?.to_le_bytes());
    }
    let hash = hasher.finalize().to_hex();
    Ok(format!("{}, hash {}", cases.len(), hash.as_str().get(..16).unwrap_or_default()))
}

/// Deals cases of a site and a weight to `of` hands, as cards are dealt: site by site, the heaviest
/// first, to and fro. Within a site a case's size on the disk tells how many slices it has, between
/// sites it does not, so that each hand gets its share of every site. Hands differ by one case at
/// most. Returns the hand of every case.
fn assign(cases: &[(&str, u64)], of: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|&n| cases.get(n).map(|&(site, weight)| (site, u64::MAX - weight, n)));
    let mut shards = vec![0; cases.len()];
    for (turn, n) in order.into_iter().enumerate() {
        let (round, place) = (turn / of, turn % of);
        if let Some(shard) = shards.get_mut(n) {
            *shard = if round % 2 == 0 { place } else { of - 1 - place };
        }
    }
    shards
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_that_cannot_be_are_refused() {
        for (index, of) in [(0, 0), (3, 3), (7, 3), (0, usize::MAX)] {
            let message = Part::new(index, of).unwrap_err().to_string();
            assert!(message.contains(&of.to_string()), "{message}");
        }
        assert_eq!(Part::new(2, 3).map(|p| (p.index(), p.of())).unwrap(), (2, 3));
    }

    #[test]
    fn heavy_cases_are_spread_by_site() {
        // By hand: A's cases fall 9 → 0, 5 → 1, then to and fro: 4 → 1, 1 → 0; B's 8 → 0, 7 → 1.
        let cases = [("A", 1), ("A", 9), ("B", 7), ("A", 5), ("B", 8), ("A", 4)];
        assert_eq!(assign(&cases, 2), [0, 0, 1, 1, 0, 1]);
    }

    proptest! {
        #[test]
        fn hands_are_disjoint_cover_all_and_are_as_large(
            cases in prop::collection::vec(("[A-C]", 0u64..1000), 0..60),
            of in 1usize..12,
        ) {
            let cases: Vec<(&str, u64)> = cases.iter().map(|(s, w)| (s.as_str(), *w)).collect();
            // One hand for each case: disjoint and covering by construction of the answer.
            let shards = assign(&cases, of);
            prop_assert_eq!(shards.len(), cases.len());
            prop_assert!(shards.iter().all(|&h| h < of));
            let count = |shard: usize, site: Option<&str>| {
                let dealt = shards.iter().zip(&cases);
                dealt.filter(|(h, c)| **h == shard && site.is_none_or(|s| s == c.0)).count()
            };
            let sizes: Vec<usize> = (0..of).map(|h| count(h, None)).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            // A site starts in the middle of a round and may end in one: two cases at most.
            for site in ["A", "B", "C"] {
                let sizes: Vec<usize> = (0..of).map(|h| count(h, Some(site))).collect();
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 2);
            }
            prop_assert_eq!(assign(&cases, of), shards);
        }
    }
}
