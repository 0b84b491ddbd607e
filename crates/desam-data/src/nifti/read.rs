//! From a file to a volume.

use super::header::{Facts, HEADER_BYTES, Place, RawHeader};
use super::pair::PairPaths;
use crate::voxels::{Coding, Packing, Source, StoredImage, read_full, truncated, wrong};
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume};
use std::path::{Path, PathBuf};

/// Reads intensities as `f32`, the header's slope and intercept applied.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read or its packing is broken, [`Error::Header`]
/// when it is no 3-D NIfTI-1 image, [`Error::Truncated`] when voxels are missing.
pub fn read_volume(path: &Path) -> Result<Volume> {
    Opened::new(path)?.image()?.volume()
}

/// Reads labels: whole numbers from 0 to 255 once slope and intercept are applied.
///
/// # Errors
/// As [`read_volume`]; [`Error::NotALabel`] when a value is no label.
pub fn read_labels(path: &Path) -> Result<LabelVolume> {
    Opened::new(path)?.image()?.labels()
}

/// The header's file, and that of the voxels where it is another.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let opened = Opened::new(path)?;
    let voxels = opened.voxel_file().map(Path::to_path_buf);
    Ok([opened.paths.header].into_iter().chain(voxels).collect())
}

/// A file whose header has been understood.
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
        let mut source =
            Source::open(path, 0, Packing::MaybeGzip).map_err(Error::io("read", path))?;
        let mut bytes = [0; HEADER_BYTES];
        let found = read_full(&mut source, &mut bytes).map_err(Error::io("read", path))?;
        if found < HEADER_BYTES {
            return Err(truncated(path, HEADER_BYTES as u64, found as u64));
        }
        let header = RawHeader::new(bytes, path)?;
        let facts = Facts::read(&header, path)?;
        if facts.place == Place::Pair && paths.voxels.is_none() {
            let expected = "\"n+1\", a single file; the header of a pair is named .hdr, its \
                            voxels .img";
            return Err(wrong(path, "magic", "ni1", expected));
        }
        Ok(Self { paths, source, header, facts })
    }

    /// The file of the voxels, where it is not the header's.
    pub(super) fn voxel_file(&self) -> Option<&Path> {
        self.paths.voxels.as_deref().filter(|_| self.facts.place == Place::Pair)
    }

    /// The voxels, ready to be read.
    fn image(self) -> Result<StoredImage> {
        let other = self.voxel_file().map(Path::to_path_buf);
        let (facts, header) = (self.facts, HEADER_BYTES as u64);
        let (path, source, before) = match other {
            Some(path) => {
                let source = Source::open(&path, 0, Packing::MaybeGzip);
                let source = source.map_err(Error::io("read", &path))?;
                (path, source, 0)
            }
            None => (self.paths.header, self.source, header),
        };
        let big_endian = self.header.is_big_endian();
        Ok(StoredImage {
            path,
            source,
            grid: facts.grid,
            coding: Coding::Binary { scalar: facts.scalar, big_endian },
            skip: facts.data_start.saturating_sub(before),
            before,
            slope: facts.slope,
            intercept: facts.intercept,
        })
    }
}
