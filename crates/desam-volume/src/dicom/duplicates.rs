//! Duplicate slices: the same SOPInstanceUID in two files.
//!
//! Downloads and exports leave copies beside their originals, `s2 (1).dcm` beside `s2.dcm`. A
//! SOPInstanceUID names one object alone, so two files with one UID and the same pixels are one slice;
//! with other pixels one of them is wrong, and which one cannot be told.

use super::geometry::Stack;
use super::header::Slice;
use super::series::counted;
use super::{pixels, slice_names};
use crate::Result;
use desam_core::{Affine, Grid, Volume};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Slices nearer than this, in mm, lie at the same position.
const SAME_POSITION: f64 = 1e-3;

/// The distinct slices of a series, and warnings about removed duplicates.
#[derive(Debug)]
pub(super) struct Distinct {
    pub(super) slices: Vec<Slice>,
    pub(super) warnings: Vec<String>,
}

/// Removes slices whose files are copies of others.
///
/// # Errors
/// In words, where two files have one SOPInstanceUID and one position and are no copies. The outer
/// error is that a file cannot be read.
pub(super) fn distinct(slices: Vec<Slice>) -> Result<Result<Distinct, String>> {
    let mut first: BTreeMap<(String, usize), Slice> = BTreeMap::new();
    let (mut kept, mut copies, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for slice in by_name(slices) {
        let key = (slice.file.instance.clone(), slice.frame);
        let other = if key.0.is_empty() { None } else { first.get(&key) };
        let Some(other) = other else {
            first.insert(key, slice.clone());
            kept.push(slice);
            continue;
        };
        let names = format!("{} and {}", slice_names::slice(other), slice_names::slice(&slice));
        if distance(other, &slice) > SAME_POSITION {
            // Such UIDs are wrong, but say nothing against the slices.
            shared.push(names);
            kept.push(slice);
        } else if Arc::ptr_eq(&other.file, &slice.file) || !same(other, &slice)? {
            return Ok(Err(format!(
                "{names} both have the SOPInstanceUID {} and lie at the same place, and differ; \
                 move the wrong one to another folder",
                slice.file.instance
            )));
        } else {
            copies.push(names);
        }
    }
    kept.sort_by(|a, b| (a.path(), a.frame).cmp(&(b.path(), b.frame)));
    let mut warnings = Vec::new();
    if let Some(example) = copies.first() {
        warnings.push(format!(
            "{} left out, with the pixels and the SOPInstanceUID of another: {example}{}",
            counted(copies.len(), "slice"),
            more(copies.len())
        ));
    }
    if let Some(example) = shared.first() {
        warnings.push(format!(
            "several slices have one SOPInstanceUID, which should be each one's own: {example}{}",
            more(shared.len())
        ));
    }
    Ok(Ok(Distinct { slices: kept, warnings }))
}

/// The shortest names first: a copy's is mostly the original's with something added.
fn by_name(mut slices: Vec<Slice>) -> Vec<Slice> {
    slices.sort_by(|a, b| {
        let key = |s: &Slice| (s.path().as_os_str().len(), s.path().to_path_buf(), s.frame);
        key(a).cmp(&key(b))
    });
    slices
}

fn distance(a: &Slice, b: &Slice) -> f64 {
    let pairs = a.image_plane.position.iter().zip(b.image_plane.position);
    pairs.map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

/// Whether two slices mean the same values at the same voxels.
fn same(a: &Slice, b: &Slice) -> Result<bool> {
    let size = |s: &Slice| (s.file.rows, s.file.columns);
    Ok(size(a) == size(b)
        && a.image_plane == b.image_plane
        && volume(a)?.data() == volume(b)?.data())
}

fn volume(slice: &Slice) -> Result<Volume> {
    let dims = [slice.file.columns, slice.file.rows, 1];
    let grid = Grid { dims, affine: Affine::from_spacing([1.0; 3]) };
    let stack = Stack { slices: vec![slice.clone()], grid, warnings: Vec::new() };
    Ok(pixels::volume(&stack, u64::MAX)?.value)
}

fn more(count: usize) -> String {
    if count > 1 { format!(", and {} more such pairs", count - 1) } else { String::new() }
}
