//! Decoded NIfTI header: grid, data type, scaling and where the voxels are.

use super::field::Field;
use super::header::{RawHeader, VoxelLocation};
use super::version::Version;
use super::{analyze, orientation};
use crate::Result;
use crate::voxels::{Channels, Scalar, wrong};
use desam_core::{Affine, Grid};
use std::path::Path;

/// Codes of `xyzt_units` for lengths that are not in millimetres.
const METRES: u8 = 1;
const MICROMETRES: u8 = 3;

/// The `datatype` codes of one number a voxel.
fn scalar_of(code: f64) -> Option<Scalar> {
    Some(match code as i16 {
        2 => Scalar::U8,
        4 => Scalar::I16,
        8 => Scalar::I32,
        16 => Scalar::F32,
        64 => Scalar::F64,
        256 => Scalar::I8,
        512 => Scalar::U16,
        768 => Scalar::U32,
        1024 => Scalar::I64,
        1280 => Scalar::U64,
        _ => return None,
    })
}

/// Kind of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderKind {
    Nifti,
    /// Analyze 7.5, whose header NIfTI-1 has the layout of.
    Analyze,
}

/// The decoded header.
#[derive(Debug, Clone)]
pub(super) struct HeaderInfo {
    pub(super) kind: HeaderKind,
    pub(super) grid: Grid,
    pub(super) channels: Channels,
    pub(super) scalar: Scalar,
    pub(super) location: VoxelLocation,
    pub(super) data_start: u64,
    pub(super) slope: f64,
    pub(super) intercept: f64,
    /// The affine that ITK uses where the header states no orientation (no sform, no qform).
    pub(super) itk_affine: Option<Affine>,
}

impl HeaderInfo {
    /// Decodes a header; `paired` if its file is named like a pair's header (`.hdr`).
    pub(super) fn read(header: &RawHeader, path: &Path, paired: bool) -> Result<Self> {
        let (kind, location) = kind(header, path, paired)?;
        let (dims, channels) = dims(header, path)?;
        let code = header.get(Field::Datatype, 0);
        let scalar = scalar_of(code).ok_or_else(|| {
            let expected = "a code of whole or floating-point numbers (2, 4, 8, 16, 64, 256, 512, \
                            768, 1024, 1280); colour and complex images are not supported";
            wrong(path, "datatype", code, expected)
        })?;
        let data_start = data_start(header, location, path)?;
        let (slope, inter) = (header.get(Field::Slope, 0), header.get(Field::Intercept, 0));
        // By the standard a slope of zero means that the values are not scaled. Several tools write NaN
        // for the same. SPM stores its scale at the same offset of an Analyze header.
        let scaled = slope != 0.0 && slope.is_finite();
        let slope = if scaled { slope } else { 1.0 };
        let scaled = scaled && inter.is_finite() && kind == HeaderKind::Nifti;
        let intercept = if scaled { inter } else { 0.0 };
        let (affine, itk_affine) = match kind {
            HeaderKind::Nifti => affine(header, dims, path)?,
            HeaderKind::Analyze => {
                let spacing = orientation::spacing(header, dims, path)?;
                (analyze::affine(header, dims, spacing), Some(orientation::itk(spacing)))
            }
        };
        let grid = Grid { dims, affine };
        Ok(Self {
            kind,
            grid,
            channels,
            scalar,
            location,
            data_start,
            slope,
            intercept,
            itk_affine,
        })
    }
}

/// The affine in millimetres, and ITK's where the header states no orientation.
fn affine(header: &RawHeader, dims: [usize; 3], path: &Path) -> Result<(Affine, Option<Affine>)> {
    let unit_mm = match header.get(Field::Units, 0) as u8 & 7 {
        METRES => 1e3,
        MICROMETRES => 1e-3,
        _ => 1.0,
    };
    let in_mm = |mut affine: Affine| {
        affine.0.iter_mut().flatten().for_each(|v| *v *= unit_mm);
        affine
    };
    let affine = orientation::affine(header, dims, path)?;
    let stated = [Field::QformCode, Field::SformCode].iter().any(|f| header.get(*f, 0) > 0.0);
    let itk = if stated {
        None
    } else {
        Some(in_mm(orientation::itk(orientation::spacing(header, dims, path)?)))
    };
    Ok((in_mm(affine), itk))
}

fn kind(header: &RawHeader, path: &Path, paired: bool) -> Result<(HeaderKind, VoxelLocation)> {
    let [single, pair] = header.version().magics();
    match header.magic() {
        magic if magic == single => Ok((HeaderKind::Nifti, VoxelLocation::SameFile)),
        magic if magic == pair && paired => Ok((HeaderKind::Nifti, VoxelLocation::PairFile)),
        magic if magic == pair => {
            let expected = "\"n+1\", a single file; the header of a pair is named .hdr, its \
                            voxels .img";
            Err(wrong(path, "magic", magic[..3].escape_ascii(), expected))
        }
        // Analyze has other fields at this offset, mostly zeros.
        magic if paired && header.version() == Version::One && !magic.starts_with(b"n") => {
            Ok((HeaderKind::Analyze, VoxelLocation::PairFile))
        }
        magic => {
            let expected = "\"n+1\" or \"ni1\", NIfTI-1, \"n+2\" or \"ni2\", NIfTI-2 (the header \
                            of Analyze 7.5, which has none, is named .hdr)";
            Err(wrong(path, "magic", magic.escape_ascii(), expected))
        }
    }
}

/// Byte offset of the voxels in their file (`vox_offset`).
fn data_start(header: &RawHeader, location: VoxelLocation, path: &Path) -> Result<u64> {
    let offset = header.get(Field::VoxOffset, 0);
    let least = match location {
        VoxelLocation::SameFile => header.version().data_start(),
        VoxelLocation::PairFile => 0,
    };
    match offset {
        // Some writers leave it at 0, which can only mean the first possible byte.
        0.0 => Ok(least),
        o if o >= least as f64 && o < 1e12 => Ok(o as u64),
        _ => {
            let expected = if least > 0 { format!("at least {least}") } else { "0 or more".into() };
            Err(wrong(path, "vox_offset", offset, &expected))
        }
    }
}

/// The three spatial dimensions, and the channels that further dimensions count; a 2-D image is a
/// volume of one slice.
fn dims(header: &RawHeader, path: &Path) -> Result<([usize; 3], Channels)> {
    let dim: [f64; 8] = header.numbers(Field::Dim);
    let rank = dim[0];
    if !(2.0..=7.0).contains(&rank) || rank.fract() != 0.0 {
        return Err(wrong(path, "dim[0]", rank, "2 or 3, a volume, or 4, a volume of channels"));
    }
    const FIELDS: [&str; 8] =
        ["dim[0]", "dim[1]", "dim[2]", "dim[3]", "dim[4]", "dim[5]", "dim[6]", "dim[7]"];
    let mut dims = [1; 3];
    let mut channels = 1_u64;
    for (axis, (&d, field)) in dim.iter().zip(FIELDS).enumerate().skip(1).take(rank as usize) {
        // An unused dimension beyond the third may be 0.
        let d = if axis > 3 && d == 0.0 { 1.0 } else { d };
        if !(1.0..=f64::from(u32::MAX)).contains(&d) {
            return Err(wrong(path, field, d, "at least 1"));
        }
        match dims.get_mut(axis - 1) {
            Some(dim) => *dim = d as usize,
            None => channels = channels.saturating_mul(d as u64),
        }
    }
    let block = dims.iter().fold(1_u64, |n, &d| n.saturating_mul(d as u64));
    Ok((dims, Channels { count: channels, block }))
}
