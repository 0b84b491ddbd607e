//! Parsed header fields.

use crate::Result;
use crate::voxels::{Channels, HeaderText, Scalar, list_dimension, lps_affine, numbers, wrong};
use desam_core::Grid;
use std::path::Path;

/// The most dimensions that are looked at; those after the third are channels.
const MOST_DIMENSIONS: usize = 8;

/// The last field of a header.
const DATA_FILE: &str = "ElementDataFile";

/// A parsed header.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    lines: Vec<(String, String)>,
    /// The lines behind `ElementDataFile = LIST`: the names of data files.
    pub(super) listed: Vec<String>,
    /// Offset in the file of the first byte after the header.
    pub(super) bytes: u64,
}

impl Fields {
    pub(super) fn read(path: &Path) -> Result<Self> {
        // A list of files follows the last field, which then goes on to the end of the file.
        let text = HeaderText::read(path, is_start, |line| {
            data_file(line).is_some_and(|value| list_dimension(value).is_none())
        })?;
        let Some(text) = text else {
            let expected = "lines of Key = Value, a MetaImage header";
            return Err(wrong(path, "header", "something else", expected));
        };
        let end = text.lines.iter().position(|line| data_file(line).is_some());
        let Some(end) = end else {
            return Err(text.cut(path));
        };
        let (fields, listed) = text.lines.split_at(end + 1);
        let pairs = fields.iter().filter_map(|line| split(line));
        let lines = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let listed = listed.iter().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty());
        Ok(Self { lines, listed: listed.collect(), bytes: text.bytes })
    }

    /// The lines whose key is one of these, as they were written.
    pub(super) fn kept<'a>(&'a self, keys: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        let wanted = |key: &str| keys.iter().any(|k| k.eq_ignore_ascii_case(key));
        self.lines.iter().filter(move |(k, _)| wanted(k)).map(|(k, v)| format!("{k} = {v}"))
    }

    /// The value of the first of these keys that is there, and that key.
    fn any(&self, keys: &'static [&'static str]) -> Option<(&'static str, &str)> {
        keys.iter().find_map(|key| {
            let line = self.lines.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
            line.map(|(_, value)| (*key, value.as_str()))
        })
    }

    pub(super) fn text(&self, key: &'static [&'static str]) -> Option<&str> {
        self.any(key).map(|(_, value)| value)
    }

    /// Exactly so many finite numbers under the first of these keys that is there.
    fn numbers(
        &self,
        path: &Path,
        keys: &'static [&'static str],
        count: usize,
    ) -> Result<Option<Vec<f64>>> {
        let Some((key, value)) = self.any(keys) else {
            return Ok(None);
        };
        let read = numbers(value).filter(|n| n.len() == count && n.iter().all(|v| v.is_finite()));
        let bad = || wrong(path, key, format!("{value:?}"), &format!("{count} numbers"));
        read.map(Some).ok_or_else(bad)
    }

    /// One number, or its default where the header is silent.
    pub(super) fn number(
        &self,
        path: &Path,
        key: &'static [&'static str],
        default: f64,
    ) -> Result<f64> {
        let read = self.numbers(path, key, 1)?;
        Ok(read.and_then(|n| n.first().copied()).unwrap_or(default))
    }

    /// A yes or no.
    pub(super) fn flag(
        &self,
        path: &Path,
        keys: &'static [&'static str],
        default: bool,
    ) -> Result<bool> {
        let Some((key, value)) = self.any(keys) else {
            return Ok(default);
        };
        match value.chars().next().map(|c| c.to_ascii_lowercase()) {
            Some('t' | 'y' | '1') => Ok(true),
            Some('f' | 'n' | '0') => Ok(false),
            _ => Err(wrong(path, key, format!("{value:?}"), "True or False")),
        }
    }

    /// Type of the voxels.
    pub(super) fn scalar(&self, path: &Path) -> Result<Scalar> {
        let value = self.text(&["ElementType"]).unwrap_or_default();
        // MetaIO's MET_LONG has four bytes on every machine.
        Ok(match value {
            "MET_UCHAR" => Scalar::U8,
            "MET_CHAR" | "MET_ASCII_CHAR" => Scalar::I8,
            "MET_USHORT" => Scalar::U16,
            "MET_SHORT" => Scalar::I16,
            "MET_UINT" | "MET_ULONG" => Scalar::U32,
            "MET_INT" | "MET_LONG" => Scalar::I32,
            "MET_ULONG_LONG" => Scalar::U64,
            "MET_LONG_LONG" => Scalar::I64,
            "MET_FLOAT" => Scalar::F32,
            "MET_DOUBLE" => Scalar::F64,
            other => {
                let expected = "MET_CHAR, MET_SHORT, MET_INT, MET_LONG, MET_LONG_LONG, one of \
                                these with U as in MET_UCHAR, MET_FLOAT or MET_DOUBLE";
                return Err(wrong(path, "ElementType", format!("{other:?}"), expected));
            }
        })
    }

    /// Whether the voxels are behind the header.
    pub(super) fn is_local(&self) -> bool {
        self.text(&["ElementDataFile"]).is_some_and(|name| name.eq_ignore_ascii_case("LOCAL"))
    }

    /// The sizes of all axes.
    pub(super) fn sizes(&self, path: &Path) -> Result<Vec<usize>> {
        let rank = self.number(path, &["NDims"], 0.0)?;
        let fits = rank.fract() == 0.0 && (3.0..=MOST_DIMENSIONS as f64).contains(&rank);
        if !fits {
            return Err(wrong(path, "NDims", rank, "3, a volume"));
        }
        let sizes = self.numbers(path, &["DimSize"], rank as usize)?;
        let sizes = sizes.ok_or_else(|| wrong(path, "DimSize", "absent", "a size an axis"))?;
        let whole = |size: &f64| {
            let fits = size.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(size);
            let bad = || wrong(path, "DimSize", size, "whole numbers from 1");
            if fits { Ok(*size as usize) } else { Err(bad()) }
        };
        sizes.iter().map(whole).collect()
    }

    /// Channels side by side in a voxel, or further axes.
    pub(super) fn channels(&self, path: &Path) -> Result<Channels> {
        let sizes = self.sizes(path)?;
        let product =
            |sizes: &[usize]| sizes.iter().fold(1_u64, |n, &d| n.saturating_mul(d as u64));
        let (volume, further) = sizes.split_at(3.min(sizes.len()));
        let volumes = Channels { count: product(further), block: product(volume) };
        const FIELD: &str = "ElementNumberOfChannels";
        let side_by_side = self.number(path, &[FIELD], 1.0)?;
        if side_by_side.fract() != 0.0 || !(1.0..=f64::from(u16::MAX)).contains(&side_by_side) {
            return Err(wrong(path, FIELD, side_by_side, "a whole number from 1"));
        }
        match side_by_side as u64 {
            1 => Ok(volumes),
            count if volumes.count == 1 => Ok(Channels { count, block: 1 }),
            count => {
                let expected = "1 where there are more than three axes of more than one value";
                Err(wrong(path, FIELD, count, expected))
            }
        }
    }

    /// Dimensions and affine.
    pub(super) fn grid(&self, path: &Path) -> Result<Grid> {
        let sizes = self.sizes(path)?;
        let rank = sizes.len();
        let dims = [0, 1, 2].map(|axis| sizes.get(axis).copied().unwrap_or(1));
        let unit = self.unit(path)?;
        let spacing = self.numbers(path, &["ElementSpacing", "ElementSize"], rank)?;
        let offset = self.numbers(path, &["Offset", "Position", "Origin"], rank)?;
        let keys = &["TransformMatrix", "Rotation", "Orientation"];
        let matrix = self.numbers(path, keys, rank * rank)?;
        let at = |list: &Option<Vec<f64>>, index: usize, default: f64| {
            list.as_ref().and_then(|l| l.get(index)).copied().unwrap_or(default)
        };
        // Row `a` of the matrix is the direction of axis `a`.
        let columns = [0, 1, 2].map(|axis| {
            let step = at(&spacing, axis, 1.0) * unit;
            [0, 1, 2].map(|d| step * at(&matrix, axis * rank + d, f64::from(axis == d)))
        });
        let origin = [0, 1, 2].map(|d| at(&offset, d, 0.0) * unit);
        let affine = lps_affine(columns, origin);
        if affine.inverse().is_err() {
            let found = format!("{columns:?} times the spacing");
            let expected = "three directions that span a volume, with spacings that are not 0";
            return Err(wrong(path, "TransformMatrix", found, expected));
        }
        Ok(Grid { dims, affine })
    }

    /// Millimetres in a unit of length.
    fn unit(&self, path: &Path) -> Result<f64> {
        match self.text(&["DistanceUnits"]) {
            None | Some("" | "?" | "mm") => Ok(1.0),
            Some("um") => Ok(1e-3),
            Some("cm") => Ok(10.0),
            Some(other) => Err(wrong(path, "DistanceUnits", format!("{other:?}"), "um, mm or cm")),
        }
    }
}

/// A MetaImage header starts with a key of letters and an equals sign.
pub(crate) fn is_start(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(256)];
    let Some(equals) = line.iter().position(|b| *b == b'=') else {
        return false;
    };
    let key = line[..equals].trim_ascii();
    !key.is_empty() && key.iter().all(u8::is_ascii_alphabetic)
}

/// Value of `ElementDataFile`, which ends a header; `None` for any other line.
fn data_file(line: &str) -> Option<&str> {
    split(line).filter(|(key, _)| key.eq_ignore_ascii_case(DATA_FILE)).map(|(_, value)| value)
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))
}
