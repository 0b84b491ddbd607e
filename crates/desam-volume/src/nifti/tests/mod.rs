//! NIfTI files, good and bad.

mod analyze;
mod broken;
mod channels;
mod forms;
mod itk;
mod values;
mod version_two;
mod writing;

use super::field::Field;
use super::header::{HeaderLayout, RawHeader};
use super::header_info::HeaderInfo;
use super::version::Version;
use super::*;
use crate::Error;
use crate::volumes::VolumeFormat;
use crate::voxels::testing::{Scratch, gzipped as packed};
use desam_core::{Affine, Grid, LabelVolume, Volume};
use proptest::prelude::*;
use std::path::Path;

/// Offsets of NIfTI-1 (nifti1.h), told apart from the code that is tested.
mod at {
    pub(super) const DIM: usize = 40;
    pub(super) const DATATYPE: usize = 70;
    pub(super) const PIXDIM: usize = 76;
    pub(super) const VOX_OFFSET: usize = 108;
    pub(super) const SCL_SLOPE: usize = 112;
    pub(super) const XYZT_UNITS: usize = 123;
    pub(super) const CAL_MAX: usize = 124;
    pub(super) const QFORM_CODE: usize = 252;
    pub(super) const SFORM_CODE: usize = 254;
    pub(super) const QUATERN: usize = 256;
    pub(super) const SROW: usize = 280;
    pub(super) const MAGIC: usize = 344;
}

/// Writing into a little-endian header by offset.
impl RawHeader {
    fn put(&mut self, at: usize, field: &[u8]) {
        let mut bytes = self.bytes().to_vec();
        bytes[at..at + field.len()].copy_from_slice(field);
        let layout = HeaderLayout { version: self.version(), big_endian: self.is_big_endian() };
        *self = Self::new(&bytes, layout);
    }

    fn set_i16(&mut self, at: usize, value: i16) {
        self.put(at, &value.to_le_bytes());
    }

    fn set_f32s(&mut self, at: usize, values: &[f32]) {
        values.iter().enumerate().for_each(|(i, v)| self.put(at + 4 * i, &v.to_le_bytes()));
    }

    fn set_u8(&mut self, at: usize, value: u8) {
        self.put(at, &[value]);
    }

    fn set_text(&mut self, at: usize, length: usize, text: &str) {
        let mut field = text.as_bytes().to_vec();
        field.resize(length, 0);
        self.put(at, &field);
    }
}

/// A header of ours for `dims`, 1 mm, with this datatype.
fn header(dims: [usize; 3], datatype: i16) -> RawHeader {
    let mut h = RawHeader::empty(Version::One);
    h.set_i16(at::DIM, 3);
    (0..3).for_each(|a| h.set_i16(at::DIM + 2 + 2 * a, dims[a] as i16));
    h.set_i16(at::DATATYPE, datatype);
    h.set_f32s(at::PIXDIM, &[1.0, 1.0, 1.0, 1.0]);
    h.set_f32s(at::VOX_OFFSET, &[352.0]);
    h.set_text(at::MAGIC, 4, "n+1");
    h
}

/// The header of a NIfTI-1 file.
fn header_of(bytes: &[u8]) -> RawHeader {
    RawHeader::new(&bytes[..348], HeaderLayout { version: Version::One, big_endian: false })
}

fn file_bytes(header: &RawHeader, voxels: &[u8]) -> Vec<u8> {
    [header.bytes(), &[0; 4][..], voxels].concat()
}

/// Big-endian twin of a file of ours whose voxels are `width` bytes wide.
fn swapped(bytes: &[u8], width: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut swap = |start: usize, width: usize, count: usize| {
        (0..count).for_each(|i| out[start + i * width..start + (i + 1) * width].reverse());
    };
    swap(0, 4, 1);
    swap(at::DIM, 2, 8);
    swap(at::DATATYPE, 2, 2);
    swap(at::PIXDIM, 4, 11);
    swap(at::QFORM_CODE, 2, 2);
    swap(at::QUATERN, 4, 18);
    swap(352, width, (bytes.len() - 352) / width);
    out
}

#[track_caller]
fn assert_close(found: Affine, expected: Affine, tolerance: f64) {
    for (f, e) in found.0.iter().flatten().zip(expected.0.iter().flatten()) {
        assert!((f - e).abs() <= tolerance, "{found:?}\n{expected:?}");
    }
}
