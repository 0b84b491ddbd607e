//! Preamble and file meta information: the start of the data set and its transfer syntax.

use super::element::{Elements, Problem, standard_vr};
use super::encoding::Encoding;
use dicom_dictionary_std::{tags, uids};
use dicom_object::Tag;

/// Bytes that [`find`] needs at most.
pub(super) const PREFIX: usize = 4096;
const PREAMBLE: usize = 128;
const MAGIC: &[u8] = b"DICM";
/// Group of the file meta information.
const META: u16 = 0x0002;
/// Group that data sets begin with.
const IDENTIFYING: u16 = 0x0008;
/// Elements of the standard, rising, that a file without preamble must begin with.
const ENOUGH_ELEMENTS: usize = 2;
/// Longest value of an element that a file without preamble begins with.
const LONGEST_FIRST: usize = 1024;

/// Offset of the file meta information, or of the data set if there is none; `None` if the file is
/// not DICOM. The file's first bytes are enough ([`PREFIX`]).
///
/// Preamble and `DICM` may be missing: what starts with elements of the standard, of the groups that
/// a file starts with, in rising order, is DICOM all the same.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    if bytes.get(PREAMBLE..PREAMBLE + MAGIC.len()) == Some(MAGIC) {
        return Some(PREAMBLE + MAGIC.len());
    }
    if bytes.starts_with(MAGIC) {
        return Some(MAGIC.len());
    }
    let encodings = [Encoding::EXPLICIT_LE, Encoding::IMPLICIT_LE, Encoding::EXPLICIT_BE];
    encodings.iter().any(|encoding| starts_bare(bytes, *encoding)).then_some(0)
}

/// Whether these bytes are elements as a file without preamble has them.
fn starts_bare(bytes: &[u8], encoding: Encoding) -> bool {
    let elements = Elements { bytes };
    let (mut at, mut found, mut last) = (0, 0, Tag(0, 0));
    while found < ENOUGH_ELEMENTS {
        let Ok(header) = elements.header(at, encoding) else { return false };
        let group = header.tag.group();
        let fits = match (standard_vr(header.tag), header.vr) {
            (None, _) => false,
            (Some(standard), Some(written)) => standard == written,
            (Some(_), None) => !encoding.explicit_vr,
        };
        let is_first_group = group == IDENTIFYING || (group == META && !encoding.big_endian);
        let length = header.length.filter(|length| *length <= LONGEST_FIRST);
        let (true, true, true, Some(length)) = (fits, is_first_group, header.tag > last, length)
        else {
            return false;
        };
        last = header.tag;
        at = header.value + length;
        found += 1;
    }
    true
}

/// The file meta information (PS3.10, 7.1), the parts that are used.
#[derive(Debug, Default)]
pub(super) struct FileMeta {
    /// Offset of the data set.
    pub(super) data_set: usize,
    /// TransferSyntaxUID; empty where it is missing.
    pub(super) transfer_syntax: String,
    pub(super) class: String,
    pub(super) instance: String,
}

impl FileMeta {
    /// Reads the elements of group 0002 from `at` on. They end where another group starts, whatever
    /// FileMetaInformationGroupLength says: programs that edit files leave it as it was.
    ///
    /// # Errors
    /// When an element leaves the file.
    pub(super) fn read(bytes: &[u8], at: usize) -> Result<Self, Problem> {
        let elements = Elements { bytes };
        let mut meta = Self { data_set: at, ..Self::default() };
        let mut promised_end = None;
        let is_meta = |at| elements.u16(at, Encoding::EXPLICIT_LE).is_ok_and(|group| group == META);
        while is_meta(meta.data_set) {
            // Deflated bytes may look like anything.
            if meta.is_deflated() && promised_end == Some(meta.data_set) {
                break;
            }
            let header = elements.header(meta.data_set, Encoding::EXPLICIT_LE)?;
            let end = elements.end_of(&header, bytes.len())?;
            let value = &bytes[header.value..end];
            match header.tag {
                tags::FILE_META_INFORMATION_GROUP_LENGTH => {
                    let length = value.try_into().map(u32::from_le_bytes).ok();
                    promised_end = length.and_then(|l| end.checked_add(l as usize));
                }
                tags::TRANSFER_SYNTAX_UID => meta.transfer_syntax = uid(value),
                tags::MEDIA_STORAGE_SOP_CLASS_UID => meta.class = uid(value),
                tags::MEDIA_STORAGE_SOP_INSTANCE_UID => meta.instance = uid(value),
                _ => {}
            }
            meta.data_set = end;
        }
        Ok(meta)
    }

    pub(super) fn is_deflated(&self) -> bool {
        self.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    }

    /// The encoding of the data set, by its transfer syntax and by its first element, which is
    /// right where they differ.
    pub(super) fn encoding(&self, bytes: &[u8]) -> (Encoding, Option<String>) {
        let elements = Elements { bytes };
        let at = self.data_set;
        let big_endian = match self.transfer_syntax.as_str() {
            // No group of a data set is beyond 0x7FE0, and the first is among the low ones.
            "" => elements.u16(at, Encoding::EXPLICIT_LE).is_ok_and(|group| group & 0xFF == 0),
            syntax => Encoding::of(syntax).big_endian,
        };
        let stated = Encoding::of(&self.transfer_syntax);
        let order = Encoding { explicit_vr: true, big_endian };
        let found = Encoding { explicit_vr: elements.is_explicit(at, order), big_endian };
        let vr = |e: Encoding| if e.explicit_vr { "explicit" } else { "implicit" };
        let warning = if self.transfer_syntax.is_empty() {
            let order = if big_endian { "big" } else { "little" };
            let read = format!("read as {} VR, {order} endian", vr(found));
            Some(format!("there is no transfer syntax in its header: {read}"))
        } else if found != stated && at < bytes.len() {
            let read = format!("is {} VR and read as such", vr(found));
            Some(format!("its transfer syntax says {} VR, its data set {read}", vr(stated)))
        } else {
            None
        };
        (found, warning)
    }
}

/// A UID without its padding.
fn uid(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
}
