//! What one file says of its slices.

use super::fields::{Fields, tag};
use super::{walk, wrong};
use crate::{Error, Result};
use desam_core::files::open_regular;
use dicom_object::{DefaultDicomObject, InMemDicomObject, OpenFileOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes beyond which a file is not the slice of a series.
const LARGEST: u64 = 1 << 30;
/// The SOP class of segmentations.
pub(super) const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";

/// What all slices of one file share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SliceFile {
    pub(super) path: PathBuf,
    pub(super) series: String,
    pub(super) description: String,
    /// SOPClassUID and SOPInstanceUID.
    pub(super) class: String,
    pub(super) instance: String,
    pub(super) frames: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// 1 in segmentations alone.
    pub(super) bits_allocated: usize,
    pub(super) bits_stored: usize,
    pub(super) signed: bool,
}

/// Where a slice lies, and what its pixels mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Direction in which columns follow each other, LPS, length 1.
    pub(super) along_row: [f64; 3],
    /// Direction in which rows follow each other, LPS, length 1.
    pub(super) along_column: [f64; 3],
    /// Middle of the first pixel, LPS, mm.
    pub(super) position: [f64; 3],
    /// Between rows, and between columns, in mm.
    pub(super) spacing: [f64; 2],
    /// Between slices, or a slice's thickness, in mm, where the file says either.
    pub(super) thickness: Option<f64>,
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

/// One slice, without its pixels: a file, or one frame of a file of several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    pub(super) file: Arc<SliceFile>,
    /// Which frame of its file, from 0.
    pub(super) frame: usize,
    pub(super) place: Place,
}

/// Whether a file starts as DICOM files do.
pub(super) fn looks_like_dicom(path: &Path) -> bool {
    let mut start = [0; 132];
    let read = open_regular(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && super::is_start(&start)
}

/// Reads and checks a file and hands it to the parser.
pub(super) fn open(path: &Path) -> Result<DefaultDicomObject> {
    let fail = || Error::io("read", path);
    let file = open_regular(path).map_err(fail())?;
    let bytes = file.metadata().map_err(fail())?.len();
    if bytes > LARGEST {
        return Err(wrong(path, format!("{bytes} bytes are too many for a slice")));
    }
    let mut content = Vec::with_capacity(bytes as usize);
    file.take(LARGEST).read_to_end(&mut content).map_err(fail())?;
    walk::check(&content).map_err(|problem| wrong(path, problem))?;
    let parsed = OpenFileOptions::new().from_reader(content.as_slice());
    parsed.map_err(|error| wrong(path, explain(&error)))
}

/// An error of the parser with its causes.
pub(super) fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    let mut said = error.to_string();
    causes.for_each(|cause| said += &format!(": {cause}"));
    said
}

impl Slice {
    /// What a file says of its slices; none for a file that is no image (a report, a presentation).
    pub(super) fn read(path: &Path) -> Result<Vec<Self>> {
        let object = open(path)?;
        let fields = Fields::new(&object, path);
        if !fields.has(tag::ROWS) {
            return Ok(Vec::new());
        }
        let file = Arc::new(SliceFile::read(&fields)?);
        let frames = fields.items(tag::FRAME_GROUPS);
        if frames.is_empty() && file.frames == 1 {
            return Ok(vec![Self { file, frame: 0, place: Place::read(&fields)? }]);
        }
        if frames.len() != file.frames {
            let (promised, told) = (file.frames, frames.len());
            let found = format!("it has {promised} frames and says of {told} where they lie");
            return Err(wrong(path, format!("{found}; convert it to NIfTI")));
        }
        let shared = fields.behind(fields.items(tag::SHARED_GROUPS).iter().flat_map(macros));
        let slice = |(frame, group)| {
            let place = Place::read(&shared.behind(macros(group)))?;
            Ok(Self { file: Arc::clone(&file), frame, place })
        };
        frames.iter().enumerate().map(slice).collect()
    }

    /// Direction across the slice, LPS: columns to rows by the right hand.
    pub(super) fn normal(&self) -> [f64; 3] {
        let (a, b) = (self.place.along_row, self.place.along_column);
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }
}

/// The functional groups of one frame, or of all, that say where it lies and what its pixels mean.
fn macros(group: &InMemDicomObject) -> impl Iterator<Item = &InMemDicomObject> {
    let sequences =
        [tag::PLANE_POSITION, tag::PLANE_ORIENTATION, tag::PIXEL_MEASURES, tag::TRANSFORMATION];
    sequences.into_iter().filter_map(|t| group.get(t)?.items()?.first())
}

impl SliceFile {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let path = fields.path();
        let class = fields.text(tag::CLASS).unwrap_or_default();
        let photometric = fields.text(tag::PHOTOMETRIC).unwrap_or_default();
        if fields.whole(tag::SAMPLES, 1)? != 1 || photometric != "MONOCHROME2" {
            let found = format!("pixels are {photometric:?}; expected MONOCHROME2");
            return Err(wrong(path, found));
        }
        if fields.text(tag::SEGMENTATION_TYPE).is_some_and(|kind| kind == "FRACTIONAL") {
            return Err(wrong(path, "a segmentation of fractions is not read; binary ones are"));
        }
        let size = |tag| {
            let whole = fields.whole(tag, 0)?;
            let fits = usize::try_from(whole).ok().filter(|n| (1..=65_535).contains(n));
            fits.ok_or_else(|| wrong(path, format!("{whole} rows or columns are no image")))
        };
        let frames = fields.whole(tag::FRAMES, 1)?;
        let frames = usize::try_from(frames).ok().filter(|n| *n > 0);
        let frames = frames.ok_or_else(|| wrong(path, "it has no frames"))?;
        let bits = |tag| Ok::<_, Error>(usize::try_from(fields.whole(tag, 16)?).unwrap_or(0));
        let (bits_allocated, bits_stored) = (bits(tag::BITS_ALLOCATED)?, bits(tag::BITS_STORED)?);
        let known = match class.as_str() {
            SEGMENTATION => [1, 8, 16, 32].contains(&bits_allocated),
            _ => [8, 16, 32].contains(&bits_allocated),
        };
        if !known || !(1..=bits_allocated).contains(&bits_stored) {
            let found = format!("{bits_stored} of {bits_allocated} bits a pixel");
            return Err(wrong(path, format!("{found}; expected some of 8, 16 or 32")));
        }
        Ok(Self {
            path: path.to_path_buf(),
            series: fields.text(tag::SERIES).unwrap_or_default(),
            description: fields.text(tag::SERIES_DESCRIPTION).unwrap_or_default(),
            class,
            instance: fields.text(tag::INSTANCE).unwrap_or_default(),
            frames,
            rows: size(tag::ROWS)?,
            columns: size(tag::COLUMNS)?,
            bits_allocated,
            bits_stored,
            signed: fields.whole(tag::SIGNED, 0)? == 1,
        })
    }
}

impl Place {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let path = fields.path();
        let [a, b, c, d, e, f] = fields.needed(tag::ORIENTATION, "ImageOrientationPatient")?;
        let [along_row, along_column] = [[a, b, c], [d, e, f]].map(unit);
        let cosine: f64 = along_row.iter().zip(along_column).map(|(x, y)| x * y).sum();
        if cosine.is_nan() || cosine.abs() >= 1e-3 {
            return Err(wrong(
                path,
                "ImageOrientationPatient is not of two directions at right angles",
            ));
        }
        let spacing: [f64; 2] = fields.needed(tag::PIXEL_SPACING, "PixelSpacing")?;
        if spacing.iter().any(|s| *s <= 0.0) {
            let found = format!("PixelSpacing is {spacing:?}; expected lengths above 0");
            return Err(wrong(path, found));
        }
        let thickness = fields.number(tag::SLICE_SPACING).or(fields.number(tag::SLICE_THICKNESS));
        Ok(Self {
            along_row,
            along_column,
            position: fields.needed(tag::POSITION, "ImagePositionPatient")?,
            spacing,
            thickness: thickness.map(f64::abs).filter(|t| *t > 0.0),
            slope: fields.number(tag::SLOPE).unwrap_or(1.0),
            intercept: fields.number(tag::INTERCEPT).unwrap_or(0.0),
        })
    }
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.map(|x| x / length)
}
