//! The weights file of a feature cache, verified against the hash in the cache's header.

use super::WEIGHTS_FILE;
use crate::{Error, Result};
use desam_core::Progress;
use desam_data::cache::FeatureCache;
use desam_encoder::Checkpoint;
use std::path::PathBuf;

/// The file that holds the weights of a cache.
pub fn cache_weights_path(cache: &FeatureCache) -> PathBuf {
    cache.dir().join(WEIGHTS_FILE)
}

/// Part of a weights file that is covered by a hash in the cache's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WeightsCoverage {
    /// All of it.
    Whole,
    /// The image encoder alone: in caches that predate the hash of the whole file.
    ImageEncoder,
}

/// Reads a cache's weights and compares their hash with the one in the cache's header.
///
/// # Errors
/// When the file is missing, cannot be read, or holds other weights than the cache was made with.
pub fn open_cache_weights(cache: &FeatureCache) -> Result<(Checkpoint, WeightsCoverage)> {
    let path = cache_weights_path(cache);
    if !path.is_file() {
        let reason = "is missing: it holds the weights that the features were made with, and is written \
                      last; run embed again to complete the cache";
        return Err(Error::file(&path, reason));
    }
    let checkpoint = Checkpoint::open(&path)?;
    let record = &cache.header().recipe.encoder;
    let (coverage, prefixes, expected): (_, &[&str], _) = match &record.file_blake3 {
        Some(hash) => (WeightsCoverage::Whole, &[], hash),
        None => (WeightsCoverage::ImageEncoder, &["image_encoder."], &record.weights_blake3),
    };
    let found = checkpoint.weights_hash(prefixes)?;
    if found == *expected {
        return Ok((checkpoint, coverage));
    }
    let reason = format!(
        "is not the weights that the features were made with ({}): their hash is {expected}, this \
         file's is {found}; put the file back, or run embed again, which replaces it",
        record.name
    );
    Err(Error::file(&path, reason))
}

/// Verifies the checksums of all files of a cache, its weights included.
///
/// # Errors
/// [`desam_data::Error::CacheDamaged`], listing every damaged file.
pub fn verify_cache(cache: &FeatureCache, progress: &dyn Progress) -> Result<WeightsCoverage> {
    let weights = open_cache_weights(cache).map(|(_, coverage)| coverage);
    match (cache.verify(progress), weights) {
        (Ok(()), Ok(coverage)) => Ok(coverage),
        (Ok(()), Err(error)) => {
            let files = cache.cases().len() + cache.slices().len() + 1;
            let (dir, damaged) = (cache.dir().to_owned(), vec![error.to_string()]);
            Err(desam_data::Error::CacheDamaged { dir, files, damaged }.into())
        }
        (Err(desam_data::Error::CacheDamaged { dir, files, mut damaged }), weights) => {
            damaged.extend(weights.err().map(|error| error.to_string()));
            Err(desam_data::Error::CacheDamaged { dir, files: files + 1, damaged }.into())
        }
        (Err(error), _) => Err(error.into()),
    }
}
