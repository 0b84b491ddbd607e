//! Attributes of patient, study and series that a segmentation copies from its source.

use super::super::attributes::{Item, MAX_TEXT, text};
use super::super::file::DicomFile;
use super::super::geometry::Stack;
use super::super::wrong;
use super::verbatim::Verbatim;
use crate::Result;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use std::path::Path;

/// An element of the patient or the study that is copied.
struct CopiedAttribute {
    tag: Tag,
    vr: VR,
    /// Whether it is written, empty, where the series does not have it.
    even_empty: bool,
}

const fn copied(tag: Tag, vr: VR, even_empty: bool) -> CopiedAttribute {
    CopiedAttribute { tag, vr, even_empty }
}

const COPIED: [CopiedAttribute; 17] = [
    copied(tags::STUDY_DATE, VR::DA, true),
    copied(tags::STUDY_TIME, VR::TM, true),
    copied(tags::ACCESSION_NUMBER, VR::SH, true),
    copied(tags::REFERRING_PHYSICIAN_NAME, VR::PN, true),
    copied(tags::STUDY_DESCRIPTION, VR::LO, false),
    copied(tags::PATIENT_NAME, VR::PN, true),
    copied(tags::PATIENT_ID, VR::LO, true),
    copied(tags::ISSUER_OF_PATIENT_ID, VR::LO, false),
    copied(tags::PATIENT_BIRTH_DATE, VR::DA, true),
    copied(tags::PATIENT_SEX, VR::CS, true),
    copied(tags::PATIENT_AGE, VR::AS, false),
    copied(tags::PATIENT_SIZE, VR::DS, false),
    copied(tags::PATIENT_WEIGHT, VR::DS, false),
    copied(tags::PATIENT_IDENTITY_REMOVED, VR::CS, false),
    copied(tags::DEIDENTIFICATION_METHOD, VR::LO, false),
    copied(tags::STUDY_ID, VR::SH, true),
    copied(tags::POSITION_REFERENCE_INDICATOR, VR::LO, true),
];

/// A date and its time.
struct DateTimeTags {
    date: Tag,
    time: Tag,
}

/// When a series was made, the nearest to its pixels first.
const DATE_TIMES: [DateTimeTags; 4] = [
    DateTimeTags { date: tags::CONTENT_DATE, time: tags::CONTENT_TIME },
    DateTimeTags { date: tags::ACQUISITION_DATE, time: tags::ACQUISITION_TIME },
    DateTimeTags { date: tags::SERIES_DATE, time: tags::SERIES_TIME },
    DateTimeTags { date: tags::STUDY_DATE, time: tags::STUDY_TIME },
];

/// The source series of a segmentation.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) stack: &'a Stack,
    /// SeriesInstanceUID.
    pub(super) series: String,
    /// Elements of patient and study, in the series' character set.
    pub(super) kept: Item,
    /// When the pixels were made: `YYYYMMDD` and `HHMMSS`.
    pub(super) date: String,
    pub(super) time: String,
    values: Verbatim,
}

impl<'a> Source<'a> {
    /// Reads the first slice's file.
    pub(super) fn new(stack: &'a Stack) -> Result<Self> {
        let path = stack.slices.first().map_or(Path::new(""), |s| s.path());
        let alone =
            [tags::SPECIFIC_CHARACTER_SET, tags::STUDY_INSTANCE_UID, tags::FRAME_OF_REFERENCE_UID];
        let moments = DATE_TIMES.iter().flat_map(|m| [m.date, m.time]);
        let wanted: Vec<Tag> =
            alone.into_iter().chain(moments).chain(COPIED.iter().map(|c| c.tag)).collect();
        let elements = DicomFile::read_elements(path)?;
        let values = Verbatim::read(&elements, &wanted).map_err(|e| wrong(path, e))?;
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
        let study = needed(values.ascii(tags::STUDY_INSTANCE_UID), path, "StudyInstanceUID")?;
        let frame_of_reference =
            needed(values.ascii(tags::FRAME_OF_REFERENCE_UID), path, "FrameOfReferenceUID")?;
        let mut kept = vec![
            text(tags::STUDY_INSTANCE_UID, VR::UI, &study),
            text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &frame_of_reference),
        ];
        for CopiedAttribute { tag, vr, even_empty } in COPIED {
            // A decimal string is ASCII, or it is none.
            let value = values.get(tag).filter(|value| vr != VR::DS || value.is_ascii());
            let value = value.or(even_empty.then_some(&[][..]));
            if let Some(value) = value {
                if value.len() > MAX_TEXT {
                    let found = format!("element {tag} holds {} bytes of text", value.len());
                    return Err(wrong(path, format!("{found}; expected at most {MAX_TEXT}")));
                }
                kept.push(text(tag, vr, value));
            }
        }
        let moment = DATE_TIMES.iter().find_map(|moment| {
            let date = values.ascii(moment.date).filter(|d| is_date(d))?;
            Some((date, values.ascii(moment.time)))
        });
        // The object must have a date; a de-identified series may have none.
        let (date, time) = moment.unwrap_or_else(|| ("19000101".into(), None));
        let time = time.unwrap_or_else(|| "000000".into());
        let series = needed(series, path, "SeriesInstanceUID")?;
        Ok(Self { stack, series, kept, date, time, values })
    }

    /// SpecificCharacterSet as the series has it.
    pub(super) fn character_set(&self) -> Option<&[u8]> {
        self.values.get(tags::SPECIFIC_CHARACTER_SET).filter(|set| !set.is_empty())
    }

    /// The values that are copied.
    pub(super) fn copied(&self) -> impl Iterator<Item = &[u8]> {
        COPIED.iter().filter_map(|c| self.values.get(c.tag))
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit())
}
