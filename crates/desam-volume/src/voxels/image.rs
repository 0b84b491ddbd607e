//! Decoding the voxels of a file whose header has been parsed.

use super::channels::Channels;
use super::collect::Collector;
use super::voxel_file::VoxelFile;
use super::{Scalar, Source};
use crate::reading::ReadOptions;
use crate::{Error, Result};
use desam_core::{Grid, LabelVolume, Volume};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Coding of voxels: binary or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VoxelCoding {
    /// Fixed width.
    Binary { scalar: Scalar, big_endian: bool },
    /// Decimal numbers between spaces, commas or line ends.
    Text,
}

/// Opens a further file of voxels.
pub(crate) type OpenVoxelFile<'a> = Box<dyn FnOnce() -> Result<VoxelFile> + 'a>;

/// An image whose header has been parsed and whose voxels have not been read.
///
/// Reading takes memory for the values (`f32` or `u8`) of as many voxels as the files really hold,
/// up to three times that while the room for them grows, and 128 KiB beside it: at most 12 bytes
/// a voxel that is there, whatever the header promises, and no volume above
/// [`ReadOptions::max_bytes`].
pub(crate) struct StoredImage<'a> {
    pub(crate) grid: Grid,
    pub(crate) coding: VoxelCoding,
    pub(crate) channels: Channels,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    /// The first data file, mostly the only one.
    pub(crate) first: VoxelFile,
    /// Further files, each with as many values as the first; opened one after the other.
    pub(crate) more: Vec<OpenVoxelFile<'a>>,
}

impl StoredImage<'_> {
    /// Intensities.
    pub(crate) fn volume(self, options: &ReadOptions) -> Result<Volume> {
        let grid = self.grid;
        let data = self.values(options, |_, value| Ok(value as f32))?;
        Ok(Volume::new(grid, data)?)
    }

    /// Labels: whole numbers from 0 to 255.
    pub(crate) fn labels(self, options: &ReadOptions) -> Result<LabelVolume> {
        let grid = self.grid;
        let [width, height, _] = grid.dims;
        let path = self.first.path.clone();
        let data = self.values(options, |index, value| {
            label_of(value).ok_or_else(|| {
                let voxel = [index % width, index / width % height, index / (width * height)];
                Error::NotALabel { path: path.clone(), voxel, value }
            })
        })?;
        Ok(LabelVolume::new(grid, data)?)
    }

    /// Voxels there should be; `None` where no machine could hold them as `f32`.
    fn voxels(&self) -> Option<u64> {
        let count = self.grid.dims.iter().try_fold(1_u64, |n, &d| n.checked_mul(d as u64))?;
        (count.checked_mul(4)? <= isize::MAX as u64).then_some(count)
    }

    /// All voxels of the chosen channel, each through `convert` with its index.
    fn values<T>(
        self,
        options: &ReadOptions,
        convert: impl FnMut(usize, f64) -> Result<T>,
    ) -> Result<Vec<T>> {
        let path = self.first.path.clone();
        let channel = self.channels.choose(&path, options.channel)?;
        let voxels = self.voxels();
        let pieces = 1 + self.more.len() as u64;
        let all = voxels.and_then(|n| n.checked_mul(channel.of()));
        let each = all.map(|n| n / pieces);
        // A header that promises more than the file could hold is caught before any allocation.
        self.first.expect(each, self.coding)?;
        let count = voxels.unwrap_or(u64::MAX);
        expect_within(&path, count, size_of::<T>(), options)?;
        let fits = usize::try_from(count).unwrap_or(usize::MAX);
        let (each, coding) = (each.unwrap_or(u64::MAX), self.coding);
        let collector = Collector::new(&path, fits, channel, convert);
        let mut collector = collector.scaled(self.slope, self.intercept);
        collector.reserve(self.first.reservable(each, coding) / channel.of() as usize)?;
        self.first.read(each, coding, &mut collector)?;
        for open in self.more {
            let piece = open()?;
            piece.expect(Some(each), coding)?;
            piece.read(each, coding, &mut collector)?;
        }
        Ok(collector.into_values())
    }
}

/// Rejects a volume above the memory limit of the options.
pub(crate) fn expect_within(
    path: &Path,
    voxels: u64,
    bytes_each: usize,
    options: &ReadOptions,
) -> Result<()> {
    let bytes = voxels.saturating_mul(bytes_each as u64);
    if bytes <= options.max_bytes {
        return Ok(());
    }
    Err(Error::VolumeTooLarge { path: PathBuf::from(path), bytes, limit: options.max_bytes })
}

/// The label of a value: a whole number from 0 to 255, else `None`.
pub(crate) fn label_of(value: f64) -> Option<u8> {
    let whole = value.round();
    // Rescaling leaves rounding errors on values that were whole.
    ((value - whole).abs() < 1e-3 && (0.0..=255.0).contains(&whole)).then_some(whole as u8)
}

/// An [`Error::Truncated`].
pub(crate) fn truncated(path: &Path, expected: u64, found: u64) -> Error {
    Error::Truncated { path: path.to_path_buf(), expected, found }
}

/// Fills as much of `buffer` as the source holds. A packed stream that stops in the middle counts
/// as ended there, so that both kinds of file are called truncated.
pub(crate) fn read_full(source: &mut Source, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
