//! Attribute access, with functional groups of a frame before the data set.

use super::header::explain;
use super::wrong;
use crate::Result;
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};
use std::path::Path;

/// The attributes of a file, or of one of its frames: per-frame functional groups come before shared
/// ones, and these before the data set.
pub(super) struct Fields<'a> {
    scopes: Vec<&'a InMemDicomObject>,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a InMemDicomObject, path: &'a Path) -> Self {
        Self { scopes: vec![object], path }
    }

    /// These attributes, overridden by those in `inner`.
    pub(super) fn behind(&self, inner: impl Iterator<Item = &'a InMemDicomObject>) -> Self {
        Self { scopes: inner.chain(self.scopes.iter().copied()).collect(), path: self.path }
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    fn get(&self, tag: Tag) -> Option<&'a dicom_object::mem::InMemElement> {
        self.scopes.iter().find_map(|scope| scope.get(tag))
    }

    pub(super) fn has(&self, tag: Tag) -> bool {
        self.get(tag).is_some()
    }

    /// The items of a sequence; none where it is absent.
    pub(super) fn items(&self, tag: Tag) -> &'a [InMemDicomObject] {
        self.get(tag).and_then(|e| e.items()).unwrap_or_default()
    }

    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        let text = self.get(tag)?.to_str().ok()?;
        Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
    }

    /// A whole number, or `default` where the element is absent or empty.
    pub(super) fn whole(&self, tag: Tag, default: i64) -> Result<i64> {
        match self.get(tag) {
            Some(element) if element.to_str().is_ok_and(|text| !text.trim().is_empty()) => {
                element.to_int().map_err(|error| wrong(self.path, explain(&error)))
            }
            _ => Ok(default),
        }
    }

    /// A finite number, where it is there.
    pub(super) fn number(&self, tag: Tag) -> Option<f64> {
        self.get(tag)?.to_float64().ok().filter(|v| v.is_finite())
    }

    /// Required finite numbers of a slice.
    pub(super) fn needed<const N: usize>(&self, tag: Tag, name: &str) -> Result<[f64; N]> {
        let found = self.get(tag).and_then(|e| e.to_multi_float64().ok());
        let finite = found.filter(|all| all.iter().all(|v| v.is_finite()));
        let numbers = finite.and_then(|all| <[f64; N]>::try_from(all).ok());
        numbers.ok_or_else(|| {
            wrong(self.path, format!("{name} is not {N} numbers: the slice's position is unknown"))
        })
    }
}

/// Bytes that the pixels of an image take as they are stored, by its header; `None` where it does not
/// say, or says what cannot be.
pub(super) fn stored_bytes(fields: &Fields<'_>) -> Option<usize> {
    let factors = [
        (tags::ROWS, 0),
        (tags::COLUMNS, 0),
        (tags::NUMBER_OF_FRAMES, 1),
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 16),
    ];
    let bits = factors.into_iter().try_fold(1_usize, |product, (tag, default)| {
        product.checked_mul(usize::try_from(fields.whole(tag, default).ok()?).ok()?)
    });
    bits.map(|bits| bits.div_ceil(8))
}
