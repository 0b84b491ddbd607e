//! NIfTI files, good and bad.

mod broken;
mod forms;
mod values;
mod writing;

use super::header::{Facts, RawHeader, at};
use super::*;
use crate::Error;
use crate::voxels::testing::{Scratch, gzipped as packed};
use desam_core::{Affine, Grid};
use proptest::prelude::*;

/// A header of ours for `dims`, 1 mm, with this datatype.
fn header(dims: [usize; 3], datatype: i16) -> RawHeader {
    let mut h = RawHeader::empty();
    h.set_i16(at::DIM, 3);
    (0..3).for_each(|a| h.set_i16(at::DIM + 2 + 2 * a, dims[a] as i16));
    h.set_i16(at::DATATYPE, datatype);
    h.set_f32s(at::PIXDIM, &[1.0, 1.0, 1.0, 1.0]);
    h.set_f32s(at::VOX_OFFSET, &[352.0]);
    h.set_text(at::MAGIC, 4, "n+1");
    h
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
