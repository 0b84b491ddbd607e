//! The order of slices in an epoch: shuffled, balanced between source sites, with a share of empty
//! slices.

use super::rng::{RngPurpose, shuffle, stream};
use desam_data::cache::SliceRef;

/// The rule that picks and orders the slices of an epoch. Each epoch has as many slices, and they
/// depend on seed and epoch alone, so that a resumed run repeats them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EpochOrder {
    sites: Vec<SiteSlices>,
    /// Slices that each site gives to an epoch, where there are several sites.
    balanced: Option<usize>,
}

/// The slices of one site, as indices into the training set.
#[derive(Debug, Clone, PartialEq, Default)]
struct SiteSlices {
    labelled: Vec<usize>,
    empty: Vec<usize>,
    /// Empty slices that an epoch takes.
    empty_taken: usize,
}

impl EpochOrder {
    /// Every slice once an epoch.
    pub(super) fn every(slices: usize) -> Self {
        let all = SiteSlices { labelled: (0..slices).collect(), ..SiteSlices::default() };
        Self { sites: vec![all], balanced: None }
    }

    /// The slices of several sites, one list each, numbered through in this order.
    ///
    /// With `empty_share` an epoch takes so many empty slices of a site that they are that share of
    /// its slices, if it has as many. Several sites are balanced: each gives the mean number of
    /// slices, a large site leaving some out and a small one repeating some.
    pub(super) fn new(sites: &[Vec<SliceRef>], empty_share: Option<f64>) -> Self {
        let mut start = 0;
        let mut site = |slices: &Vec<SliceRef>| {
            let numbered = (start..).zip(slices);
            let (labelled, empty): (Vec<(usize, &SliceRef)>, Vec<_>) =
                numbered.partition(|(_, s)| s.labelled);
            start += slices.len();
            let labelled: Vec<usize> = labelled.into_iter().map(|(n, _)| n).collect();
            let empty: Vec<usize> = empty.into_iter().map(|(n, _)| n).collect();
            let wanted = empty_share.map_or(empty.len(), |share| {
                (labelled.len() as f64 * share / (1.0 - share)).round() as usize
            });
            SiteSlices { empty_taken: wanted.min(empty.len()), labelled, empty }
        };
        let sites: Vec<SiteSlices> = sites.iter().map(&mut site).collect();
        let total: usize = sites.iter().map(SiteSlices::per_epoch).sum();
        let giving = sites.iter().filter(|s| s.per_epoch() > 0).count();
        let balanced = (giving > 1).then(|| total.div_ceil(giving));
        Self { sites, balanced }
    }

    /// Slices of an epoch.
    pub(super) fn len(&self) -> usize {
        let of_site = |site: &SiteSlices| match site.per_epoch() {
            0 => 0,
            own => self.balanced.unwrap_or(own),
        };
        self.sites.iter().map(of_site).sum()
    }

    /// The slices of `epoch`, as indices into the training set.
    pub(super) fn of_epoch(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.len());
        for (n, site) in self.sites.iter().enumerate() {
            let mut own = site.labelled.clone();
            own.extend(site.empty_of_epoch(seed, epoch, n));
            let Some(wanted) = self.balanced.filter(|_| !own.is_empty()) else {
                order.extend(own);
                continue;
            };
            shuffle(&mut own, &mut stream(seed, RngPurpose::Site, epoch, n));
            order.extend(own.iter().cycle().take(wanted));
        }
        shuffle(&mut order, &mut stream(seed, RngPurpose::Order, epoch, 0));
        order
    }
}

impl SiteSlices {
    /// Slices of the site in an epoch, before sites are balanced.
    fn per_epoch(&self) -> usize {
        self.labelled.len() + self.empty_taken
    }

    /// The empty slices of an epoch.
    fn empty_of_epoch(&self, seed: u64, epoch: usize, site: usize) -> Vec<usize> {
        let mut empty = self.empty.clone();
        if self.empty_taken < empty.len() {
            shuffle(&mut empty, &mut stream(seed, RngPurpose::Empty, epoch, site));
            empty.truncate(self.empty_taken);
        }
        empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A site of `labelled` slices, then `empty` ones.
    fn site(labelled: usize, empty: usize) -> Vec<SliceRef> {
        let slice = |z| SliceRef { case: 0, z, labelled: z < labelled };
        (0..labelled + empty).map(slice).collect()
    }

    fn sorted(mut order: Vec<usize>) -> Vec<usize> {
        order.sort_unstable();
        order
    }

    #[test]
    fn one_site_without_a_share_is_each_slice_once_in_the_order_of_the_official_shuffle() {
        let order = EpochOrder::new(&[site(20, 5)], None);
        assert_eq!(order.len(), 25);
        assert_eq!(sorted(order.of_epoch(3, 1)), (0..25).collect::<Vec<_>>());
        assert_eq!(order.of_epoch(3, 1), EpochOrder::every(25).of_epoch(3, 1));
        assert_ne!(order.of_epoch(3, 1), order.of_epoch(3, 2));
        assert_ne!(order.of_epoch(3, 1), order.of_epoch(4, 1));
    }

    #[test]
    fn a_share_of_empty_slices_changes_with_the_epoch() {
        // By hand: a fifth of an epoch is empty where 12 labelled slices come with 3 empty ones.
        let order = EpochOrder::new(&[site(12, 30)], Some(0.2));
        let empty = |epoch| -> Vec<usize> {
            sorted(order.of_epoch(0, epoch)).into_iter().filter(|n| *n >= 12).collect()
        };
        assert_eq!(order.len(), 15);
        assert_eq!(empty(0).len(), 3);
        assert!((1..20).any(|epoch| empty(epoch) != empty(0)));
        let labelled: Vec<usize> = sorted(order.of_epoch(0, 7)).into_iter().take(12).collect();
        assert_eq!(labelled, (0..12).collect::<Vec<_>>());
        // A site with too few empty slices gives those it has.
        assert_eq!(EpochOrder::new(&[site(12, 2)], Some(0.5)).len(), 14);
    }

    #[test]
    fn sites_are_balanced() {
        // By hand: 30 and 6 slices are 18 of each site; each small one comes three times.
        let order = EpochOrder::new(&[site(30, 0), site(6, 0)], None);
        let epoch = sorted(order.of_epoch(1, 0));
        assert_eq!((order.len(), epoch.len()), (36, 36));
        assert_eq!(epoch.iter().filter(|n| **n < 30).count(), 18);
        for small in 30..36 {
            assert_eq!(epoch.iter().filter(|n| **n == small).count(), 3);
        }
    }

    proptest! {
        #[test]
        fn an_epoch_has_as_many_slices_as_announced(
            sizes in prop::collection::vec((0_usize..20, 0_usize..20), 1..5),
            share in prop::option::of(0.05_f64..0.95),
            seed: u64,
            epoch in 0_usize..50,
        ) {
            let sites: Vec<_> = sizes.iter().map(|&(l, e)| site(l, e)).collect();
            let all: usize = sites.iter().map(Vec::len).sum();
            let order = EpochOrder::new(&sites, share);
            let drawn = order.of_epoch(seed, epoch);
            prop_assert_eq!(drawn.len(), order.len());
            prop_assert!(drawn.iter().all(|n| *n < all));
            prop_assert_eq!(&drawn, &order.of_epoch(seed, epoch));
        }
    }
}
