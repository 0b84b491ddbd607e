//! Readers of volume formats from outside this crate.

use super::{Loaded, ReadOptions};
use crate::{Error, Result};
use desam_core::{BoxError, LabelVolume, Volume};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A reader of a volume format that this crate does not know.
///
/// It is registered with [`ReadOptions::with_reader`] and from there on used wherever files are read
/// with these options. A file is its own when the name ends in one of [`endings`](Self::endings); it
/// comes before the formats of this crate, so that it may also replace one of them. Among several
/// readers the one registered first wins. Masks of such a volume are written in a format of this crate.
///
/// ```
/// use desam_core::{Affine, BoxError, Grid, LabelVolume, Volume};
/// use desam_volume::volumes::{ReadOptions, VolumeReader, load_volume};
/// use std::path::Path;
/// use std::sync::Arc;
///
/// /// 2 × 2 × 2 voxels, a byte each.
/// #[derive(Debug)]
/// struct Cubes;
///
/// impl VolumeReader for Cubes {
///     fn endings(&self) -> &[&str] {
///         &[".cube"]
///     }
///
///     fn read_volume(&self, path: &Path, _: &ReadOptions) -> Result<Volume, BoxError> {
///         let grid = Grid { dims: [2; 3], affine: Affine::from_spacing([1.0; 3]) };
///         let bytes = std::fs::read(path)?;
///         Ok(Volume::new(grid, bytes.into_iter().map(f32::from).collect())?)
///     }
///
///     fn read_labels(&self, path: &Path, _: &ReadOptions) -> Result<LabelVolume, BoxError> {
///         let grid = Grid { dims: [2; 3], affine: Affine::from_spacing([1.0; 3]) };
///         Ok(LabelVolume::new(grid, std::fs::read(path)?)?)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("a.cube");
/// std::fs::write(&path, [1, 2, 3, 4, 5, 6, 7, 8])?;
/// let options = ReadOptions::default().with_reader(Arc::new(Cubes));
/// let volume = load_volume(&path, &options)?.value;
/// assert_eq!(volume.data()[7], 8.0);
/// # Ok(())
/// # }
/// ```
pub trait VolumeReader: Debug + Send + Sync {
    /// File name extensions of the format, with the dot (`.cube`); case-insensitive.
    fn endings(&self) -> &[&str];

    /// Reads intensities, `i` fastest, with the affine to millimetres in RAS+.
    ///
    /// # Errors
    /// When the file cannot be read, is truncated, or takes more memory than
    /// [`max_bytes`](ReadOptions::max_bytes).
    fn read_volume(&self, path: &Path, options: &ReadOptions) -> Result<Volume, BoxError>;

    /// Reads labels, whole numbers from 0 to 255.
    ///
    /// # Errors
    /// As [`read_volume`](Self::read_volume), and when a value is no label.
    fn read_labels(&self, path: &Path, options: &ReadOptions) -> Result<LabelVolume, BoxError>;

    /// The files that hold the volume, all of which are hashed to recognise changes: the named one,
    /// unless a format keeps voxels apart.
    ///
    /// # Errors
    /// When the header cannot be read.
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>, BoxError> {
        Ok(vec![path.to_path_buf()])
    }
}

/// The registered readers; equal when they are the same objects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readers(Vec<Arc<dyn VolumeReader>>);

impl PartialEq for Readers {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<dyn VolumeReader>, &Arc<dyn VolumeReader>)| Arc::ptr_eq(a, b);
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

impl Eq for Readers {}

impl Readers {
    pub(crate) fn push(&mut self, reader: Arc<dyn VolumeReader>) {
        self.0.push(reader);
    }

    /// The reader of files with this name, and the name without the ending.
    pub(crate) fn of_name<'n>(&self, name: &'n str) -> Option<(&dyn VolumeReader, &'n str)> {
        self.0.iter().find_map(|reader| {
            let stem = reader.endings().iter().find_map(|ending| strip_ending(name, ending))?;
            Some((reader.as_ref(), stem))
        })
    }
}

/// `name` without `ending`, without regard to the case of ASCII letters.
pub(crate) fn strip_ending<'n>(name: &'n str, ending: &str) -> Option<&'n str> {
    let (head, tail) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
    tail.eq_ignore_ascii_case(ending).then_some(head)
}

pub(crate) fn load_volume(
    reader: &dyn VolumeReader,
    path: &Path,
    options: &ReadOptions,
) -> Result<Loaded<Volume>> {
    reader.read_volume(path, options).map(Loaded::new).map_err(Error::reader(path))
}

pub(crate) fn load_labels(
    reader: &dyn VolumeReader,
    path: &Path,
    options: &ReadOptions,
) -> Result<Loaded<LabelVolume>> {
    reader.read_labels(path, options).map(Loaded::new).map_err(Error::reader(path))
}
