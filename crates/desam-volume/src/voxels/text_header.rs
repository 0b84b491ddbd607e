//! Formats with a text header (MetaImage, NRRD) and voxels after it or in separate files.

use super::channels::Channels;
use super::path::{data_file, data_file_within};
use super::pattern::{DataFiles, MOST_FILES};
use super::voxel_file::VoxelFile;
use super::{FileCompression, Source, StoredImage, VoxelCoding, truncated, wrong};
use crate::reading::{Loaded, ReadOptions};
use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_core::{Grid, LabelVolume, Volume};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The fields of a text header, which differ between the formats.
pub(crate) trait HeaderFields: Sized {
    /// The field that says where the voxels are.
    const DATA_FIELD: &'static str;

    /// Parses the header of a file.
    fn read(path: &Path) -> Result<Self>;

    /// Length of the header in bytes: the offset of the voxels in the same file.
    fn bytes(&self) -> u64;

    /// Dimensions and affine.
    fn grid(&self, path: &Path) -> Result<Grid>;

    /// Number of channels and their layout.
    fn channels(&self, path: &Path) -> Result<Channels>;

    /// The data files.
    fn data_files(&self, path: &Path) -> Result<DataFiles>;

    /// Storage of the voxels: type, byte order, compression.
    fn storage(&self, path: &Path) -> Result<Storage>;
}

/// Storage of voxels: coding, compression, and what is skipped before the first one of each file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storage {
    pub(crate) coding: VoxelCoding,
    pub(crate) packing: FileCompression,
    /// Lines of the file as it is.
    pub(crate) lines: u64,
    pub(crate) skip: Skip,
}

/// Bytes to skip: of the decompressed data if it is compressed, else of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Skip {
    Bytes(u64),
    /// All but those of the voxels, which are the last of a plain file.
    AllBefore,
}

/// A parsed header.
pub(crate) struct TextHeaderImage<F> {
    pub(crate) fields: F,
    pub(crate) grid: Grid,
    pub(crate) channels: Channels,
    /// The data files in order; empty if the voxels follow the header.
    pub(crate) voxel_files: Vec<PathBuf>,
}

impl<F: HeaderFields> TextHeaderImage<F> {
    pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Self> {
        let fields = F::read(path)?;
        let (grid, channels) = (fields.grid(path)?, fields.channels(path)?);
        let names = match fields.data_files(path)? {
            DataFiles::Local => Vec::new(),
            DataFiles::One(name) if name.is_empty() => {
                return Err(wrong(path, F::DATA_FIELD, "\"\"", "the name of a file"));
            }
            DataFiles::One(name) => vec![name],
            DataFiles::Several(names) if !(1..=MOST_FILES).contains(&names.len()) => {
                let expected = format!("1 to {MOST_FILES} files");
                return Err(wrong(path, F::DATA_FIELD, names.len(), &expected));
            }
            DataFiles::Several(names) => names,
        };
        let file = |name: &String| {
            if options.follow_outside {
                Ok(data_file(path, name))
            } else {
                data_file_within(path, name)
            }
        };
        let voxel_files = names.iter().map(file).collect::<Result<_>>()?;
        Ok(Self { fields, grid, channels, voxel_files })
    }

    /// Intensities.
    pub(crate) fn volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
        let image = Self::open(path, options)?.image(path)?;
        image.volume(options).map(Loaded::new)
    }

    /// Labels.
    pub(crate) fn labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
        let image = Self::open(path, options)?.image(path)?;
        image.labels(options).map(Loaded::new)
    }

    /// The header file and the data files.
    pub(crate) fn files(path: &Path, options: &ReadOptions) -> Result<Vec<PathBuf>> {
        let opened = Self::open(path, options)?;
        Ok([path.to_path_buf()].into_iter().chain(opened.voxel_files).collect())
    }

    /// The voxels, ready to be read.
    fn image(self, header: &Path) -> Result<StoredImage<'static>> {
        let storage = self.fields.storage(header)?;
        let start = if self.voxel_files.is_empty() { self.fields.bytes() } else { 0 };
        let pieces = self.voxel_files.len().max(1) as u64;
        let voxels = self.grid.dims.iter().try_fold(1_u64, |n, &d| n.checked_mul(d as u64));
        let values = voxels.and_then(|n| n.checked_mul(self.channels.count));
        let values = values.unwrap_or(u64::MAX) / pieces;
        let mut files = self.voxel_files.into_iter();
        let first = files.next().unwrap_or_else(|| header.to_path_buf());
        let first = open_piece(first, start, storage, values)?;
        let more = files.map(|file| -> super::OpenVoxelFile<'static> {
            Box::new(move || open_piece(file, 0, storage, values))
        });
        Ok(StoredImage {
            grid: self.grid,
            coding: storage.coding,
            channels: self.channels,
            // Neither format has values rescaled: ITK leaves MetaImage's intensity function alone.
            slope: 1.0,
            intercept: 0.0,
            first,
            more: more.collect(),
        })
    }
}

/// Opens a file that holds `values` from byte `start` on.
fn open_piece(path: PathBuf, start: u64, storage: Storage, values: u64) -> Result<VoxelFile> {
    let Storage { coding, packing, lines, skip } = storage;
    let mut start = after_lines(&path, start, lines)?;
    // Bytes of text are skipped as they are, not as the numbers that they stand for.
    let mut bytes = match skip {
        Skip::Bytes(bytes) => bytes,
        Skip::AllBefore => 0,
    };
    if packing == FileCompression::Hex {
        start = start.saturating_add(std::mem::take(&mut bytes));
    }
    let source = Source::open(&path, start, packing).map_err(Error::io("read", &path))?;
    if let Skip::AllBefore = skip {
        bytes = source.before_last(values, coding);
    }
    Ok(VoxelFile { path, source, skip: bytes, before: start })
}

/// Offset of the `lines`-th line after byte `start`.
fn after_lines(path: &Path, start: u64, lines: u64) -> Result<u64> {
    let mut at = start;
    if lines == 0 {
        return Ok(at);
    }
    let fail = || Error::io("read", path);
    let mut file = open_regular(path).map_err(fail())?;
    let size = file.metadata().map_err(fail())?.len();
    // Every line takes a byte at least.
    if lines > size.saturating_sub(start) {
        return Err(truncated(path, start.saturating_add(lines), size));
    }
    file.seek(SeekFrom::Start(start)).map_err(fail())?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    for _ in 0..lines {
        let mut ended = false;
        while !ended {
            let buffer = reader.fill_buf().map_err(fail())?;
            if buffer.is_empty() {
                return Err(truncated(path, at + 1, at));
            }
            let end = buffer.iter().position(|b| *b == b'\n');
            let used = end.map_or(buffer.len(), |e| e + 1);
            ended = end.is_some();
            reader.consume(used);
            at += used as u64;
        }
    }
    Ok(at)
}
