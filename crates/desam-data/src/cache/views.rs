//! Style views: changed versions of each slice, encoded once and stored beside the plain features.
//!
//! Training then sees other scanners without the encoder running in it.

use super::header::slice_source;
use super::{CacheCase, Seal};
use crate::augment::{StyleAugment, ViewSeed};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Largest number of views of a slice.
pub const MAX_VIEWS: usize = 64;

/// The rule that makes views: together with the plain slice and a view's number it determines the
/// view. It is kept apart from the [`CacheRecipe`](super::CacheRecipe), so that views can be added to
/// a cache whose features stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewRecipe {
    /// The changes.
    pub augment: StyleAugment,
    /// Seed of all views.
    pub seed: u64,
}

impl ViewRecipe {
    /// Random seed of view `view` (from 1) of processed slice `z` of an image, which is known by its
    /// hash: neither the file's place nor the other cases matter.
    pub fn view_seed(&self, image_blake3: &str, z: usize, view: usize) -> ViewSeed {
        let mut hasher = blake3::Hasher::new_derive_key("desam random numbers of a style view v1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(view_source(image_blake3, z, view).as_bytes());
        ViewSeed(hasher.finalize().into())
    }

    /// Seal of a view's file in the cache with key `cache_key`.
    pub(crate) fn seal(&self, cache_key: &str, case: &CacheCase, file: FeatureFile) -> Seal {
        let mut hasher = blake3::Hasher::new_derive_key("desam style view key v1");
        hasher.update(cache_key.as_bytes());
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(self.augment.to_string().as_bytes());
        let source = view_source(&case.image_blake3, file.z, file.view);
        Seal { key: hasher.finalize().to_hex().to_string(), source }
    }
}

impl std::fmt::Display for ViewRecipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (seed {})", self.augment, self.seed)
    }
}

/// Hash of what a view's features were computed from.
fn view_source(image_blake3: &str, z: usize, view: usize) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("desam cached style view v1");
    hasher.update(slice_source(image_blake3, z).as_bytes());
    hasher.update(&(view as u64).to_le_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Views that an embedding stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StyleViews {
    /// The rule that makes them.
    pub recipe: ViewRecipe,
    /// Views of each stored slice, 1 to [`MAX_VIEWS`].
    pub count: usize,
    /// Sites whose slices get views: those that are trained on. `None`: all.
    pub sites: Option<Vec<String>>,
}

impl StyleViews {
    /// `count` views of each slice of every site, by seed 0.
    ///
    /// # Errors
    /// [`Error::ViewCount`] when `count` is not 1 to [`MAX_VIEWS`].
    pub fn new(augment: StyleAugment, count: usize) -> Result<Self> {
        if !(1..=MAX_VIEWS).contains(&count) {
            return Err(Error::ViewCount { count });
        }
        Ok(Self { recipe: ViewRecipe { augment, seed: 0 }, count, sites: None })
    }

    /// Sets the seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.recipe.seed = seed;
        self
    }

    /// Sets the sites.
    #[must_use]
    pub fn with_sites(self, sites: Option<Vec<String>>) -> Self {
        Self { sites, ..self }
    }

    /// Views of each slice of a site.
    pub(crate) fn of_site(&self, site: &str) -> usize {
        let chosen = self.sites.as_ref().is_none_or(|sites| sites.iter().any(|s| s == site));
        if chosen { self.count } else { 0 }
    }
}

/// One file of features: of a slice as it is, or of a view of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FeatureFile {
    /// The processed slice.
    pub(crate) z: usize,
    /// The view, from 1; 0 is the slice as it is.
    pub(crate) view: usize,
}

impl FeatureFile {
    /// The files of a case, in order: each stored slice, followed by its views.
    pub(crate) fn of_case(case: &CacheCase) -> impl Iterator<Item = Self> + '_ {
        case.stored.iter().flat_map(|&z| (0..=case.views).map(move |view| Self { z, view }))
    }
}

impl std::fmt::Display for FeatureFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.view {
            0 => write!(f, "slice {}", self.z),
            view => write!(f, "slice {} view {view}", self.z),
        }
    }
}
