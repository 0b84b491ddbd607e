//! `cache.json`: what a cache holds and how it was made.

use super::names::is_plain_name;
use super::views::MAX_VIEWS;
use super::{CachePaths, CacheRecipe, FORMAT_VERSION, FeatureFile, Seal, ViewRecipe};
use crate::{Error, Result};
use desam_core::files::read_regular;
use desam_volume::atomic::write_atomic;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// Most slices of a volume; a header with more is taken for broken.
const MOST_SLICES: usize = 1 << 20;

/// One case of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheCase {
    /// The site it comes from.
    pub site: String,
    /// The case within the site.
    pub id: String,
    /// The image, relative to the data root where it lies below it.
    #[serde(with = "desam_core::serde_path")]
    pub image: PathBuf,
    /// The ground truth, likewise, where there is one.
    #[serde(default, with = "desam_core::serde_path")]
    pub label: Option<PathBuf>,
    /// BLAKE3 of the image file.
    pub image_blake3: String,
    /// BLAKE3 of the label file.
    pub label_blake3: Option<String>,
    /// Processed slices, whether stored or not.
    pub slices: usize,
    /// Side of the processed images, in pixels.
    pub image_side: usize,
    /// Processed slices whose `M×M` mask has foreground, rising.
    pub labelled: Vec<usize>,
    /// The labels that occur in its masks, rising. `None` without ground truth, and where an older version
    /// merged all labels into one foreground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_values: Option<Vec<u8>>,
    /// Processed slices whose features are stored, rising.
    pub stored: Vec<usize>,
    /// Style views of each stored slice, whose features are stored as well.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub views: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The contents of `cache.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheHeader {
    /// Version of the cache's format, [`FORMAT_VERSION`].
    pub format: u32,
    /// [`CacheRecipe::key`] of the recipe.
    pub key: String,
    /// Recipe: the settings that the features were computed with.
    pub recipe: CacheRecipe,
    /// Root folder of the volumes when the cache was made.
    #[serde(with = "desam_core::serde_path")]
    pub data_root: PathBuf,
    /// The rule that style views were made by, where cases have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<ViewRecipe>,
    /// The cases, in the order they were given.
    pub cases: Vec<CacheCase>,
}

/// The part of a header that every version has.
#[derive(Debug, Deserialize)]
struct AnyHeader {
    format: u32,
}

/// Hash of what the images and masks of a case were computed from.
pub(crate) fn case_source(image_blake3: &str, label_blake3: Option<&str>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("desam cached case v1");
    hasher.update(image_blake3.as_bytes());
    hasher.update(&[0]);
    hasher.update(label_blake3.unwrap_or("no label").as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Hash of what a slice's features were computed from. The labels are not part of it: correcting them
/// must not cost hours of encoding.
pub(super) fn slice_source(image_blake3: &str, z: usize) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("desam cached slice v1");
    hasher.update(image_blake3.as_bytes());
    hasher.update(&(z as u64).to_le_bytes());
    hasher.finalize().to_hex().to_string()
}

impl CacheHeader {
    /// Reads and checks the header of a cache; `None` where there is no file.
    pub(crate) fn read(paths: &CachePaths) -> Result<Option<Self>> {
        let path = paths.header();
        let bad = |problem: String| Error::CacheHeader { path: path.clone(), problem };
        let text = match read_regular(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        // Another version may have other fields: say so instead of naming the first of them.
        if let Ok(any) = parse_leniently(&text)
            && any.format != FORMAT_VERSION
        {
            return Err(bad(format!(
                "format {} is not this program's format {FORMAT_VERSION}",
                any.format
            )));
        }
        let header: Self = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        header.recipe.validate()?;
        header.check().map_err(bad)?;
        Ok(Some(header))
    }

    /// Checks names and numbers, and that the key is that of the recipe.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.recipe.validate().map_err(|e| e.to_string())?;
        self.check_cases()?;
        let key = self.recipe.key().map_err(|e| e.to_string())?;
        if self.key != key {
            return Err(format!("its key is {}, but its recipe has {key}", self.key));
        }
        Ok(())
    }

    pub(crate) fn write(&self, paths: &CachePaths) -> Result<()> {
        let path = paths.header();
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::CacheHeader { path: path.clone(), problem: e.to_string() })?;
        super::names::make_parent(&path)?;
        Ok(write_atomic(&path, |w| w.write_all(&text))?)
    }

    /// Names and numbers from a file become paths and sizes, so they are validated.
    fn check_cases(&self) -> Result<(), String> {
        for case in &self.cases {
            let name = format!("case {:?}/{:?}", case.site, case.id);
            if !is_plain_name(&case.site) || !is_plain_name(&case.id) {
                return Err(format!("{name}: not a plain name"));
            }
            if case.slices > MOST_SLICES || case.image_side > 1 << 14 {
                return Err(format!("{name}: {} slices of {}²", case.slices, case.image_side));
            }
            if case.views > MAX_VIEWS || (case.views > 0 && self.views.is_none()) {
                return Err(format!("{name}: {} views, and no rule that makes them", case.views));
            }
            for list in [&case.labelled, &case.stored] {
                let rising = list.windows(2).all(|w| matches!(w, [a, b] if a < b));
                if !rising || list.last().is_some_and(|&z| z >= case.slices) {
                    return Err(format!(
                        "{name}: its lists of slices do not rise within its slices"
                    ));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn case_seal(&self, case: &CacheCase) -> Seal {
        let source = case_source(&case.image_blake3, case.label_blake3.as_deref());
        Seal { key: self.key.clone(), source }
    }

    /// The same cache as if it had no style views.
    pub(crate) fn without_views(&self) -> Self {
        let plain = |case: &CacheCase| CacheCase { views: 0, ..case.clone() };
        Self { views: None, cases: self.cases.iter().map(plain).collect(), ..self.clone() }
    }

    /// Seal of the features of a slice or of a view of it.
    pub(crate) fn features_seal(&self, case: &CacheCase, file: FeatureFile) -> Seal {
        match &self.views {
            Some(views) if file.view > 0 => views.seal(&self.key, case, file),
            _ => Seal { key: self.key.clone(), source: slice_source(&case.image_blake3, file.z) },
        }
    }
}

fn parse_leniently(text: &[u8]) -> Result<AnyHeader, serde_json::Error> {
    serde_json::from_slice(text)
}
