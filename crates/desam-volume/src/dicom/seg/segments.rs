//! Segments of a segmentation, and the segment of each frame.

use super::super::fields::Fields;
use super::super::wrong;
use super::images::ReferencedImages;
use crate::{Error, Result};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use std::collections::BTreeMap;
use std::path::Path;

/// SegmentationType: the meaning of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentationType {
    /// Membership in the frame's segment, one bit a pixel.
    Binary,
    /// The number of the segment that a pixel belongs to; 0 for none.
    LabelMap,
}

/// The segments of a file.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) kind: SegmentationType,
    /// Labels by the number of the segment.
    described: BTreeMap<u16, String>,
    /// Of which segment each frame of a binary segmentation is.
    pub(super) of_frame: Vec<u16>,
    /// The images that it is of: the slices of their series, where each is a file.
    pub(super) images: ReferencedImages,
    /// SpacingBetweenSlices, mm, where the file says it.
    pub(super) spacing_between: Option<f64>,
}

impl Segments {
    pub(super) fn read(fields: &Fields<'_>, frames: usize) -> Result<Self> {
        let path = fields.path();
        let kind = match fields.text(tags::SEGMENTATION_TYPE).unwrap_or_default().as_str() {
            "BINARY" => SegmentationType::Binary,
            "LABELMAP" => SegmentationType::LabelMap,
            "FRACTIONAL" => {
                let problem = "a FRACTIONAL segmentation holds probabilities or partial volumes, \
                               which are no labels; write it as BINARY or LABELMAP, with a \
                               threshold of your choice";
                return Err(wrong(path, problem));
            }
            other => {
                let found = format!("SegmentationType is {other:?}");
                return Err(wrong(path, format!("{found}; expected BINARY or LABELMAP")));
            }
        };
        let mut described = BTreeMap::new();
        for item in fields.items(tags::SEGMENT_SEQUENCE) {
            let item = Fields::new(item, path);
            let label = item.text(tags::SEGMENT_LABEL).unwrap_or_default();
            described.insert(segment_number(item.whole(tags::SEGMENT_NUMBER, -1)?, &item)?, label);
        }
        let of_frame = match kind {
            SegmentationType::Binary => segments_of_frames(fields, &described)?,
            SegmentationType::LabelMap => Vec::new(),
        };
        if kind == SegmentationType::Binary && of_frame.len() != frames {
            let told = of_frame.len();
            return Err(wrong(path, format!("it has {frames} frames and describes {told}")));
        }
        let images = ReferencedImages::read(fields);
        let spacing_between = spacing_between(fields);
        Ok(Self { kind, described, of_frame, images, spacing_between })
    }

    /// Fails where the file has no segment of this number.
    pub(super) fn expect(&self, number: u16, path: &Path) -> Result<()> {
        if self.described.contains_key(&number) || self.of_frame.contains(&number) {
            return Ok(());
        }
        let found = self.names();
        Err(Error::NoSuchSegment { path: path.to_path_buf(), wanted: number, found })
    }

    /// Fails where the number of a frame's segment cannot be a label.
    pub(super) fn expect_labels(&self, path: &Path) -> Result<()> {
        let Some(largest) = self.of_frame.iter().copied().find(|n| u8::try_from(*n).is_err())
        else {
            return Ok(());
        };
        let problem = format!(
            "segment {} cannot be a label, which is at most 255; choose one segment",
            self.name(largest)
        );
        Err(wrong(path, problem))
    }

    /// A segment for messages: its number and its label.
    pub(super) fn name(&self, number: u16) -> String {
        match self.described.get(&number).map(String::as_str) {
            None | Some("") => number.to_string(),
            Some(label) => format!("{number} ({label})"),
        }
    }

    /// All described segments for messages.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> = self.described.keys().map(|number| self.name(*number)).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}

/// ReferencedSegmentNumber of every frame: the frame's own, or the one that all share. A file of one
/// segment need not say it.
fn segments_of_frames(fields: &Fields<'_>, described: &BTreeMap<u16, String>) -> Result<Vec<u16>> {
    let number = |group: &InMemDicomObject| {
        let identification = group.get(tags::SEGMENT_IDENTIFICATION_SEQUENCE)?.items()?.first()?;
        let item = Fields::new(identification, fields.path());
        let number = item.whole(tags::REFERENCED_SEGMENT_NUMBER, -1);
        let number = number.and_then(|number| segment_number(number, &item));
        Some(number.and_then(|number| match number {
            0 => Err(wrong(fields.path(), "a frame is of segment 0; expected 1 or more")),
            number => Ok(number),
        }))
    };
    let shared = fields
        .items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)
        .iter()
        .find_map(number)
        .transpose()?;
    let only = described.keys().next().copied().filter(|_| described.len() == 1);
    let of_frame = |(frame, group)| match number(group) {
        Some(number) => number,
        None => shared.or(only).ok_or_else(|| {
            let frame = frame + 1;
            wrong(fields.path(), format!("frame {frame} does not say of which segment it is"))
        }),
    };
    fields
        .items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .iter()
        .enumerate()
        .map(of_frame)
        .collect()
}

/// SpacingBetweenSlices of all frames, or of the first.
fn spacing_between(fields: &Fields<'_>) -> Option<f64> {
    let shared = fields.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let groups =
        shared.into_iter().chain(fields.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).first());
    let measures = groups.filter_map(|g| g.get(tags::PIXEL_MEASURES_SEQUENCE)?.items()?.first());
    let mut said = measures
        .filter_map(|item| Fields::new(item, fields.path()).number(tags::SPACING_BETWEEN_SLICES));
    said.next().map(f64::abs).filter(|spacing| *spacing > 0.0)
}

fn segment_number(number: i64, fields: &Fields<'_>) -> Result<u16> {
    u16::try_from(number).map_err(|_| {
        wrong(fields.path(), format!("a segment's number is {number}; expected 0 to 65535"))
    })
}
