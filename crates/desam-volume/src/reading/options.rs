//! Options of reading a volume, and a read volume with its warnings.

use super::reader::{Readers, VolumeReader};
#[cfg(feature = "dicom")]
use crate::series_choice::SeriesChoice;
use desam_core::{Affine, LabelVolume};
use std::path::Path;
use std::sync::Arc;

/// Options of reading a volume. The defaults reject what is ambiguous, and more than
/// [`ReadOptions::DEFAULT_MAX_BYTES`] of voxels.
///
/// ```
/// use desam_volume::volumes::ReadOptions;
///
/// let options = ReadOptions::default().with_max_bytes(1 << 30).with_channel(Some(0));
/// assert_eq!(options.channel, Some(0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Most bytes that the voxels of one volume may take in memory, as they are decoded (four a
    /// voxel for intensities, one for labels). A header that promises more is an error before
    /// anything is allocated, a stream that holds more is one as soon as it shows.
    pub max_bytes: u64,
    /// Channel of a file that holds several volumes, from 0; without one, such a file is an error.
    pub channel: Option<usize>,
    /// Segment of a segmentation whose voxels are the foreground, by its number in the file (from
    /// 1); without one, labels are the numbers of the segments.
    pub segment: Option<u16>,
    /// Whether a header may name a data file outside its own folder.
    pub follow_outside: bool,
    /// Series of a DICOM folder that holds several.
    #[cfg(feature = "dicom")]
    pub series: SeriesChoice,
    pub(crate) readers: Readers,
}

impl ReadOptions {
    /// 16 GiB: 4 Gi voxels of intensities, a thousand times a prostate's MRI.
    pub const DEFAULT_MAX_BYTES: u64 = 16 << 30;

    /// These options for the labels of an image: labels have no channels.
    #[must_use]
    pub fn for_labels(&self) -> Self {
        Self { channel: None, ..self.clone() }
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`channel`](Self::channel).
    #[must_use]
    pub fn with_channel(mut self, channel: Option<usize>) -> Self {
        self.channel = channel;
        self
    }

    /// Sets [`segment`](Self::segment).
    #[must_use]
    pub fn with_segment(mut self, segment: Option<u16>) -> Self {
        self.segment = segment;
        self
    }

    /// Sets [`follow_outside`](Self::follow_outside).
    #[must_use]
    pub fn with_follow_outside(mut self, follow: bool) -> Self {
        self.follow_outside = follow;
        self
    }

    /// Registers a reader of another format; see [`VolumeReader`].
    #[must_use]
    pub fn with_reader(mut self, reader: Arc<dyn VolumeReader>) -> Self {
        self.readers.push(reader);
        self
    }

    /// The registered reader of files with the name of `path`, whose bytes are not looked at.
    pub fn reader_of(&self, path: &Path) -> Option<&dyn VolumeReader> {
        let name = path.file_name()?.to_string_lossy();
        self.readers.of_name(&name).map(|(reader, _)| reader)
    }

    /// Sets [`series`](Self::series).
    #[cfg(feature = "dicom")]
    #[must_use]
    pub fn with_series(mut self, series: SeriesChoice) -> Self {
        self.series = series;
        self
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            max_bytes: Self::DEFAULT_MAX_BYTES,
            channel: None,
            segment: None,
            follow_outside: false,
            #[cfg(feature = "dicom")]
            series: SeriesChoice::Only,
            readers: Readers::default(),
        }
    }
}

/// A value that was read, with warnings about the file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Loaded<T> {
    /// The volume.
    pub value: T,
    /// Warnings, each a sentence that names the file; for `Progress::warn`.
    pub warnings: Vec<String>,
    /// Details on harmlessly skipped input, such as objects of a DICOM folder that are no images;
    /// for `Progress::detail`.
    pub details: Vec<String>,
    /// The affine that ITK uses, where the header states no orientation (NIfTI without codes, Analyze).
    /// Labels that ITK wrote for such an image lie there.
    pub itk_affine: Option<Affine>,
}

impl<T> Loaded<T> {
    /// A value without warnings.
    pub fn new(value: T) -> Self {
        Self { value, warnings: Vec::new(), details: Vec::new(), itk_affine: None }
    }

    /// Reports warnings and details to `progress` and returns the value.
    pub fn report(self, progress: &dyn desam_core::Progress) -> T {
        self.details.iter().for_each(|detail| progress.detail(detail));
        self.warnings.iter().for_each(|warning| progress.warn(warning));
        self.value
    }

    /// Replaces the value by a fallible function of it and keeps the warnings.
    ///
    /// # Errors
    /// Errors of `change`.
    pub fn try_map<U>(
        self,
        change: impl FnOnce(T) -> crate::Result<U>,
    ) -> crate::Result<Loaded<U>> {
        let Self { value, warnings, details, itk_affine } = self;
        Ok(Loaded { value: change(value)?, warnings, details, itk_affine })
    }

    /// Replaces the value by a function of it and keeps the warnings.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Loaded<U> {
        let Self { value, warnings, details, itk_affine } = self;
        Loaded { value: change(value), warnings, details, itk_affine }
    }

    /// Sets [`itk_affine`](Self::itk_affine).
    pub(crate) fn with_itk_affine(mut self, affine: Option<Affine>) -> Self {
        self.itk_affine = affine;
        self
    }
}

impl Loaded<LabelVolume> {
    /// Labels of a file that has no segments, with a warning where one was chosen.
    pub(crate) fn without_segments(mut self, path: &Path, options: &ReadOptions) -> Self {
        if let Some(segment) = options.segment {
            self.warnings.push(format!(
                "{}: it is no DICOM segmentation, so that all of its labels are read instead of segment \
                 {segment}",
                path.display()
            ));
        }
        self
    }
}
