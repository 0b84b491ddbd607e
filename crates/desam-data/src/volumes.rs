//! Volumes of any format: which one a file is, and reading and writing without having to know.

use crate::metaimage::{self, MetaImageReader};
use crate::nifti::{self, NiftiReader};
use crate::nrrd::{self, NrrdReader};
use crate::voxels::ends_with;
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume, VolumeReader};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The formats of volume files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VolumeFormat {
    /// `.nii`, `.nii.gz`, `.hdr` with `.img`: see [`nifti`].
    Nifti,
    /// `.mha`, `.mhd` with its data: see [`metaimage`].
    MetaImage,
    /// `.nrrd`, `.nhdr` with its data: see [`nrrd`].
    Nrrd,
}

/// What the files end in that are opened to read a volume; longer endings first.
const ENDINGS: [(&str, VolumeFormat); 8] = [
    (".nii.gz", VolumeFormat::Nifti),
    (".hdr.gz", VolumeFormat::Nifti),
    (".nii", VolumeFormat::Nifti),
    (".hdr", VolumeFormat::Nifti),
    (".mha", VolumeFormat::MetaImage),
    (".mhd", VolumeFormat::MetaImage),
    (".nrrd", VolumeFormat::Nrrd),
    (".nhdr", VolumeFormat::Nrrd),
];

/// The endings of volume files, as a sentence lists them.
pub const VOLUME_ENDINGS: &str = ".nii.gz, .nii, .hdr, .mha, .mhd, .nrrd or .nhdr";

/// The `.img` of a NIfTI pair also names its volume, but is not listed beside its `.hdr`.
const PAIR_VOXELS: [&str; 2] = [".img", ".img.gz"];

impl VolumeFormat {
    /// The format that a file's name promises; letters of either case.
    pub fn of_name(path: &Path) -> Option<Self> {
        let named = ENDINGS.iter().find(|(ending, _)| ends_with(path, ending));
        let pair = PAIR_VOXELS.iter().any(|ending| ends_with(path, ending));
        named.map(|(_, format)| *format).or(pair.then_some(Self::Nifti))
    }

    /// The format of a file: by its name, and where that says nothing by its first bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::UnknownFormat`] when it is none of them.
    pub fn of(path: &Path) -> Result<Self> {
        if let Some(format) = Self::of_name(path) {
            return Ok(format);
        }
        let mut start = Vec::new();
        let read = File::open(path).and_then(|f| f.take(352).read_to_end(&mut start));
        read.map_err(Error::io("read", path))?;
        let found = Self::of_start(&start);
        found.ok_or_else(|| Error::UnknownFormat { path: path.to_path_buf() })
    }

    /// The format of a file that starts with these bytes (352 tell all that can be told).
    fn of_start(start: &[u8]) -> Option<Self> {
        // Only NIfTI is packed as a whole.
        let packed = start.starts_with(&[0x1f, 0x8b]);
        let magic = start.get(344..347).is_some_and(|m| m == b"n+1" || m == b"ni1");
        if packed || magic {
            Some(Self::Nifti)
        } else if start.starts_with(nrrd::MAGIC) {
            Some(Self::Nrrd)
        } else {
            metaimage::is_start(start).then_some(Self::MetaImage)
        }
    }

    /// Reads files of this format.
    pub fn reader(self) -> &'static dyn VolumeReader {
        match self {
            Self::Nifti => &NiftiReader,
            Self::MetaImage => &MetaImageReader,
            Self::Nrrd => &NrrdReader,
        }
    }
}

impl fmt::Display for VolumeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nifti => "NIfTI",
            Self::MetaImage => "MetaImage",
            Self::Nrrd => "NRRD",
        })
    }
}

/// Reads any volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnyReader;

impl VolumeReader for AnyReader {
    fn accepts(&self, path: &Path) -> bool {
        VolumeFormat::of_name(path).is_some()
    }

    fn read(&self, path: &Path) -> desam_core::Result<Volume> {
        read_volume(path).map_err(desam_core::Error::external)
    }

    fn read_labels(&self, path: &Path) -> desam_core::Result<LabelVolume> {
        read_labels(path).map_err(desam_core::Error::external)
    }
}

/// Reads intensities as `f32`, whatever the format.
///
/// # Errors
/// As [`VolumeFormat::of`] and as the reader of the format.
pub fn read_volume(path: &Path) -> Result<Volume> {
    match VolumeFormat::of(path)? {
        VolumeFormat::Nifti => nifti::read_volume(path),
        VolumeFormat::MetaImage => metaimage::read_volume(path),
        VolumeFormat::Nrrd => nrrd::read_volume(path),
    }
}

/// Reads labels, whole numbers from 0 to 255, whatever the format.
///
/// # Errors
/// As [`VolumeFormat::of`] and as the reader of the format.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    match VolumeFormat::of(path)? {
        VolumeFormat::Nifti => nifti::read_labels(path),
        VolumeFormat::MetaImage => metaimage::read_labels(path),
        VolumeFormat::Nrrd => nrrd::read_labels(path),
    }
}

/// Writes labels as `u8` in the format that `out` is named after.
///
/// # Errors
/// [`Error::UnknownFormat`] when that is none, and as the writer of the format.
pub fn write_labels(out: &Path, labels: &LabelVolume) -> Result<()> {
    match named(out)? {
        VolumeFormat::Nifti => nifti::write_labels(out, labels),
        VolumeFormat::MetaImage => metaimage::write_labels(out, labels),
        VolumeFormat::Nrrd => nrrd::write_labels(out, labels),
    }
}

/// Writes `mask`, which lies on the grid of the volume in `reference`, in the format that `out` is
/// named after. Where that is the reference's, what its header says of the geometry stays as it
/// is; elsewhere the affine is written anew.
///
/// # Errors
/// [`Error::UnknownFormat`] when `out` is named after no format, and as reader and writer of the
/// formats.
pub fn write_mask_like(reference: &Path, out: &Path, mask: &LabelVolume) -> Result<()> {
    let format = named(out)?;
    if VolumeFormat::of(reference)? != format {
        return write_labels(out, mask);
    }
    match format {
        VolumeFormat::Nifti => nifti::write_mask_like(reference, out, mask),
        VolumeFormat::MetaImage => metaimage::write_mask_like(reference, out, mask),
        VolumeFormat::Nrrd => nrrd::write_mask_like(reference, out, mask),
    }
}

/// `name` without the ending of a volume's header file, which is the file that names a volume.
pub(crate) fn without_ending(name: &str) -> Option<&str> {
    ENDINGS.iter().find_map(|(ending, _)| {
        let (head, tail) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
        tail.eq_ignore_ascii_case(ending).then_some(head)
    })
}

fn named(out: &Path) -> Result<VolumeFormat> {
    VolumeFormat::of_name(out).ok_or_else(|| Error::UnknownFormat { path: out.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voxels::testing::Scratch;
    use desam_core::{Affine, Grid};

    #[test]
    fn formats_by_name() {
        let of = |name: &str| VolumeFormat::of_name(Path::new(name));
        for (name, format) in [
            ("a.nii.gz", VolumeFormat::Nifti),
            ("a.HDR", VolumeFormat::Nifti),
            ("a.img", VolumeFormat::Nifti),
            ("a.b.Mha", VolumeFormat::MetaImage),
            ("a.mhd", VolumeFormat::MetaImage),
            ("a.seg.nrrd", VolumeFormat::Nrrd),
            ("dir/a.nhdr", VolumeFormat::Nrrd),
        ] {
            assert_eq!(of(name), Some(format), "{name}");
            assert!(AnyReader.accepts(Path::new(name)) && format.reader().accepts(Path::new(name)));
        }
        for name in ["", ".nii", "a.raw", "a.zraw", "a.gz", "nrrd", "a.dcm", "dir.nii/a"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn any_format_out_and_back() {
        let scratch = Scratch::new();
        let affine =
            Affine([[-0.5, 0.0, 0.25, 3.0], [0.0, -0.75, 0.0, 4.0], [0.125, 0.0, 3.0, -5.5]]);
        let grid = Grid { dims: [3, 2, 2], affine };
        let mask = LabelVolume::new(grid, (0..12).map(|v| v % 2).collect()).unwrap();
        let names = ["a.nii.gz", "b.mha", "c.nrrd", "d.mhd", "e.nhdr", "f.hdr"];
        for name in names {
            write_labels(&scratch.path(name), &mask).unwrap();
        }
        // From every format to every other, and by content where the name is silent.
        for from in names {
            assert_eq!(read_labels(&scratch.path(from)).unwrap(), mask, "{from}");
            for to in names {
                let out = scratch.path(&format!("{from}-{to}"));
                write_mask_like(&scratch.path(from), &out, &mask).unwrap();
                assert_eq!(read_labels(&out).unwrap(), mask, "{from} {to}");
            }
        }
        for from in ["a.nii.gz", "b.mha", "c.nrrd"] {
            let nameless = scratch.path("nameless");
            std::fs::copy(scratch.path(from), &nameless).unwrap();
            let volume = read_volume(&nameless).unwrap();
            assert_eq!(volume.grid(), &grid, "{from}");
        }
        let odd = scratch.file("odd", b"no volume at all");
        assert!(matches!(read_volume(&odd), Err(Error::UnknownFormat { .. })));
        let refused = write_labels(&scratch.path("a.png"), &mask);
        assert!(matches!(refused, Err(Error::UnknownFormat { .. })));
    }
}
