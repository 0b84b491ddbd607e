//! Segmentations in and out: masks as DICOM objects that refer to the series they are of (PS3.3,
//! A.51).
//!
//! # In
//! Binary segmentations and label maps, of one segment or several, with or without the frames that
//! hold no foreground. A voxel's label is the number of its segment, or 1 in the one segment that
//! [`crate::volumes::ReadOptions`] choose; segments that overlap cannot be read without a choice.
//! Slices without a frame are background. How many lie before the first frame and behind the last
//! follows from the list of images that a segmentation refers to, where that is in the order of the
//! slices; beside its image it is put on the image's grid whatever the list says.
//!
//! # Out
//! Binary, a segment for each class, and in each a frame for every slice of the series whether or not
//! there is foreground in it, so that the object alone says which grid it lies on. Segments are numbered
//! in the order of the classes. Frames have the positions of the slices, and each names the slice that
//! it was derived from. Names and other texts of the patient and the
//! study are copied byte for byte, together with the character set that they are written in. Nothing
//! is random or read from a clock: UIDs are `2.25.` and a hash of the series, the mask and the labels,
//! dates and times are the series'. The same mask of the same series is therefore the same object, to
//! the byte.

mod charset;
mod data_set;
mod images;
mod masks;
mod planes;
mod read;
mod segments;
mod source;
#[cfg(test)]
mod tests;
mod verbatim;

use super::contents::{ObjectKinds, list};
use super::geometry::{Stack, stack};
use super::wrong;
use crate::atomic::write_atomic;
use crate::same_grid::expect_same_grid;
use crate::voxels::expect_others;
use crate::{Error, Result};
use charset::character_set;
use desam_core::{ClassTable, LabelVolume};
use masks::SegmentMasks;
pub(super) use read::labels;
use source::Source;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A concept by its code.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The code, such as `41216001`.
    pub value: String,
    /// Coding scheme designator, such as `SCT` for SNOMED CT.
    pub scheme: String,
    /// Code meaning, such as `Prostate`.
    pub meaning: String,
}

impl Code {
    /// A code with its scheme and meaning.
    pub fn new(value: &str, scheme: &str, meaning: &str) -> Self {
        Self { value: value.into(), scheme: scheme.into(), meaning: meaning.into() }
    }
}

/// Description of a segment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentLabel {
    /// SegmentLabel: its name.
    pub name: String,
    /// SegmentedPropertyCategoryCodeSequence: its category.
    pub category: Code,
    /// SegmentedPropertyTypeCodeSequence: its type.
    pub property: Code,
    /// SegmentAlgorithmName.
    pub algorithm: String,
}

impl SegmentLabel {
    /// Labels of the segments of `classes`: the [default](Self::default) with the names of the classes;
    /// for the default table the default as it is.
    pub fn of(classes: &ClassTable) -> Vec<Self> {
        if classes.is_foreground() {
            return vec![Self::default()];
        }
        classes.names().map(|name| Self { name: name.into(), ..Self::default() }).collect()
    }

    /// Its texts: names and meanings, then codes.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let Self { name, category, property, algorithm } = self;
        let codes = [category, property];
        let meanings = codes.map(|c| &c.meaning);
        let codes = codes.into_iter().flat_map(|c| [&c.value, &c.scheme]);
        [name, algorithm].into_iter().chain(meanings).chain(codes).map(String::as_str)
    }

    /// Checks that DICOM's elements can hold the texts (PS3.5, 6.2: LO of 64 characters, SH of 16).
    fn check(&self) -> Result<(), String> {
        for (index, text) in self.texts().enumerate() {
            let longest = if index < 4 { 64 } else { 16 };
            let is_plain = !text.contains(|c: char| c == '\\' || c.is_control());
            if text.is_empty() || text.chars().count() > longest || !is_plain {
                return Err(format!(
                    "the segment's text {text:?} is no DICOM text; expected 1 to {longest} \
                     characters, no backslash and no control character"
                ));
            }
        }
        Ok(())
    }
}

impl Default for SegmentLabel {
    /// An unspecified organ, by DeSAM: a model does not record which organ it segments.
    fn default() -> Self {
        Self {
            name: "Organ".into(),
            category: Code::new("91723000", "SCT", "Anatomical Structure"),
            property: Code::new("91772007", "SCT", "Organ"),
            algorithm: "DeSAM".into(),
        }
    }
}

/// Writes `mask` as a segmentation of the series in `reference`, a folder or a file, with a segment for
/// each of `classes` and the labels [`SegmentLabel::of`] them. The mask has
/// [`written_label`](ClassTable::written_label) of each class, and 0 elsewhere; with the default table
/// every value above 0 is foreground. Of several series in the folder it is the one whose grid the mask
/// lies on.
///
/// # Errors
/// As [`super::read_volume`] for the series; [`Error::GridMismatch`] when the mask lies on another
/// grid; [`Error::Dicom`] when several series lie on it, or when one lacks what an object must name
/// to refer to it; [`Error::Unwritable`] when `out` is a file of the series, the mask has a label of no
/// class or is too large for one object, or when DICOM, or the series' character set, cannot hold the
/// labels' texts; [`Error::Io`] when `out` cannot be written.
pub fn write_mask_like(
    reference: &Path,
    out: &Path,
    mask: &LabelVolume,
    classes: &ClassTable,
) -> Result<()> {
    write_segmentation(reference, out, mask, classes, &SegmentLabel::of(classes))
}

/// Writes `mask` as [`write_mask_like`] does, with labels of the caller's, one for each class.
///
/// # Errors
/// As [`write_mask_like`]; [`Error::Unwritable`] for another number of labels than classes.
pub fn write_segmentation(
    reference: &Path,
    out: &Path,
    mask: &LabelVolume,
    classes: &ClassTable,
    labels: &[SegmentLabel],
) -> Result<()> {
    let stack = series_of(reference, mask)?;
    let paths: Vec<PathBuf> = stack.slices.iter().map(|s| s.path().to_path_buf()).collect();
    expect_others(paths.iter().map(PathBuf::as_path), [&out.to_path_buf()])?;
    let unwritable = |problem: String| Error::Unwritable { path: out.to_path_buf(), problem };
    if labels.len() != classes.len() {
        let (expected, found) = (classes.len(), labels.len());
        let problem =
            format!("expected as many segment labels as classes, {expected}, found {found}");
        return Err(unwritable(problem));
    }
    labels.iter().try_for_each(SegmentLabel::check).map_err(unwritable)?;
    let segments = SegmentMasks::new(mask, classes).map_err(unwritable)?;
    let source = Source::new(&stack)?;
    let texts = labels.iter().flat_map(SegmentLabel::texts);
    let character_set = character_set(source.character_set(), source.copied(), texts);
    let character_set = character_set.map_err(|text| {
        unwritable(format!(
            "the segment's text {text:?} is not in the character set of its series; expected ASCII"
        ))
    })?;
    let object = data_set::Segmentation { source: &source, segments, labels, character_set };
    let content = object.bytes().map_err(unwritable)?;
    write_atomic(out, |file| file.write_all(&content))
}

/// Checks that a segmentation could refer to a series in `path`, before a mask is computed.
///
/// # Errors
/// As [`write_mask_like`] for the series.
pub fn expect_series(path: &Path) -> Result<()> {
    let mut refused = None;
    for series in list(path, ObjectKinds::Images)? {
        match stack(series, path).and_then(|stack| Source::new(&stack).map(|_| ())) {
            Ok(()) => return Ok(()),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| no_image(path)))
}

/// The series in `path` whose grid the mask lies on.
fn series_of(path: &Path, mask: &LabelVolume) -> Result<Stack> {
    let mut stacks = Vec::new();
    let mut refused = None;
    for series in list(path, ObjectKinds::Images)? {
        let fits = stack(series, path).and_then(|stack| {
            expect_same_grid(&stack.grid, mask.grid())?;
            Ok(stack)
        });
        match fits {
            Ok(stack) => stacks.push(stack),
            Err(error) => refused = Some(error),
        }
    }
    match (stacks.pop(), stacks.pop()) {
        (Some(stack), None) => Ok(stack),
        (Some(_), Some(_)) => {
            let problem = "several series lie on the mask's grid; put the one that it is of into \
                           a separate folder";
            Err(wrong(path, problem))
        }
        (None, _) => Err(refused.unwrap_or_else(|| no_image(path))),
    }
}

fn no_image(path: &Path) -> Error {
    wrong(path, "there is no DICOM image here")
}
