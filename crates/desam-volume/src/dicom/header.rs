//! Slices of one file, decoded from its attributes.

use super::codec::Codec;
use super::fields::Fields;
use super::file::DicomFile;
use super::{file_meta, wrong};
use crate::{Error, Result};
use dicom_dictionary_std::tags;
use dicom_dictionary_std::uids::{LABEL_MAP_SEGMENTATION_STORAGE, SEGMENTATION_STORAGE};
use dicom_object::InMemDicomObject;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of a file in memory.
#[derive(Clone, PartialEq)]
pub(super) struct MemoryFile(pub(super) Arc<Vec<u8>>);

impl std::fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MemoryFile").field(&self.0.len()).finish()
    }
}

/// Attributes that all slices of one file share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SliceFile {
    pub(super) path: PathBuf,
    /// The file's bytes, if it is in memory; otherwise they are read from `path`.
    pub(super) memory: Option<MemoryFile>,
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
    /// The lowest of the stored bits in their word; above 0 where HighBit says so.
    pub(super) lowest_bit: usize,
    /// PixelRepresentation: whether stored values are signed (two's complement).
    pub(super) signed: bool,
    /// Whether the smallest value is white (MONOCHROME1).
    pub(super) inverted: bool,
    /// TransferSyntaxUID.
    pub(super) transfer_syntax: String,
    /// Warnings, without the file's name.
    pub(super) warnings: Vec<String>,
}

/// Image plane and rescaling of a slice (PS3.3, C.7.6.2 and C.7.6.16).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImagePlane {
    /// Direction along a row, from column to column: the first three of ImageOrientationPatient, LPS,
    /// length 1.
    pub(super) row_direction: [f64; 3],
    /// Direction along a column, from row to row: the last three of ImageOrientationPatient, LPS,
    /// length 1.
    pub(super) column_direction: [f64; 3],
    /// ImagePositionPatient: centre of the first pixel, LPS, mm.
    pub(super) position: [f64; 3],
    /// PixelSpacing: between rows, and between columns, mm.
    pub(super) spacing: [f64; 2],
    /// SpacingBetweenSlices, or else SliceThickness, mm.
    pub(super) thickness: Option<f64>,
    /// RescaleSlope; 1 where it is missing.
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

/// One slice, without its pixels: a file, or one frame of a file of several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    pub(super) file: Arc<SliceFile>,
    /// Index of the frame in its file, from 0.
    pub(super) frame: usize,
    pub(super) image_plane: ImagePlane,
}

/// Whether a file starts as DICOM files do.
pub(super) fn looks_like_dicom(path: &Path) -> bool {
    let mut prefix = Vec::new();
    let file = desam_core::files::open_regular(path);
    let read = file.and_then(|f| f.take(file_meta::PREFIX as u64).read_to_end(&mut prefix));
    read.is_ok() && super::is_start(&prefix)
}

/// A `dicom-object` error with its causes.
pub(super) fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    let mut said = error.to_string();
    causes.for_each(|cause| said += &format!(": {cause}"));
    said
}

impl Slice {
    /// The slices of a file; none for a file that is no image (a report, a presentation state).
    pub(super) fn of(opened: &DicomFile, path: &Path) -> Result<Vec<Self>> {
        let fields = &Fields::new(&opened.object, path);
        if !fields.has(tags::ROWS) {
            return Ok(Vec::new());
        }
        let mut file = SliceFile::read(fields)?;
        file.transfer_syntax = opened.object.meta().transfer_syntax().to_owned();
        file.warnings.clone_from(&opened.warnings);
        file.place_bits(fields)?;
        let file = Arc::new(file);
        let frames = fields.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        if frames.is_empty() && file.frames == 1 {
            return Ok(vec![Self { file, frame: 0, image_plane: ImagePlane::read(fields)? }]);
        }
        if frames.len() != file.frames {
            let (promised, told) = (file.frames, frames.len());
            let found = format!("it has {promised} frames but positions for {told}");
            return Err(wrong(path, format!("{found}; convert it to NIfTI")));
        }
        let shared = fields
            .behind(fields.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).iter().flat_map(macros));
        let slice = |(frame, group)| {
            let image_plane = ImagePlane::read(&shared.behind(macros(group)))?;
            Ok(Self { file: Arc::clone(&file), frame, image_plane })
        };
        frames.iter().enumerate().map(slice).collect()
    }

    /// Direction across the slice, LPS: columns to rows by the right hand.
    pub(super) fn normal(&self) -> [f64; 3] {
        let (a, b) = (self.image_plane.row_direction, self.image_plane.column_direction);
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }
}

/// The functional groups of one frame, or of all, that say where it lies and what its pixels mean.
fn macros(group: &InMemDicomObject) -> impl Iterator<Item = &InMemDicomObject> {
    let sequences = [
        tags::PLANE_POSITION_SEQUENCE,
        tags::PLANE_ORIENTATION_SEQUENCE,
        tags::PIXEL_MEASURES_SEQUENCE,
        tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    ];
    sequences.into_iter().filter_map(|t| group.get(t)?.items()?.first())
}

impl SliceFile {
    /// Whether its pixels are labels of segments, not intensities.
    pub(super) fn is_segmentation(&self) -> bool {
        [SEGMENTATION_STORAGE, LABEL_MAP_SEGMENTATION_STORAGE].contains(&self.class.as_str())
    }

    /// A stored value as it is displayed, larger where it is brighter. In MONOCHROME1 the smallest is
    /// white: ITK 5.4 inverts such values within their stored bits before it rescales them (measured
    /// with SimpleITK 2.5), and so does this.
    pub(super) fn displayed(&self, stored: f64) -> f64 {
        match (self.inverted, self.signed) {
            (false, _) => stored,
            (true, true) => -1.0 - stored,
            (true, false) => 2_f64.powi(self.bits_stored as i32) - 1.0 - stored,
        }
    }

    fn read(fields: &Fields<'_>) -> Result<Self> {
        let path = fields.path();
        let class = fields.text(tags::SOP_CLASS_UID).unwrap_or_default();
        let photometric = fields.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        let inverted = photometric == "MONOCHROME1";
        // A palette only says how the labels of a label map are to be shown.
        let is_grey = ["MONOCHROME1", "MONOCHROME2"].contains(&photometric.as_str())
            || (class == LABEL_MAP_SEGMENTATION_STORAGE && photometric == "PALETTE COLOR");
        if fields.whole(tags::SAMPLES_PER_PIXEL, 1)? != 1 || !is_grey {
            let found =
                format!("its pixels are {photometric:?}; expected MONOCHROME1 or MONOCHROME2");
            return Err(wrong(path, found));
        }
        if !fields.has(tags::PIXEL_DATA) {
            return Err(wrong(path, "there are no pixels in it"));
        }
        let size = |tag| {
            let whole = fields.whole(tag, 0)?;
            let fits = usize::try_from(whole).ok().filter(|n| (1..=65_535).contains(n));
            fits.ok_or_else(|| wrong(path, format!("{whole} rows or columns are no image")))
        };
        let frames = fields.whole(tags::NUMBER_OF_FRAMES, 1)?;
        let frames = usize::try_from(frames).ok().filter(|n| *n > 0);
        let frames = frames.ok_or_else(|| wrong(path, "it has no frames"))?;
        let bits = |tag| Ok::<_, Error>(usize::try_from(fields.whole(tag, 16)?).unwrap_or(0));
        let (bits_allocated, bits_stored) = (bits(tags::BITS_ALLOCATED)?, bits(tags::BITS_STORED)?);
        let known = match class.as_str() {
            SEGMENTATION_STORAGE => [1, 8, 16, 32].contains(&bits_allocated),
            _ => [8, 16, 32].contains(&bits_allocated),
        };
        if !known || !(1..=bits_allocated).contains(&bits_stored) {
            let found = format!("{bits_stored} of {bits_allocated} bits a pixel");
            return Err(wrong(path, format!("{found}; expected some of 8, 16 or 32")));
        }
        Ok(Self {
            path: path.to_path_buf(),
            memory: None,
            series: fields.text(tags::SERIES_INSTANCE_UID).unwrap_or_default(),
            description: fields.text(tags::SERIES_DESCRIPTION).unwrap_or_default(),
            class,
            instance: fields.text(tags::SOP_INSTANCE_UID).unwrap_or_default(),
            frames,
            rows: size(tags::ROWS)?,
            columns: size(tags::COLUMNS)?,
            bits_allocated,
            bits_stored,
            signed: fields.whole(tags::PIXEL_REPRESENTATION, 0)? == 1,
            inverted,
            transfer_syntax: String::new(),
            warnings: Vec::new(),
            lowest_bit: 0,
        })
    }

    /// Position of the stored bits, by HighBit, BitsStored and BitsAllocated, with a warning where
    /// that is not the low end of the word, where current editions of PS3.5 (8.1.1) have them.
    fn place_bits(&mut self, fields: &Fields<'_>) -> Result<()> {
        let stored = self.bits_stored;
        let high_bit = fields.whole(tags::HIGH_BIT, stored as i64 - 1)?;
        let highest = usize::try_from(high_bit).ok().filter(|bit| *bit < self.bits_allocated);
        let lowest = highest.and_then(|bit| (bit + 1).checked_sub(stored));
        // What decoders give lies at the low end.
        let is_native = matches!(self.codec(), Some(Codec::Native | Codec::Rle));
        self.lowest_bit = lowest.filter(|_| is_native).unwrap_or(0);
        if lowest != Some(0) {
            let (from, to) = (self.lowest_bit, self.lowest_bit + stored - 1);
            let warning = format!(
                "HighBit is {high_bit} where BitsStored is {stored}: pixels are read from bits \
                 {from} to {to}"
            );
            self.warnings.push(warning);
        }
        Ok(())
    }

    /// Codec of the transfer syntax; `None` where it is not supported.
    pub(super) fn codec(&self) -> Option<Codec> {
        Codec::of(&self.transfer_syntax)
    }
}

impl ImagePlane {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let path = fields.path();
        let [a, b, c, d, e, f] =
            fields.needed(tags::IMAGE_ORIENTATION_PATIENT, "ImageOrientationPatient")?;
        let [row_direction, column_direction] = [[a, b, c], [d, e, f]].map(unit);
        let cosine: f64 = row_direction.iter().zip(column_direction).map(|(x, y)| x * y).sum();
        if cosine.is_nan() || cosine.abs() >= 1e-3 {
            return Err(wrong(
                path,
                "ImageOrientationPatient is not of two directions at right angles",
            ));
        }
        let spacing: [f64; 2] = fields.needed(tags::PIXEL_SPACING, "PixelSpacing")?;
        if spacing.iter().any(|s| *s <= 0.0) {
            let found = format!("PixelSpacing is {spacing:?}; expected lengths above 0");
            return Err(wrong(path, found));
        }
        let thickness =
            fields.number(tags::SPACING_BETWEEN_SLICES).or(fields.number(tags::SLICE_THICKNESS));
        Ok(Self {
            row_direction,
            column_direction,
            position: fields.needed(tags::IMAGE_POSITION_PATIENT, "ImagePositionPatient")?,
            spacing,
            thickness: thickness.map(f64::abs).filter(|t| *t > 0.0),
            slope: fields.number(tags::RESCALE_SLOPE).unwrap_or(1.0),
            intercept: fields.number(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        })
    }
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.map(|x| x / length)
}
