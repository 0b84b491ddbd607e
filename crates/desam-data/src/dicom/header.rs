//! What one file says of its slice.

use super::{walk, wrong};
use crate::{Error, Result};
use dicom_object::{DefaultDicomObject, OpenFileOptions, Tag};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes beyond which a file is not the slice of a series.
const LARGEST: u64 = 1 << 30;

mod tag {
    use super::Tag;
    pub(super) const SERIES_DESCRIPTION: Tag = Tag(0x0008, 0x103E);
    pub(super) const SERIES_UID: Tag = Tag(0x0020, 0x000E);
    pub(super) const POSITION: Tag = Tag(0x0020, 0x0032);
    pub(super) const ORIENTATION: Tag = Tag(0x0020, 0x0037);
    pub(super) const SLICE_THICKNESS: Tag = Tag(0x0018, 0x0050);
    pub(super) const SLICE_SPACING: Tag = Tag(0x0018, 0x0088);
    pub(super) const SAMPLES: Tag = Tag(0x0028, 0x0002);
    pub(super) const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
    pub(super) const FRAMES: Tag = Tag(0x0028, 0x0008);
    pub(super) const ROWS: Tag = Tag(0x0028, 0x0010);
    pub(super) const COLUMNS: Tag = Tag(0x0028, 0x0011);
    pub(super) const PIXEL_SPACING: Tag = Tag(0x0028, 0x0030);
    pub(super) const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
    pub(super) const BITS_STORED: Tag = Tag(0x0028, 0x0101);
    pub(super) const SIGNED: Tag = Tag(0x0028, 0x0103);
    pub(super) const INTERCEPT: Tag = Tag(0x0028, 0x1052);
    pub(super) const SLOPE: Tag = Tag(0x0028, 0x1053);
}

/// One slice, without its pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    pub(super) path: PathBuf,
    pub(super) series: String,
    pub(super) description: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
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
    pub(super) bits_allocated: usize,
    pub(super) bits_stored: usize,
    pub(super) signed: bool,
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

/// Whether a file starts as DICOM files do.
pub(super) fn looks_like_dicom(path: &Path) -> bool {
    let mut start = [0; 132];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && super::is_start(&start)
}

/// Reads and checks a file and hands it to the parser.
pub(super) fn open(path: &Path) -> Result<DefaultDicomObject> {
    let fail = || Error::io("read", path);
    let file = File::open(path).map_err(fail())?;
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
    /// What a file says; `None` for a file that is no image (a report, a presentation).
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let object = open(path)?;
        let fields = Fields { object: &object, path };
        if object.get(tag::ROWS).is_none() {
            return Ok(None);
        }
        if fields.whole(tag::FRAMES, 1)? != 1 {
            let advice = "several frames in one file are not read; convert it to NIfTI";
            return Err(wrong(path, advice));
        }
        let photometric = fields.text(tag::PHOTOMETRIC).unwrap_or_default();
        if fields.whole(tag::SAMPLES, 1)? != 1 || photometric != "MONOCHROME2" {
            let found = format!("pixels are {photometric:?}; expected MONOCHROME2");
            return Err(wrong(path, found));
        }
        let size = |tag| {
            let whole = fields.whole(tag, 0)?;
            let fits = usize::try_from(whole).ok().filter(|n| (1..=65_535).contains(n));
            fits.ok_or_else(|| wrong(path, format!("{whole} rows or columns are no image")))
        };
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
            return Err(wrong(
                path,
                format!("PixelSpacing is {spacing:?}; expected lengths above 0"),
            ));
        }
        let thickness = fields.number(tag::SLICE_SPACING).or(fields.number(tag::SLICE_THICKNESS));
        let bits = |tag| Ok::<_, Error>(usize::try_from(fields.whole(tag, 16)?).unwrap_or(0));
        let (bits_allocated, bits_stored) = (bits(tag::BITS_ALLOCATED)?, bits(tag::BITS_STORED)?);
        if ![8, 16, 32].contains(&bits_allocated) || !(1..=bits_allocated).contains(&bits_stored) {
            let found = format!("{bits_stored} of {bits_allocated} bits a pixel");
            return Err(wrong(path, format!("{found}; expected some of 8, 16 or 32")));
        }
        Ok(Some(Self {
            path: path.to_path_buf(),
            series: fields.text(tag::SERIES_UID).unwrap_or_default(),
            description: fields.text(tag::SERIES_DESCRIPTION).unwrap_or_default(),
            rows: size(tag::ROWS)?,
            columns: size(tag::COLUMNS)?,
            along_row,
            along_column,
            position: fields.needed(tag::POSITION, "ImagePositionPatient")?,
            spacing,
            thickness: thickness.map(f64::abs).filter(|t| *t > 0.0),
            bits_allocated,
            bits_stored,
            signed: fields.whole(tag::SIGNED, 0)? == 1,
            slope: fields.number(tag::SLOPE).unwrap_or(1.0),
            intercept: fields.number(tag::INTERCEPT).unwrap_or(0.0),
        }))
    }

    /// Direction across the slice, LPS: columns to rows by the right hand.
    pub(super) fn normal(&self) -> [f64; 3] {
        let (a, b) = (self.along_row, self.along_column);
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.map(|x| x / length)
}

struct Fields<'a> {
    object: &'a DefaultDicomObject,
    path: &'a Path,
}

impl Fields<'_> {
    fn text(&self, tag: Tag) -> Option<String> {
        let text = self.object.get(tag)?.to_str().ok()?;
        Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
    }

    /// A whole number, or `default` where the element is absent or empty.
    fn whole(&self, tag: Tag, default: i64) -> Result<i64> {
        match self.object.get(tag) {
            Some(element) if element.to_str().is_ok_and(|text| !text.trim().is_empty()) => {
                element.to_int().map_err(|error| wrong(self.path, explain(&error)))
            }
            _ => Ok(default),
        }
    }

    /// A finite number, where it is there.
    fn number(&self, tag: Tag) -> Option<f64> {
        self.object.get(tag)?.to_float64().ok().filter(|v| v.is_finite())
    }

    /// Finite numbers that a slice cannot do without.
    fn needed<const N: usize>(&self, tag: Tag, name: &str) -> Result<[f64; N]> {
        let found = self.object.get(tag).and_then(|e| e.to_multi_float64().ok());
        let finite = found.filter(|all| all.iter().all(|v| v.is_finite()));
        let numbers = finite.and_then(|all| <[f64; N]>::try_from(all).ok());
        numbers.ok_or_else(|| {
            wrong(self.path, format!("{name} is not {N} numbers: where the slice lies is unknown"))
        })
    }
}
