//! Reading NIfTI and Analyze files.

use super::analyze;
use super::header::{RawHeader, VoxelLocation};
use super::header_info::{HeaderInfo, HeaderKind};
use super::orientation;
use super::pair::PairPaths;
use super::version::{HEADER_2_BYTES, HEADER_BYTES};
use crate::reading::{Loaded, ReadOptions};
use crate::voxels::{
    FileCompression, Source, StoredImage, VoxelCoding, VoxelFile, read_full, truncated,
};
use crate::{Error, Result};
use desam_core::text::DisplayPath as _;
use desam_core::{Affine, LabelVolume, Volume};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32` with the header's slope and intercept (`scl_slope`, `scl_inter`) applied.
///
/// # Errors
/// As [`load_volume`], with the default [`ReadOptions`].
pub fn read_volume(path: &Path) -> Result<Volume> {
    load_volume(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads labels: whole numbers from 0 to 255 once slope and intercept are applied.
///
/// # Errors
/// As [`read_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    load_labels(path, &ReadOptions::default()).map(|loaded| loaded.value)
}

/// Reads intensities as `f32` with `scl_slope` and `scl_inter` applied, according to `options`.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read or its packing is broken, [`Error::Header`]
/// when it is no NIfTI or Analyze image of one to three dimensions and channels, [`Error::Truncated`]
/// when voxels are missing, [`Error::SeveralChannels`] and [`Error::NoSuchChannel`] when a channel
/// must be chosen or is not there, [`Error::VolumeTooLarge`] and [`Error::OutOfMemory`] when it is
/// too large.
pub fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    let opened = OpenedFile::new(path)?;
    let about = opened.about();
    let volume = opened.image()?.volume(options)?;
    Ok(about.map(|()| volume))
}

/// Reads labels as [`read_labels`] does, according to `options`.
///
/// # Errors
/// As [`load_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    let opened = OpenedFile::new(path)?;
    let about = opened.about();
    let labels = opened.image()?.labels(options)?;
    Ok(about.map(|()| labels))
}

/// The header file, and the voxel file of a pair.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let opened = OpenedFile::new(path)?;
    let voxels = opened.voxel_file().map(Path::to_path_buf);
    Ok([opened.paths.header].into_iter().chain(voxels).collect())
}

/// The affine that ITK uses where the header states no orientation; `None` where it does.
pub(crate) fn itk_affine(path: &Path) -> Result<Option<Affine>> {
    OpenedFile::new(path).map(|opened| opened.info.itk_affine)
}

/// An open file with its decoded header.
pub(super) struct OpenedFile {
    paths: PairPaths,
    source: Source,
    pub(super) header: RawHeader,
    pub(super) info: HeaderInfo,
}

impl OpenedFile {
    /// Opens a single file, or a pair by either of its two names.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let paths = PairPaths::of(path);
        let path = paths.header.as_path();
        let fail = || Error::io("read", path);
        let mut source = Source::open(path, 0, FileCompression::MaybeGzip).map_err(fail())?;
        let mut bytes = [0; HEADER_2_BYTES];
        let mut found = read_full(&mut source, &mut bytes[..4]).map_err(fail())?;
        let cut = |expected: usize, found: usize| truncated(path, expected as u64, found as u64);
        if found < 4 {
            return Err(cut(HEADER_BYTES, found));
        }
        let layout = RawHeader::layout([bytes[0], bytes[1], bytes[2], bytes[3]], path)?;
        let length = layout.version.header_bytes();
        found += read_full(&mut source, &mut bytes[4..length]).map_err(fail())?;
        if found < length {
            return Err(cut(length, found));
        }
        let header = RawHeader::new(&bytes[..length], layout);
        let info = HeaderInfo::read(&header, path, paths.voxels.is_some())?;
        Ok(Self { paths, source, header, info })
    }

    /// The voxel file of a pair.
    pub(super) fn voxel_file(&self) -> Option<&Path> {
        self.paths.voxels.as_deref().filter(|_| self.info.location == VoxelLocation::PairFile)
    }

    /// Warnings about the file.
    fn about(&self) -> Loaded<()> {
        let mut about = Loaded::new(()).with_itk_affine(self.info.itk_affine);
        if self.info.kind == HeaderKind::Analyze {
            about.warnings.push(analyze::warning(&self.paths.header));
        } else if orientation::unusable_sform(&self.header) {
            about.warnings.push(format!(
                "{}: its sform cannot be inverted; the volume is placed by its qform",
                self.paths.header.display_escaped()
            ));
        }
        about
    }

    /// The voxels, ready to be read.
    fn image(self) -> Result<StoredImage<'static>> {
        let other = self.voxel_file().map(Path::to_path_buf);
        let (info, header) = (self.info, self.header.version().header_bytes() as u64);
        let (path, source, before) = match other {
            Some(path) => {
                let source = Source::open(&path, 0, FileCompression::MaybeGzip);
                let source = source.map_err(Error::io("read", &path))?;
                (path, source, 0)
            }
            None => (self.paths.header, self.source, header),
        };
        let big_endian = self.header.is_big_endian();
        let skip = info.data_start.saturating_sub(before);
        Ok(StoredImage {
            grid: info.grid,
            coding: VoxelCoding::Binary { scalar: info.scalar, big_endian },
            channels: info.channels,
            slope: info.slope,
            intercept: info.intercept,
            first: VoxelFile { path, source, skip, before },
            more: Vec::new(),
        })
    }
}
