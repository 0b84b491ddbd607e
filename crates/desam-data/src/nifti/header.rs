//! The 348 bytes that a NIfTI-1 file starts with, and what they mean.

use super::orientation;
use crate::Result;
use crate::voxels::{Scalar, wrong};
use desam_core::Grid;
use std::path::Path;

/// Bytes of the header proper.
pub(super) const HEADER_BYTES: usize = 348;
/// Where the voxels of a single file start at the earliest: the header and four extension flags.
pub(super) const DATA_START: u64 = 352;

/// The standard's codes for lengths that are not in millimetres.
const METRES: u8 = 1;
const MICROMETRES: u8 = 3;

/// The standard's codes for types that are one number a voxel.
fn scalar_of(code: i16) -> Option<Scalar> {
    Some(match code {
        2 => Scalar::U8,
        4 => Scalar::I16,
        8 => Scalar::I32,
        16 => Scalar::F32,
        64 => Scalar::F64,
        256 => Scalar::I8,
        512 => Scalar::U16,
        768 => Scalar::U32,
        1024 => Scalar::I64,
        1280 => Scalar::U64,
        _ => return None,
    })
}

/// The header's bytes with the byte order they are in; fields are found by the offsets of the
/// standard (nifti1.h).
#[derive(Debug, Clone)]
pub(super) struct RawHeader {
    bytes: [u8; HEADER_BYTES],
    big_endian: bool,
}

impl RawHeader {
    /// A header of zeros, little endian.
    pub(super) fn empty() -> Self {
        let mut header = Self { bytes: [0; HEADER_BYTES], big_endian: false };
        header.put(0, (HEADER_BYTES as i32).to_le_bytes());
        header
    }

    pub(super) fn new(bytes: [u8; HEADER_BYTES], path: &Path) -> Result<Self> {
        let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let big_endian = match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
            (348, _) => false,
            (_, 348) => true,
            (540, _) | (_, 540) => {
                let found = "540 (NIfTI-2)";
                return Err(wrong(path, "sizeof_hdr", found, "348, a NIfTI-1 file"));
            }
            (other, _) => {
                return Err(wrong(path, "sizeof_hdr", other, "348, the start of a NIfTI-1 file"));
            }
        };
        Ok(Self { bytes, big_endian })
    }

    pub(super) fn bytes(&self) -> &[u8; HEADER_BYTES] {
        &self.bytes
    }

    pub(super) fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        if self.big_endian {
            field.reverse();
        }
        field
    }

    /// Writes a field whose bytes are given in little-endian order.
    fn put<const N: usize>(&mut self, at: usize, mut field: [u8; N]) {
        if self.big_endian {
            field.reverse();
        }
        self.bytes[at..at + N].copy_from_slice(&field);
    }

    pub(super) fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.take(at))
    }

    pub(super) fn f32(&self, at: usize) -> f32 {
        f32::from_le_bytes(self.take(at))
    }

    pub(super) fn f32s<const N: usize>(&self, at: usize) -> [f32; N] {
        std::array::from_fn(|i| self.f32(at + 4 * i))
    }

    pub(super) fn set_i16(&mut self, at: usize, value: i16) {
        self.put(at, value.to_le_bytes());
    }

    pub(super) fn set_f32s(&mut self, at: usize, values: &[f32]) {
        for (i, value) in values.iter().enumerate() {
            self.put(at + 4 * i, value.to_le_bytes());
        }
    }

    pub(super) fn set_u8(&mut self, at: usize, value: u8) {
        self.bytes[at] = value;
    }

    /// Writes text, cut or filled with zeros to `length` bytes.
    pub(super) fn set_text(&mut self, at: usize, length: usize, text: &str) {
        let field = &mut self.bytes[at..at + length];
        field.fill(0);
        field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    }
}

/// Offsets of the fields that are read or written.
pub(super) mod at {
    pub(in super::super) const DIM: usize = 40;
    pub(in super::super) const DATATYPE: usize = 70;
    pub(in super::super) const BITPIX: usize = 72;
    pub(in super::super) const PIXDIM: usize = 76;
    pub(in super::super) const VOX_OFFSET: usize = 108;
    pub(in super::super) const SCL_SLOPE: usize = 112;
    pub(in super::super) const SCL_INTER: usize = 116;
    pub(in super::super) const XYZT_UNITS: usize = 123;
    pub(in super::super) const CAL_MAX: usize = 124;
    pub(in super::super) const CAL_MIN: usize = 128;
    pub(in super::super) const DESCRIP: usize = 148;
    pub(in super::super) const QFORM_CODE: usize = 252;
    pub(in super::super) const SFORM_CODE: usize = 254;
    pub(in super::super) const QUATERN: usize = 256;
    pub(in super::super) const SROW: usize = 280;
    pub(in super::super) const MAGIC: usize = 344;
}

/// Where the voxels of a header are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the header, in the same file.
    Same,
    /// In a file of their own, the `.img` of a pair.
    Pair,
}

/// What a reader needs to know of a header.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) grid: Grid,
    pub(super) scalar: Scalar,
    pub(super) place: Place,
    pub(super) data_start: u64,
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

impl Facts {
    pub(super) fn read(header: &RawHeader, path: &Path) -> Result<Self> {
        let magic = &header.bytes[at::MAGIC..at::MAGIC + 4];
        let place = match magic {
            b"n+1\0" => Place::Same,
            b"ni1\0" => Place::Pair,
            _ => {
                let expected = "\"n+1\" or \"ni1\", NIfTI-1 (an Analyze 7.5 file says nothing of \
                                left and right: convert it where that is known)";
                return Err(wrong(path, "magic", magic.escape_ascii(), expected));
            }
        };
        let dims = dims(header, path)?;
        let code = header.i16(at::DATATYPE);
        let scalar = scalar_of(code).ok_or_else(|| {
            let expected = "a code of whole or floating-point numbers (2, 4, 8, 16, 64, 256, 512, \
                            768, 1024, 1280); colour and complex images are not supported";
            wrong(path, "datatype", code, expected)
        })?;
        let data_start = data_start(header, place, path)?;
        let (slope, inter) = (header.f32(at::SCL_SLOPE), header.f32(at::SCL_INTER));
        // The standard: a slope of zero means that the values are not scaled. Several tools write
        // NaN for the same.
        let scaled = slope != 0.0 && slope.is_finite();
        let slope = if scaled { f64::from(slope) } else { 1.0 };
        let intercept = if scaled && inter.is_finite() { f64::from(inter) } else { 0.0 };
        let mut affine = orientation::affine(header, dims, path)?;
        let unit_mm = match header.bytes[at::XYZT_UNITS] & 7 {
            METRES => 1e3,
            MICROMETRES => 1e-3,
            _ => 1.0,
        };
        affine.0.iter_mut().flatten().for_each(|v| *v *= unit_mm);
        Ok(Self { grid: Grid { dims, affine }, scalar, place, data_start, slope, intercept })
    }
}

/// Where the voxels start in their file.
fn data_start(header: &RawHeader, place: Place, path: &Path) -> Result<u64> {
    let offset = header.f32(at::VOX_OFFSET);
    let (least, expected) = match place {
        Place::Same => (DATA_START, "at least 352"),
        Place::Pair => (0, "0 or more"),
    };
    match offset {
        // Some writers leave it out; it can then mean one thing only.
        0.0 => Ok(least),
        o if o >= least as f32 && o < 1e12 => Ok(o as u64),
        _ => Err(wrong(path, "vox_offset", offset, expected)),
    }
}

/// The three dimensions; further ones must be 1.
fn dims(header: &RawHeader, path: &Path) -> Result<[usize; 3]> {
    let dim: [i16; 8] = std::array::from_fn(|i| header.i16(at::DIM + 2 * i));
    let rank = dim[0];
    if !(3..=7).contains(&rank) {
        return Err(wrong(path, "dim[0]", rank, "3, a volume"));
    }
    const FIELDS: [&str; 8] =
        ["dim[0]", "dim[1]", "dim[2]", "dim[3]", "dim[4]", "dim[5]", "dim[6]", "dim[7]"];
    for (axis, (&d, field)) in dim.iter().zip(FIELDS).enumerate().skip(1).take(rank as usize) {
        if axis <= 3 && d < 1 {
            return Err(wrong(path, field, d, "at least 1"));
        }
        if axis > 3 && d != 1 {
            return Err(wrong(path, field, d, "1: one volume a file (split a series first)"));
        }
    }
    Ok([dim[1], dim[2], dim[3]].map(|d| usize::try_from(d).unwrap_or(0)))
}
