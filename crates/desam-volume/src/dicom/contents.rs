//! Contents of a folder: slices grouped by series, and all other files.

use super::candidate::{ExcludedFile, Files};
use super::fields::Fields;
use super::file::{DicomFile, ReadExtent};
use super::header::Slice;
use super::series::Series;
use super::{series_uid, wrong};
use crate::{Error, Result};
use dicom_dictionary_std::{tags, uids};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes in which a file that can be read has its SeriesInstanceUID.
const UID_WITHIN: u64 = 64 << 10;
/// Bytes in which it is looked for in a file that cannot be read.
const UID_WITHIN_BROKEN: u64 = 64 << 20;

/// MR spectra, alone in the family of MR images (PS3.4, B.5).
const SPECTROSCOPY: &str = "4.2";

/// Kinds of objects to look for in a folder; a file that is named itself is read whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKinds {
    /// Images alone.
    Images,
    /// Images and segmentations: what may hold labels.
    Labels,
}

/// Reason for rejecting a possible slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RejectReason {
    /// It cannot be read: a slice may be lost.
    Unreadable,
    /// Its pixels have colours, which no slice of a volume has.
    Colour,
    /// It is an image that lacks what a slice must have, such as a position.
    NoSlice,
}

/// A possible slice that is not a slice.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) fault: RejectReason,
    /// Its SeriesInstanceUID; `None` where it is unknown.
    pub(super) series: Option<String>,
    pub(super) path: PathBuf,
    pub(super) error: Error,
}

/// The contents of a folder.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Series of at least one slice, by UID.
    pub(super) series: Vec<Series>,
    pub(super) rejected: Vec<Rejected>,
    /// Files that are no images and do no harm.
    pub(super) left_out: Vec<ExcludedFile>,
}

/// The series of images in a folder, by UID. Files that cannot be a volume are passed over:
/// segmentations, which are of images, DICOM that is no image, images without a position, and
/// whatever is not DICOM.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read, [`Error::Dicom`] when one that could be a slice is broken.
pub fn list_series(path: &Path) -> Result<Vec<Series>> {
    let contents = if path.is_dir() {
        Contents::of_folder(path, ObjectKinds::Images)?
    } else {
        Contents::of_file(path)?
    };
    match contents.rejected.into_iter().find(|r| r.fault == RejectReason::Unreadable) {
        Some(rejected) => Err(rejected.error),
        None => Ok(contents.series),
    }
}

/// The series in a folder or a file that could be read as a volume, whatever lies beside them: all
/// of them, and the parts in one plane of those that are of several.
pub(super) fn list(path: &Path, sought: ObjectKinds) -> Result<Vec<Series>> {
    let contents =
        if path.is_dir() { Contents::of_folder(path, sought)? } else { Contents::of_file(path)? };
    let parts = |series: &Series| {
        let planes = if series.plane.is_none() { series.planes() } else { Vec::new() };
        planes.into_iter().filter_map(|plane| series.part_in(plane)).collect::<Vec<_>>()
    };
    let parts: Vec<Series> = contents.series.iter().flat_map(parts).collect();
    Ok(contents.series.into_iter().chain(parts).collect())
}

/// The kind of one file.
enum Content {
    Slices(Vec<Slice>),
    Rejected(Rejected),
    ExcludedFile(ExcludedFile),
}

impl Contents {
    /// Everything in a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be listed. Files that cannot be read are in the result.
    pub(super) fn of_folder(folder: &Path, sought: ObjectKinds) -> Result<Self> {
        Self::collect(Files::of(folder)?, sought, None)
    }

    /// The files in a folder that are of the series `uid`, or could be.
    ///
    /// # Errors
    /// As [`of_folder`](Self::of_folder).
    pub(super) fn of_series(folder: &Path, sought: ObjectKinds, uid: &str) -> Result<Self> {
        Self::collect(Files::of(folder)?, sought, Some(uid))
    }

    /// One file, which must be what it is taken for.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Dicom`] when it is no image or cannot be read.
    pub(super) fn of_file(path: &Path) -> Result<Self> {
        match Content::of(path) {
            Content::Slices(slices) => Ok(Self { series: grouped(slices), ..Self::default() }),
            Content::Rejected(rejected) => Err(rejected.error),
            Content::ExcludedFile(ExcludedFile { path, reason, .. }) => {
                Err(wrong(&path, format!("there is no DICOM image here: {reason}")))
            }
        }
    }

    fn collect(files: Files, sought: ObjectKinds, only: Option<&str>) -> Result<Self> {
        let mut contents = Self { left_out: files.other, ..Self::default() };
        let mut slices = Vec::new();
        let mut others = 0;
        for path in files.dicom {
            // Whatever a file of another series is, it is not even opened.
            let uid = only.and_then(|_| series_uid::series_uid(&path, UID_WITHIN));
            if uid.is_some() && uid.as_deref() != only {
                others += 1;
                continue;
            }
            match Content::of(&path) {
                Content::Slices(found)
                    if sought == ObjectKinds::Images && is_segmentation(&found) =>
                {
                    contents.left_out.push(ExcludedFile::dicom(&path, "it is a segmentation"));
                }
                Content::Slices(found) => slices.extend(found),
                Content::Rejected(rejected) => contents.rejected.push(rejected),
                Content::ExcludedFile(left_out) => contents.left_out.push(left_out),
            }
        }
        for error in files.unreadable {
            let path = match &error {
                Error::Io { path, .. } | Error::Dicom { path, .. } => path.clone(),
                _ => PathBuf::new(),
            };
            let fault = RejectReason::Unreadable;
            contents.rejected.push(Rejected { fault, series: None, path, error });
        }
        contents.series = grouped(slices);
        contents.rejected.sort_by(|a, b| a.path.cmp(&b.path));
        if others > 0 {
            let reason = format!("{others} files of other series");
            contents.left_out.push(ExcludedFile::new(Path::new(""), reason));
        }
        Ok(contents)
    }

    /// Whether the folder is worth being read as a volume: it holds a slice, or what could be one.
    pub(super) fn is_volume(folder: &Path) -> Result<bool> {
        let files = Files::of(folder)?;
        if !files.unreadable.is_empty() {
            return Ok(true);
        }
        Ok(files.dicom.iter().any(|path| match Content::of(path) {
            Content::Slices(slices) => !is_segmentation(&slices),
            Content::Rejected(rejected) => rejected.fault == RejectReason::Unreadable,
            Content::ExcludedFile(_) => false,
        }))
    }
}

impl Content {
    fn of(path: &Path) -> Self {
        let rejected = |fault, series, error| {
            Self::Rejected(Rejected { fault, series, path: path.to_path_buf(), error })
        };
        let opened = match DicomFile::read(path, ReadExtent::Header) {
            Ok(opened) => opened,
            Err(error) => {
                let series = series_uid::series_uid(path, UID_WITHIN_BROKEN);
                return rejected(RejectReason::Unreadable, series, error);
            }
        };
        let fields = Fields::new(&opened.object, path);
        match Slice::of(&opened, path) {
            Ok(slices) if slices.is_empty() => {
                let directory = opened.object.meta().media_storage_sop_class_uid()
                    == uids::MEDIA_STORAGE_DIRECTORY_STORAGE;
                if directory || !may_be_image(&fields) {
                    return Self::ExcludedFile(ExcludedFile::dicom(
                        path,
                        "it is DICOM and no image",
                    ));
                }
                // Files that were cut off between two elements are whole to the parser.
                let problem = "it has no Rows, though its kind is an image; it may be truncated";
                let series = fields.text(tags::SERIES_INSTANCE_UID).filter(|uid| !uid.is_empty());
                let fault =
                    if series.is_some() { RejectReason::NoSlice } else { RejectReason::Unreadable };
                rejected(fault, series, wrong(path, problem))
            }
            Ok(slices) => Self::Slices(slices),
            Err(error) => {
                let samples = fields.whole(tags::SAMPLES_PER_PIXEL, 1).unwrap_or(1);
                let photometric = fields.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
                let colour = samples > 1 || photometric == "PALETTE COLOR";
                let fault = if colour { RejectReason::Colour } else { RejectReason::NoSlice };
                rejected(
                    fault,
                    fields.text(tags::SERIES_INSTANCE_UID).or_else(|| Some(String::new())),
                    error,
                )
            }
        }
    }
}

/// Whether an object of this SOP class should have Rows: its class is one of images, or is absent.
fn may_be_image(fields: &Fields<'_>) -> bool {
    let class = fields.text(tags::SOP_CLASS_UID).unwrap_or_default();
    let Some(storage) = class.strip_prefix("1.2.840.10008.5.1.4.1.1.") else {
        return class.is_empty();
    };
    let family = storage.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let image =
        matches!(family, 1..=7 | 12..=14 | 20 | 30 | 77 | 128 | 130) && storage != SPECTROSCOPY;
    image || ["66.4", "481.1", "481.2"].contains(&storage)
}

fn is_segmentation(slices: &[Slice]) -> bool {
    slices.first().is_some_and(|s| s.file.is_segmentation())
}

fn grouped(slices: Vec<Slice>) -> Vec<Series> {
    let mut groups: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
    for slice in slices {
        groups.entry(slice.file.series.clone()).or_default().push(slice);
    }
    groups.into_iter().map(|(uid, slices)| Series::new(uid, slices)).collect()
}
