//! Errors of reading and writing volumes, with what mends them.

use desam_core::Grid;
use desam_core::text::DisplayPath as _;
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-volume`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display_escaped())]
    Io {
        /// The action that failed: `read`, `write`, `list`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A file that is no volume of a known format, neither by its name nor by its first bytes.
    #[error(
        "{}: not a volume; its name should end in {}, or that of a two-dimensional image in {}",
        path.display_escaped(), crate::format::VOLUME_ENDINGS, crate::format::IMAGE_ENDINGS
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// DICOM files that do not form a volume.
    #[error("{}: {problem}", path.display_escaped())]
    Dicom {
        /// The file, or the folder.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A DICOM file or folder in a build without the feature `dicom`.
    #[error("{}: this build cannot read DICOM; build it with the feature `dicom`", path.display_escaped())]
    DicomNotBuilt {
        /// The file, or the folder.
        path: PathBuf,
    },
    /// A two-dimensional image that is damaged or of a kind that is not supported.
    #[error("{}: {problem}", path.display_escaped())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A two-dimensional image in a build without the feature `image`.
    #[error(
        "{}: this build cannot read PNG, JPEG, TIFF and BMP; build it with the feature `image`",
        path.display_escaped()
    )]
    ImageNotBuilt {
        /// The file.
        path: PathBuf,
    },
    /// A header field whose value is invalid for a 3-D image, or not supported.
    #[error("{}: header field {field} is {found}; expected {expected}", path.display_escaped())]
    Header {
        /// The file.
        path: PathBuf,
        /// The field, by its name in the format.
        field: &'static str,
        /// The value in the file.
        found: String,
        /// The accepted values.
        expected: String,
    },
    /// A truncated file: it ends before its last voxel.
    #[error(
        "{}: truncated: its header promises {expected} bytes, only {found} are there; \
         copy the file again from its source",
        path.display_escaped()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes the header promises, uncompressed.
        expected: u64,
        /// Bytes that are there, uncompressed; for a compressed file at most this many.
        found: u64,
    },
    /// A volume above the memory limit [`crate::volumes::ReadOptions::max_bytes`].
    #[error(
        "{}: its voxels take {} of memory; at most {} are allowed",
        path.display(), crate::human_bytes(*bytes), crate::human_bytes(*limit)
    )]
    VolumeTooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes of its voxels, decoded.
        bytes: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// A failed allocation of a volume that is read.
    #[error(
        "{}: out of memory: {} could not be allocated",
        path.display(), crate::human_bytes(*bytes)
    )]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// Bytes requested.
        bytes: u64,
    },
    /// A failed allocation while a volume is prepared or its mask is restored.
    #[error("out of memory: {} could not be allocated", crate::human_bytes(*bytes))]
    Allocation {
        /// Bytes requested.
        bytes: u64,
    },
    /// A multi-channel file of which no channel was chosen.
    #[error(
        "{}: it holds {channels} channels; choose one of them, 0 to {}",
        path.display(), channels - 1
    )]
    SeveralChannels {
        /// The file.
        path: PathBuf,
        /// Number of channels, at least 2.
        channels: u64,
    },
    /// A channel beyond the last.
    #[error(
        "{}: there is no channel {channel}: it holds {channels}, counted from 0",
        path.display()
    )]
    NoSuchChannel {
        /// The file.
        path: PathBuf,
        /// The requested channel.
        channel: usize,
        /// Number of channels.
        channels: u64,
    },
    /// A header that names a data file outside its own folder.
    #[error(
        "{}: it names the data file {}, which lies outside its folder; move the data beside the \
         header and name it without a path",
        header.display(), file.display()
    )]
    OutsideFolder {
        /// The header.
        header: PathBuf,
        /// The data file.
        file: PathBuf,
    },
    /// A voxel of a label file is not a whole number from 0 to 255.
    #[error(
        "{}: voxel {voxel:?} is {value}, which is no label (whole numbers from 0 to 255); \
         is this an image?",
        path.display_escaped()
    )]
    NotALabel {
        /// The file.
        path: PathBuf,
        /// The voxel `(i, j, k)`.
        voxel: [usize; 3],
        /// Value of the voxel.
        value: f64,
    },
    /// Overlapping segments of a segmentation: a voxel can have only one label.
    #[error(
        "{}: segments {first} and {second} overlap, first at voxel {voxel:?}; choose one \
         segment",
        path.display()
    )]
    SegmentsOverlap {
        /// The file.
        path: PathBuf,
        /// Number and label of one segment.
        first: String,
        /// Number and label of the other.
        second: String,
        /// A voxel of both, `(i, j, k)`.
        voxel: [usize; 3],
    },
    /// A chosen segment that the segmentation does not have.
    #[error("{}: there is no segment {wanted}; its segments are {found}", path.display())]
    NoSuchSegment {
        /// The file.
        path: PathBuf,
        /// The number that was chosen.
        wanted: u16,
        /// Numbers and labels of the segments that are there.
        found: String,
    },
    /// A grid or a name that the output format cannot represent.
    #[error("{}: cannot be written: {problem}", path.display_escaped())]
    Unwritable {
        /// The output file.
        path: PathBuf,
        /// The problem with the grid.
        problem: String,
    },
    /// Labels that do not lie on their image's grid.
    #[error(
        "the labels are on a different grid than their image: expected {} voxels of {:?} mm (affine {:?}), \
         found {} voxels of {:?} mm (affine {:?}); resample the labels onto the image",
        Dims(expected), expected.spacing(), expected.affine.0,
        Dims(found), found.spacing(), found.affine.0
    )]
    GridMismatch {
        /// The image's grid.
        expected: Box<Grid>,
        /// The labels' grid.
        found: Box<Grid>,
    },
    /// A singular affine: it maps all voxels into a plane, a line or a point.
    #[error(
        "{}: its affine is singular, so its voxels have no positions in space: rows {affine:?}; \
         correct the orientation in its header",
        path.display_escaped()
    )]
    SingularAffine {
        /// The volume.
        path: PathBuf,
        /// The affine's rows, mm RAS+.
        affine: [[f64; 4]; 3],
    },
    /// An error of a registered [`crate::volumes::VolumeReader`].
    #[error("{}: {source}", path.display_escaped())]
    Reader {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        source: desam_core::BoxError,
    },
    /// An affine or a number of voxels that `desam-core` rejects.
    #[error(transparent)]
    Core(#[from] desam_core::Error),
}

/// Formats dimensions as `384×384×30`.
struct Dims<'a>(&'a Grid);

impl std::fmt::Display for Dims<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [i, j, k] = self.0.dims;
        write!(f, "{i}×{j}×{k}")
    }
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A [`Error::Reader`], for `map_err`.
    pub(crate) fn reader(path: &std::path::Path) -> impl FnOnce(desam_core::BoxError) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Reader { path, source }
    }
}
