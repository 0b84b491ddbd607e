//! Raw NIfTI header: 348 bytes of version 1 or 540 of version 2.

use super::field::{Field, NumberType};
use super::version::{HEADER_2_BYTES, Version};
use crate::Result;
use crate::voxels::wrong;
use std::path::Path;

/// Version and byte order of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderLayout {
    pub(super) version: Version,
    pub(super) big_endian: bool,
}

/// The header bytes with their byte order; fields are found by the offsets of the standard (nifti1.h,
/// nifti2.h).
#[derive(Debug, Clone)]
pub(super) struct RawHeader {
    bytes: [u8; HEADER_2_BYTES],
    version: Version,
    big_endian: bool,
}

impl RawHeader {
    /// A header of zeros, little endian.
    pub(super) fn empty(version: Version) -> Self {
        let mut header = Self { bytes: [0; HEADER_2_BYTES], version, big_endian: false };
        header.bytes[..4].copy_from_slice(&(version.header_bytes() as i32).to_le_bytes());
        header
    }

    /// Version and byte order by the first four bytes of a header (`sizeof_hdr`).
    pub(super) fn layout(size: [u8; 4], path: &Path) -> Result<HeaderLayout> {
        let layout = |version, big_endian| Ok(HeaderLayout { version, big_endian });
        match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
            (348, _) => layout(Version::One, false),
            (_, 348) => layout(Version::One, true),
            (540, _) => layout(Version::Two, false),
            (_, 540) => layout(Version::Two, true),
            (other, _) => {
                let expected = "348 or 540, the start of a NIfTI file";
                Err(wrong(path, "sizeof_hdr", other, expected))
            }
        }
    }

    /// A header of a known layout; missing bytes are zeros.
    pub(super) fn new(bytes: &[u8], layout: HeaderLayout) -> Self {
        let HeaderLayout { version, big_endian } = layout;
        let mut header = Self { bytes: [0; HEADER_2_BYTES], version, big_endian };
        header.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        header
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.version.header_bytes()]
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// The `index`-th number of a field.
    pub(super) fn get(&self, field: Field, index: usize) -> f64 {
        let (at, number) = field.layout(self.version);
        let width = number.bytes();
        let mut le = [0; 8];
        le[..width].copy_from_slice(&self.bytes[at + index * width..at + (index + 1) * width]);
        if self.big_endian {
            le[..width].reverse();
        }
        number.decode(le)
    }

    /// The first numbers of a field.
    pub(super) fn numbers<const N: usize>(&self, field: Field) -> [f64; N] {
        std::array::from_fn(|index| self.get(field, index))
    }

    /// Writes the `index`-th number of a field, saturating where the field is too narrow for it.
    pub(super) fn set(&mut self, field: Field, index: usize, value: f64) {
        let (at, number) = field.layout(self.version);
        let width = number.bytes();
        let mut le = number.encode(value);
        if self.big_endian {
            le[..width].reverse();
        }
        self.bytes[at + index * width..at + (index + 1) * width].copy_from_slice(&le[..width]);
    }

    /// Writes the first numbers of a field.
    pub(super) fn set_all(&mut self, field: Field, values: &[f64]) {
        values.iter().enumerate().for_each(|(index, value)| self.set(field, index, *value));
    }

    pub(super) fn magic(&self) -> &[u8] {
        let (at, length) = match self.version {
            Version::One => (344, 4),
            Version::Two => (4, 8),
        };
        &self.bytes[at..at + length]
    }

    /// Makes this the header of a single file or of a pair.
    pub(super) fn set_magic(&mut self, location: VoxelLocation) {
        let [single, pair] = self.version.magics();
        let magic = if location == VoxelLocation::SameFile { single } else { pair };
        let at = if self.version == Version::One { 344 } else { 4 };
        self.bytes[at..at + magic.len()].copy_from_slice(magic);
    }

    /// Writes the description, cut or filled with zeros to its 80 bytes.
    pub(super) fn set_description(&mut self, text: &str) {
        let at = if self.version == Version::One { 148 } else { 240 };
        let field = &mut self.bytes[at..at + 80];
        field.fill(0);
        field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    }

    /// Byte `at`, which no field describes.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes[at]
    }
}

/// The file that holds the voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VoxelLocation {
    /// The same file, after the header.
    SameFile,
    /// A separate file, the `.img` of a pair.
    PairFile,
}

impl NumberType {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    fn decode(self, le: [u8; 8]) -> f64 {
        let whole = u64::from_le_bytes(le);
        match self {
            Self::U8 => whole as f64,
            Self::I16 => f64::from(whole as u16 as i16),
            Self::I32 => f64::from(whole as u32 as i32),
            Self::I64 => whole as i64 as f64,
            Self::F32 => f64::from(f32::from_bits(whole as u32)),
            Self::F64 => f64::from_bits(whole),
        }
    }

    fn encode(self, value: f64) -> [u8; 8] {
        let whole = match self {
            Self::U8 => u64::from(value as u8),
            Self::I16 => u64::from(value as i16 as u16),
            Self::I32 => u64::from(value as i32 as u32),
            Self::I64 => value as i64 as u64,
            Self::F32 => u64::from((value as f32).to_bits()),
            Self::F64 => value.to_bits(),
        };
        whole.to_le_bytes()
    }
}
