//! Encoding of data set elements (PS3.5, chapter 7): explicit or implicit VR, byte order.

use dicom_core::VR;
use dicom_dictionary_std::uids;

/// Transfer syntax of big endian files: retired, so that the dictionary advises against its constant.
pub(super) const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Explicit or implicit VR, little or big endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) explicit_vr: bool,
    pub(super) big_endian: bool,
}

impl Encoding {
    /// The default of DICOM, and what is inside a UN element of undefined length.
    pub(super) const IMPLICIT_LE: Self = Self { explicit_vr: false, big_endian: false };
    /// Explicit VR little endian: the file meta information in every file, and every encapsulated
    /// transfer syntax.
    pub(super) const EXPLICIT_LE: Self = Self { explicit_vr: true, big_endian: false };
    /// Retired, and still found in archives.
    pub(super) const EXPLICIT_BE: Self = Self { explicit_vr: true, big_endian: true };

    /// The encoding of the data set under a transfer syntax.
    pub(super) fn of(transfer_syntax: &str) -> Self {
        match transfer_syntax {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => Self::IMPLICIT_LE,
            EXPLICIT_VR_BIG_ENDIAN => Self::EXPLICIT_BE,
            _ => Self::EXPLICIT_LE,
        }
    }

    /// The transfer syntax of a data set in this encoding whose pixels are not encapsulated.
    pub(super) fn native_syntax(self) -> &'static str {
        match self {
            Self::IMPLICIT_LE => uids::IMPLICIT_VR_LITTLE_ENDIAN,
            Self { big_endian: true, .. } => EXPLICIT_VR_BIG_ENDIAN,
            _ => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        }
    }

    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// Whether the length of an explicit element of this VR takes 32 bits (PS3.5, table 7.1-1).
pub(super) fn has_long_length(vr: VR) -> bool {
    use VR::*;
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

/// Bytes of one value of a binary VR; 1 for text and for bytes.
pub(super) fn value_width(vr: VR) -> usize {
    use VR::*;
    match vr {
        US | SS | OW => 2,
        UL | SL | FL | OL | OF | AT => 4,
        FD | OD | UV | SV | OV => 8,
        _ => 1,
    }
}

/// Bytes that change places between big and little endian: a tag is two numbers of 16 bits.
pub(super) fn swap_width(vr: VR) -> usize {
    if vr == VR::AT { 2 } else { value_width(vr) }
}

/// Swaps the byte order of values of `width` bytes.
pub(super) fn swap_bytes(values: &mut [u8], width: usize) {
    values.chunks_exact_mut(width.max(1)).for_each(<[u8]>::reverse);
}
