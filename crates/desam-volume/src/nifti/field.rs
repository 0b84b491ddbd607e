//! Byte offsets of the header fields in NIfTI-1 and NIfTI-2.

use super::version::Version;

/// A numeric header field; nifti1.h documents the meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The number of dimensions, then seven dimensions.
    Dim,
    IntentCode,
    Datatype,
    Bitpix,
    /// The sign of the quaternion's third axis, then seven spacings.
    Pixdim,
    VoxOffset,
    Slope,
    Intercept,
    Units,
    CalMax,
    CalMin,
    QformCode,
    SformCode,
    /// b, c, d of the quaternion, then the three offsets.
    Quaternion,
    /// Three rows of four.
    Srow,
}

/// The number type of a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberType {
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Field {
    /// The byte offset of the field and the type of its numbers.
    pub(super) fn layout(self, version: Version) -> (usize, NumberType) {
        use NumberType::{F32, F64, I16, I32, I64, U8};
        match version {
            Version::One => match self {
                Self::Dim => (40, I16),
                Self::IntentCode => (68, I16),
                Self::Datatype => (70, I16),
                Self::Bitpix => (72, I16),
                Self::Pixdim => (76, F32),
                Self::VoxOffset => (108, F32),
                Self::Slope => (112, F32),
                Self::Intercept => (116, F32),
                Self::Units => (123, U8),
                Self::CalMax => (124, F32),
                Self::CalMin => (128, F32),
                Self::QformCode => (252, I16),
                Self::SformCode => (254, I16),
                Self::Quaternion => (256, F32),
                Self::Srow => (280, F32),
            },
            Version::Two => match self {
                Self::Datatype => (12, I16),
                Self::Bitpix => (14, I16),
                Self::Dim => (16, I64),
                Self::Pixdim => (104, F64),
                Self::VoxOffset => (168, I64),
                Self::Slope => (176, F64),
                Self::Intercept => (184, F64),
                Self::CalMax => (192, F64),
                Self::CalMin => (200, F64),
                Self::QformCode => (344, I32),
                Self::SformCode => (348, I32),
                Self::Quaternion => (352, F64),
                Self::Srow => (400, F64),
                Self::Units => (500, I32),
                Self::IntentCode => (504, I32),
            },
        }
    }

    /// The fields of the geometry (`dim`, `pixdim`, units, qform, sform), with how many numbers each
    /// has.
    pub(super) const GEOMETRY: [(Self, usize); 7] = [
        (Self::Dim, 8),
        (Self::Pixdim, 8),
        (Self::Units, 1),
        (Self::QformCode, 1),
        (Self::SformCode, 1),
        (Self::Quaternion, 6),
        (Self::Srow, 12),
    ];
}
