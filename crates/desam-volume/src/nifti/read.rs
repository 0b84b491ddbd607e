//! Reading NIfTI and Analyze files.

use super::analyze;
use super::facts::{Facts, Kind};
use super::header::{HEADER_2_BYTES, Place, RawHeader};
use super::orientation;
use super::pair::PairPaths;
use crate::volumes::{Loaded, ReadOptions};
use crate::voxels::{Coding, Packing, Piece, Source, StoredImage, read_full, truncated};
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
    let opened = Opened::new(path)?;
    let about = opened.about();
    let volume = opened.image()?.volume(options)?;
    Ok(about.map(|()| volume))
}

/// Reads labels as [`read_labels`] does, according to `options`.
///
/// # Errors
/// As [`load_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    let opened = Opened::new(path)?;
    let about = opened.about();
    let labels = opened.image()?.labels(options)?;
    Ok(about.map(|()| labels))
}

/// The header file, and the voxel file of a pair.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let opened = Opened::new(path)?;
    let voxels = opened.voxel_file().map(Path::to_path_buf);
    Ok([opened.paths.header].into_iter().chain(voxels).collect())
}

/// The affine that ITK uses where the header states no orientation; `None` where it does.
pub(crate) fn itk_affine(path: &Path) -> Result<Option<Affine>> {
    Opened::new(path).map(|opened| opened.facts.itk_affine)
}

/// An open file with its decoded header.
pub(super) struct Opened {
    paths: PairPaths,
    source: Source,
    pub(super) header: RawHeader,
    pub(super) facts: Facts,
}

impl Opened {
    /// Opens a single file, or a pair by either of its two names.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let paths = PairPaths::of(path);
        let path = paths.header.as_path();
        let fail = || Error::io("read", path);
        let mut source = Source::open(path, 0, Packing::MaybeGzip).map_err(fail())?;
        let mut bytes = [0; HEADER_2_BYTES];
        let mut found = read_full(&mut source, &mut bytes[..4]).map_err(fail())?;
        let cut = |expected: usize, found: usize| truncated(path, expected as u64, found as u64);
        if found < 4 {
            return Err(cut(super::header::HEADER_BYTES, found));
        }
        let kind = RawHeader::kind([bytes[0], bytes[1], bytes[2], bytes[3]], path)?;
        let length = kind.0.header_bytes();
        found += read_full(&mut source, &mut bytes[4..length]).map_err(fail())?;
        if found < length {
            return Err(cut(length, found));
        }
        let header = RawHeader::new(&bytes[..length], kind);
        let facts = Facts::read(&header, path, paths.voxels.is_some())?;
        Ok(Self { paths, source, header, facts })
    }

    /// The voxel file of a pair.
    pub(super) fn voxel_file(&self) -> Option<&Path> {
        self.paths.voxels.as_deref().filter(|_| self.facts.place == Place::Pair)
    }

    /// Warnings about the file.
    fn about(&self) -> Loaded<()> {
        let mut about = Loaded::new(()).with_itk_affine(self.facts.itk_affine);
        if self.facts.kind == Kind::Analyze {
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
        let (facts, header) = (self.facts, self.header.version().header_bytes() as u64);
        let (path, source, before) = match other {
            Some(path) => {
                let source = Source::open(&path, 0, Packing::MaybeGzip);
                let source = source.map_err(Error::io("read", &path))?;
                (path, source, 0)
            }
            None => (self.paths.header, self.source, header),
        };
        let big_endian = self.header.is_big_endian();
        let skip = facts.data_start.saturating_sub(before);
        Ok(StoredImage {
            grid: facts.grid,
            coding: Coding::Binary { scalar: facts.scalar, big_endian },
            channels: facts.channels,
            slope: facts.slope,
            intercept: facts.intercept,
            first: Piece { path, source, skip, before },
            more: Vec::new(),
        })
    }
}
