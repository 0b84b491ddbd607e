//! What the tests of all formats need.

use desam_core::Affine;
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
use std::io::Write;
use std::path::PathBuf;

/// A folder that is gone after the test.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

pub(crate) fn zlibbed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// The voxels of the image that SimpleITK wrote: 2 × 3 × 4 numbers from -5 on.
pub(crate) fn itk_values() -> impl Iterator<Item = i16> {
    -5..19
}

/// Where that image lies: rotated by 30° about x and 20° about z, 0.5 × 0.75 × 3 mm. SimpleITK
/// 2.5.7 wrote it as NIfTI too, and this is what nibabel 5.4.2 reads there.
pub(crate) fn itk_affine() -> Affine {
    Affine([
        [-0.469846308231, 0.22214859724, -0.513030230999, 10.5],
        [-0.171010077, -0.610348284245, 1.409538984299, -20.25],
        [-0.000000000383, 0.375, 2.598076105118, 5.0],
    ])
}
