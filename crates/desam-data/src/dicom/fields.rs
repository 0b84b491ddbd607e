//! What the elements of a file say.

use super::header::explain;
use super::wrong;
use crate::Result;
use dicom_object::{InMemDicomObject, Tag};
use std::path::Path;

/// The elements that are looked at.
pub(super) mod tag {
    use super::Tag;
    pub(in super::super) const CLASS: Tag = Tag(0x0008, 0x0016);
    pub(in super::super) const INSTANCE: Tag = Tag(0x0008, 0x0018);
    pub(in super::super) const SERIES_DESCRIPTION: Tag = Tag(0x0008, 0x103E);
    pub(in super::super) const SLICE_THICKNESS: Tag = Tag(0x0018, 0x0050);
    pub(in super::super) const SLICE_SPACING: Tag = Tag(0x0018, 0x0088);
    pub(in super::super) const SERIES: Tag = Tag(0x0020, 0x000E);
    pub(in super::super) const POSITION: Tag = Tag(0x0020, 0x0032);
    pub(in super::super) const ORIENTATION: Tag = Tag(0x0020, 0x0037);
    pub(in super::super) const PLANE_POSITION: Tag = Tag(0x0020, 0x9113);
    pub(in super::super) const PLANE_ORIENTATION: Tag = Tag(0x0020, 0x9116);
    pub(in super::super) const SAMPLES: Tag = Tag(0x0028, 0x0002);
    pub(in super::super) const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
    pub(in super::super) const FRAMES: Tag = Tag(0x0028, 0x0008);
    pub(in super::super) const ROWS: Tag = Tag(0x0028, 0x0010);
    pub(in super::super) const COLUMNS: Tag = Tag(0x0028, 0x0011);
    pub(in super::super) const PIXEL_SPACING: Tag = Tag(0x0028, 0x0030);
    pub(in super::super) const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
    pub(in super::super) const BITS_STORED: Tag = Tag(0x0028, 0x0101);
    pub(in super::super) const SIGNED: Tag = Tag(0x0028, 0x0103);
    pub(in super::super) const INTERCEPT: Tag = Tag(0x0028, 0x1052);
    pub(in super::super) const SLOPE: Tag = Tag(0x0028, 0x1053);
    pub(in super::super) const PIXEL_MEASURES: Tag = Tag(0x0028, 0x9110);
    pub(in super::super) const TRANSFORMATION: Tag = Tag(0x0028, 0x9145);
    pub(in super::super) const SHARED_GROUPS: Tag = Tag(0x5200, 0x9229);
    pub(in super::super) const FRAME_GROUPS: Tag = Tag(0x5200, 0x9230);
}

/// The elements of a file, or of one of its frames: those of the frame come before what all frames
/// share, and that before what the file says.
pub(super) struct Fields<'a> {
    scopes: Vec<&'a InMemDicomObject>,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a InMemDicomObject, path: &'a Path) -> Self {
        Self { scopes: vec![object], path }
    }

    /// What is in `inner`, and behind that what is here.
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

    /// Finite numbers that a slice cannot do without.
    pub(super) fn needed<const N: usize>(&self, tag: Tag, name: &str) -> Result<[f64; N]> {
        let found = self.get(tag).and_then(|e| e.to_multi_float64().ok());
        let finite = found.filter(|all| all.iter().all(|v| v.is_finite()));
        let numbers = finite.and_then(|all| <[f64; N]>::try_from(all).ok());
        numbers.ok_or_else(|| {
            wrong(self.path, format!("{name} is not {N} numbers: where the slice lies is unknown"))
        })
    }
}
