//! Helpers of the tests of all formats.

use crate::reading::{Loaded, ReadOptions};
use crate::{Error, Result};
use desam_core::{Affine, Grid, LabelVolume, Volume};
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A temporary folder, removed after the test.
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

/// Its voxels as a file holds them, in either order of bytes.
pub(crate) fn itk_bytes(big_endian: bool) -> Vec<u8> {
    itk_values().flat_map(if big_endian { i16::to_be_bytes } else { i16::to_le_bytes }).collect()
}

/// Its voxels as decimal numbers.
pub(crate) fn itk_text(gap: &str) -> String {
    itk_values().map(|v| v.to_string()).collect::<Vec<_>>().join(gap)
}

/// Affine of that image: rotated by 30° about x and 20° about z, 0.5 × 0.75 × 3 mm. SimpleITK 2.5.7
/// wrote it as NIfTI too, and this is what nibabel 5.4.2 reads there.
pub(crate) fn itk_affine() -> Affine {
    Affine([
        [-0.469846308231, 0.22214859724, -0.513030230999, 10.5],
        [-0.171010077, -0.610348284245, 1.409538984299, -20.25],
        [-0.000000000383, 0.375, 2.598076105118, 5.0],
    ])
}

/// Fails the test unless this is that image.
#[track_caller]
pub(crate) fn assert_itks(volume: &Volume) {
    assert_eq!(volume.grid().dims, [2, 3, 4]);
    assert_eq!(volume.data(), itk_values().map(f32::from).collect::<Vec<_>>());
    for (f, e) in volume.grid().affine.0.iter().flatten().zip(itk_affine().0.iter().flatten()) {
        // The expected numbers went through NIfTI's f32.
        assert!((f - e).abs() < 1e-6, "{f} {e}");
    }
}

/// The field of a header that an error is about, in a message that names the file.
#[track_caller]
pub(crate) fn field_of(error: Error, file: &str) -> &'static str {
    assert!(error.to_string().contains(file), "{error}");
    match error {
        Error::Header { field, .. } => field,
        other => panic!("{other}"),
    }
}

/// Writers and reader of a format's masks.
pub(crate) struct MaskFormat {
    pub(crate) image: fn(&Path) -> Result<Volume>,
    pub(crate) like: fn(&Path, &Path, &LabelVolume) -> Result<()>,
    pub(crate) new_header: fn(&Path, &LabelVolume) -> Result<()>,
    pub(crate) read: fn(&Path) -> Result<LabelVolume>,
    pub(crate) load: fn(&Path, &ReadOptions) -> Result<Loaded<LabelVolume>>,
    pub(crate) expect_name: fn(&Path) -> Result<()>,
}

impl MaskFormat {
    /// Writes a mask of the image in `image` under these names, with the header of the image (whose
    /// `lines` it must keep) and with a new header, and returns the mask.
    #[track_caller]
    pub(crate) fn assert_in_place(
        &self,
        image: &Path,
        names: &[PathBuf],
        lines: &[&str],
    ) -> LabelVolume {
        let grid = *(self.image)(image).unwrap().grid();
        let mask = (0..24).map(|v| u8::from(v % 5 == 0)).collect();
        let mask = LabelVolume::new(grid, mask).unwrap();
        for out in names {
            (self.like)(image, out, &mask).unwrap();
            assert_eq!((self.read)(out).unwrap(), mask);
            let written = std::fs::read(out).unwrap();
            let text = String::from_utf8_lossy(&written);
            assert!(lines.iter().all(|line| text.contains(line)), "{text}");
            (self.new_header)(out, &mask).unwrap();
            let back = (self.read)(out).unwrap();
            assert_eq!(back.data(), mask.data());
            assert!(back.grid().matches(&grid, 1e-12), "{back:?}");
        }
        let moved = Grid { affine: Affine::from_spacing([1.0; 3]), ..grid };
        let moved = LabelVolume::new(moved, vec![0; 24]).unwrap();
        let refused = (self.like)(image, &names[0], &moved);
        assert!(matches!(refused, Err(Error::GridMismatch { .. })));
        mask
    }

    /// Fails the test unless a file of two channels must be asked for one of them, the second has the
    /// labels 10 to 15, and a mask of it, written as `out`, lies in its place.
    #[track_caller]
    pub(crate) fn assert_second_channel(&self, path: &Path, out: &Path) {
        let refused = (self.image)(path);
        assert!(matches!(refused, Err(Error::SeveralChannels { channels: 2, .. })), "{refused:?}");
        let options = ReadOptions::default().with_channel(Some(1));
        let second = (self.load)(path, &options).unwrap().value;
        assert_eq!(second.data(), [10, 11, 12, 13, 14, 15], "{}", path.display());
        (self.like)(path, out, &second).unwrap();
        let back = (self.read)(out).unwrap();
        assert_eq!(back.data(), second.data());
        assert!(back.grid().matches(second.grid(), 1e-9));
    }

    /// Fails the test unless masks of the image in `image` are refused under the names `refused`, however
    /// they are written, and can be written and read under the names `written`.
    #[track_caller]
    pub(crate) fn assert_names(&self, image: &Path, refused: &[PathBuf], written: &[PathBuf]) {
        let grid = *(self.image)(image).unwrap().grid();
        let mask = LabelVolume::new(grid, vec![1; grid.len()]).unwrap();
        for out in refused {
            let tries = [
                (self.expect_name)(out),
                (self.like)(image, out, &mask),
                (self.new_header)(out, &mask),
            ];
            for tried in tries {
                assert!(matches!(tried, Err(Error::Unwritable { .. })), "{out:?}: {tried:?}");
            }
            assert!(!out.exists());
        }
        for out in written {
            (self.expect_name)(out).unwrap();
            (self.like)(image, out, &mask).unwrap();
            assert_eq!((self.read)(out).unwrap(), mask, "{out:?}");
        }
    }
}
