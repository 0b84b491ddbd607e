//! What a segmentation takes over from the series that it is of.

use super::super::elements::Elements;
use super::super::fields::Fields;
use super::super::geometry::Stack;
use super::super::header::open;
use super::super::wrong;
use crate::Result;
use dicom_object::Tag;
use std::path::Path;

const STUDY: Tag = Tag(0x0020, 0x000D);
const FRAME_OF_REFERENCE: Tag = Tag(0x0020, 0x0052);
/// Longest text that is taken over; most fields may not be longer.
const LONGEST: usize = 64;

/// What is the patient's and the study's, and whether it is written, empty, where the series says
/// nothing of it.
const KEPT: [(Tag, &[u8; 2], bool); 16] = [
    (Tag(0x0008, 0x0020), b"DA", true),
    (Tag(0x0008, 0x0030), b"TM", true),
    (Tag(0x0008, 0x0050), b"SH", true),
    (Tag(0x0008, 0x0090), b"PN", true),
    (Tag(0x0008, 0x1030), b"LO", false),
    (Tag(0x0010, 0x0010), b"PN", true),
    (Tag(0x0010, 0x0020), b"LO", true),
    (Tag(0x0010, 0x0030), b"DA", true),
    (Tag(0x0010, 0x0040), b"CS", true),
    (Tag(0x0010, 0x1010), b"AS", false),
    (Tag(0x0010, 0x1020), b"DS", false),
    (Tag(0x0010, 0x1030), b"DS", false),
    (Tag(0x0012, 0x0062), b"CS", false),
    (Tag(0x0012, 0x0063), b"LO", false),
    (Tag(0x0020, 0x0010), b"SH", true),
    (Tag(0x0020, 0x1040), b"LO", true),
];
/// Dates with their times, the nearest to the pixels first.
const MOMENTS: [(Tag, Tag); 4] = [
    (Tag(0x0008, 0x0023), Tag(0x0008, 0x0033)),
    (Tag(0x0008, 0x0022), Tag(0x0008, 0x0032)),
    (Tag(0x0008, 0x0021), Tag(0x0008, 0x0031)),
    (Tag(0x0008, 0x0020), Tag(0x0008, 0x0030)),
];

/// A series, as far as a segmentation of it is concerned.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) stack: &'a Stack,
    /// SeriesInstanceUID.
    pub(super) series: String,
    /// Elements of patient and study.
    pub(super) kept: Elements,
    /// When the pixels were made: `YYYYMMDD` and `HHMMSS`.
    pub(super) date: String,
    pub(super) time: String,
}

impl<'a> Source<'a> {
    /// Reads the first slice's file.
    pub(super) fn new(stack: &'a Stack) -> Result<Self> {
        let path = stack.slices.first().map_or(Path::new(""), |s| s.path());
        let object = open(path)?;
        let fields = Fields::new(&object, path);
        let needed = |found: Option<String>, path: &Path, name: &str| {
            found.filter(|uid| !uid.is_empty()).ok_or_else(|| {
                wrong(path, format!("{name} is absent: no segmentation can refer to it"))
            })
        };
        for slice in &stack.slices {
            let path = slice.path();
            needed(Some(slice.file.class.clone()), path, "SOPClassUID")?;
            needed(Some(slice.file.instance.clone()), path, "SOPInstanceUID")?;
        }
        let series = stack.slices.first().map(|s| s.file.series.clone());
        let mut kept = Elements::default()
            .text(STUDY, b"UI", &needed(fields.text(STUDY), path, "StudyInstanceUID")?)
            .text(
                FRAME_OF_REFERENCE,
                b"UI",
                &needed(fields.text(FRAME_OF_REFERENCE), path, "FrameOfReferenceUID")?,
            );
        for (tag, vr, even_empty) in KEPT {
            let text: Option<String> =
                fields.text(tag).map(|text| text.chars().take(LONGEST).collect());
            let text = text.or_else(|| even_empty.then(String::new));
            if let Some(text) = text {
                kept = kept.text(tag, vr, &text);
            }
        }
        let moment = MOMENTS.iter().find_map(|(date, time)| {
            let date = fields.text(*date).filter(|d| is_date(d))?;
            Some((date, fields.text(*time).filter(|t| !t.is_empty())))
        });
        // The object must have one; a series from which dates were taken has none to give.
        let (date, time) = moment.unwrap_or_else(|| ("19000101".into(), None));
        let time = time.unwrap_or_else(|| "000000".into());
        Ok(Self { stack, series: needed(series, path, "SeriesInstanceUID")?, kept, date, time })
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit())
}
