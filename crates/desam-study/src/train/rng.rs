//! Random number streams: one per purpose, epoch and slice.
//!
//! No draw depends on how many another drew, so the training progress is also the state of all random
//! numbers, and slices may be read in any order by any thread.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Purpose of a random number stream; part of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RngPurpose {
    /// Shuffling: the order of slices in an epoch.
    Order,
    /// The prompt of a training slice.
    Prompt,
    /// The prompt of a validation slice: the same in every epoch.
    Validation,
    /// The augmentation of a training slice.
    Augment,
    /// The empty slices of an epoch; the index is a site's.
    Empty,
    /// The slices of a site in an epoch where sites are balanced; the index is the site's.
    Site,
    /// The augmentation of a training slice's second view.
    SecondView,
}

/// The stream for `purpose` in `epoch` at slice `index`.
pub(crate) fn stream(seed: u64, purpose: RngPurpose, epoch: usize, index: usize) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8 + 1;
    key[16..24].copy_from_slice(&(epoch as u64).to_le_bytes());
    key[24..].copy_from_slice(&(index as u64).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Shuffles in place (Fisher-Yates, written out so that the order does not depend on a library's
/// version).
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last as u64) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shuffle_is_a_permutation_that_its_stream_determines() {
        let shuffled = |seed, epoch| {
            let mut order: Vec<usize> = (0..50).collect();
            shuffle(&mut order, &mut stream(seed, RngPurpose::Order, epoch, 0));
            order
        };
        let mut sorted = shuffled(3, 1);
        assert_eq!(shuffled(3, 1), sorted);
        assert_ne!(shuffled(3, 2), sorted);
        assert_ne!(shuffled(4, 1), sorted);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn every_purpose_epoch_and_slice_has_its_own_stream() {
        let first = |p, e, i| stream(1, p, e, i).random::<u64>();
        let drawn = [
            first(RngPurpose::Order, 0, 0),
            first(RngPurpose::Prompt, 0, 0),
            first(RngPurpose::Validation, 0, 0),
            first(RngPurpose::Augment, 0, 0),
            first(RngPurpose::Empty, 0, 0),
            first(RngPurpose::Site, 0, 0),
            first(RngPurpose::SecondView, 0, 0),
            first(RngPurpose::Prompt, 1, 0),
            first(RngPurpose::Prompt, 0, 1),
        ];
        let distinct: std::collections::HashSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), drawn.len());
    }
}
