//! Detection of a file's format, by name and by first bytes.

use crate::reading::ReadOptions;
use crate::reading::strip_ending;
use crate::voxels::{ends_with, stem};
use crate::{Error, Result, metaimage, nrrd};
use desam_core::files::open_regular;
use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// The formats of volume files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VolumeFormat {
    /// `.nii`, `.nii.gz`, `.hdr` with `.img`: see [`crate::nifti`].
    Nifti,
    /// `.mha`, `.mhd` with its data: see [`crate::metaimage`].
    MetaImage,
    /// `.nrrd`, `.nhdr` with its data: see [`crate::nrrd`].
    Nrrd,
    /// A folder of `.dcm` files, or one of them: see `desam_volume::dicom`. Read, and masks of such
    /// volumes written, with the feature `dicom`.
    Dicom,
    /// `.png`, a two-dimensional image, as the three below; read and written with the feature `image`:
    /// see `desam_volume::raster`.
    Png,
    /// `.jpg`, `.jpeg`; read alone.
    Jpeg,
    /// `.tif`, `.tiff`.
    Tiff,
    /// `.bmp`.
    Bmp,
}

/// Endings of the files that are opened to read a volume; longer endings first.
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

/// Endings of the files of two-dimensional images.
const IMAGE_FILES: [(&str, VolumeFormat); 6] = [
    (".png", VolumeFormat::Png),
    (".jpg", VolumeFormat::Jpeg),
    (".jpeg", VolumeFormat::Jpeg),
    (".tif", VolumeFormat::Tiff),
    (".tiff", VolumeFormat::Tiff),
    (".bmp", VolumeFormat::Bmp),
];

/// The endings of files of two-dimensional images, for messages.
pub const IMAGE_ENDINGS: &str = ".png, .jpg, .tif or .bmp";

/// The endings of volume files, for messages.
pub const VOLUME_ENDINGS: &str = ".nii.gz, .nii, .hdr, .mha, .mhd, .nrrd or .nhdr";

/// The `.img` of a NIfTI pair also names its volume, but a listing shows only the `.hdr`.
const PAIR_VOXELS: [&str; 2] = [".img", ".img.gz"];

/// Usual endings of DICOM files; many have none.
const DICOM: [&str; 3] = [".dcm", ".ima", ".dicom"];

impl VolumeFormat {
    /// The format by a file's name, case-insensitive.
    pub fn of_name(path: &Path) -> Option<Self> {
        let all = || ENDINGS.iter().chain(&IMAGE_FILES);
        let named = all().find(|(ending, _)| ends_with(path, ending));
        let any = |endings: &[&str]| endings.iter().any(|ending| ends_with(path, ending));
        let named = named.map(|(_, format)| *format);
        let named = named.or(any(&PAIR_VOXELS).then_some(Self::Nifti));
        named.or(any(&DICOM).then_some(Self::Dicom))
    }

    /// Whether files of the format are two-dimensional images, which have pixels and no millimetres.
    pub fn is_two_dimensional(self) -> bool {
        IMAGE_FILES.iter().any(|(_, format)| *format == self)
    }

    /// The format of a file by its name, or else by its first bytes. A folder is a DICOM series.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::UnknownFormat`] when it is none of them.
    pub fn of(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Dicom);
        }
        if let Some(format) = Self::of_name(path) {
            return Ok(format);
        }
        let mut start = Vec::new();
        let read = open_regular(path).and_then(|f| f.take(352).read_to_end(&mut start));
        read.map_err(Error::io("read", path))?;
        let found = Self::of_start(&start);
        found.ok_or_else(|| Error::UnknownFormat { path: path.to_path_buf() })
    }

    /// The format by the first bytes of a file; 352 are enough.
    fn of_start(start: &[u8]) -> Option<Self> {
        #[cfg(feature = "dicom")]
        if crate::dicom::is_start(start) {
            return Some(Self::Dicom);
        }
        #[cfg(not(feature = "dicom"))]
        if start.get(128..132).is_some_and(|magic| magic == b"DICM") {
            return Some(Self::Dicom);
        }
        // Only NIfTI files are gzip-compressed as a whole.
        let packed = start.starts_with(&[0x1f, 0x8b]);
        let magic = start.get(344..347).is_some_and(|m| m == b"n+1" || m == b"ni1");
        let magic = magic || start.get(4..7).is_some_and(|m| m == b"n+2" || m == b"ni2");
        if packed || magic {
            Some(Self::Nifti)
        } else if start.starts_with(nrrd::MAGIC) {
            Some(Self::Nrrd)
        } else if metaimage::is_start(start) {
            Some(Self::MetaImage)
        } else {
            Self::of_image_start(start)
        }
    }

    /// The format of a two-dimensional image by the first bytes of its file.
    pub(crate) fn of_image_start(start: &[u8]) -> Option<Self> {
        // Two letters are no proof of a BMP; the length of the header behind them is one of a few.
        let is_bmp = start.starts_with(b"BM")
            && matches!(
                start.get(14..18),
                Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
            );
        let tiff: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
        if start.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if start.starts_with(b"\xFF\xD8\xFF") {
            Some(Self::Jpeg)
        } else if tiff.iter().any(|magic| start.starts_with(magic)) {
            Some(Self::Tiff)
        } else {
            is_bmp.then_some(Self::Bmp)
        }
    }
}

impl fmt::Display for VolumeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nifti => "NIfTI",
            Self::MetaImage => "MetaImage",
            Self::Nrrd => "NRRD",
            Self::Dicom => "DICOM",
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
        })
    }
}

/// The file name of a mask without the ending of its format.
pub(super) fn stem_of(mask: &Path) -> &OsStr {
    let all = ENDINGS.iter().chain(&IMAGE_FILES);
    let endings = all.map(|(ending, _)| *ending).chain([".dcm"]);
    let ending = endings.into_iter().find(|ending| ends_with(mask, ending));
    match ending {
        Some(ending) => stem(mask, ending),
        None => mask.file_name().unwrap_or(mask.as_os_str()),
    }
}

/// `name` without the ending of a volume's header file, which is the file that names a volume.
pub fn without_ending(name: &str) -> Option<&str> {
    ENDINGS.iter().find_map(|(ending, _)| strip_ending(name, ending))
}

/// `name` without the ending of a two-dimensional image's file. Layouts of volumes do not look at these:
/// pictures often lie next to volumes.
pub fn without_image_ending(name: &str) -> Option<&str> {
    IMAGE_FILES.iter().find_map(|(ending, _)| strip_ending(name, ending))
}

impl ReadOptions {
    /// `name` without the ending of a volume's file, which for formats of two files is the header's;
    /// `None` where it does not name a volume.
    pub fn without_ending<'n>(&self, name: &'n str) -> Option<&'n str> {
        let foreign = self.readers.of_name(name).map(|(_, stem)| stem);
        foreign.or_else(|| without_ending(name))
    }
}
