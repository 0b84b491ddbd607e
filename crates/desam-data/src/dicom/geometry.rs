//! From loose slices to a stack.

use super::header::Slice;
use super::series::Series;
use super::wrong;
use crate::Result;
use crate::voxels::lps_affine;
use desam_core::Grid;
use std::path::Path;

/// Directions that differ less are one: about half a minute of arc.
pub(super) const SAME_DIRECTION: f64 = 1e-4;
/// What a slice may lie off its place, in parts of the distance between slices.
pub(super) const OFF_PLACE: f64 = 0.1;

/// Slices in order, and the grid that they make.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stack {
    pub(super) slices: Vec<Slice>,
    pub(super) grid: Grid,
}

/// Sorts the slices of a series by position along their normal, and refuses what is no stack.
pub(super) fn stack(series: Series, path: &Path) -> Result<Stack> {
    let refuse = |problem: String| Err(wrong(path, format!("series {}: {problem}", series.uid)));
    let mut slices = series.slices;
    let Some(first) = slices.first() else {
        return refuse("it has no slices".into());
    };
    for other in &slices {
        let names = || format!("{} and {}", first.path().display(), other.path().display());
        let size = |s: &Slice| (s.file.rows, s.file.columns);
        if size(other) != size(first) {
            return refuse(format!("{} are not of one size", names()));
        }
        let apart =
            |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(x, y)| (x - y).abs() > SAME_DIRECTION);
        let (here, there) = (&other.place, &first.place);
        if apart(&here.along_row, &there.along_row)
            || apart(&here.along_column, &there.along_column)
        {
            return refuse(format!(
                "{} lie in different directions; choose a series of one",
                names()
            ));
        }
        if apart(&here.spacing, &there.spacing) {
            return refuse(format!("{} have different PixelSpacing", names()));
        }
    }
    let (normal, first) = (first.normal(), first.clone());
    let height = |s: &Slice| dot(s.place.position, normal);
    slices.sort_by(|a, b| height(a).total_cmp(&height(b)));
    let step = step(&slices, normal)
        .map_err(|problem: String| wrong(path, format!("series {}: {problem}", series.uid)))?;
    let scaled = |v: [f64; 3], by: f64| v.map(|x| x * by);
    let place = &first.place;
    let [between_rows, between_columns] = place.spacing;
    let columns =
        [scaled(place.along_row, between_columns), scaled(place.along_column, between_rows), step];
    let origin = slices.first().map_or(place.position, |s| s.place.position);
    let grid = Grid {
        dims: [first.file.columns, first.file.rows, slices.len()],
        affine: lps_affine(columns, origin),
    };
    if grid.affine.inverse().is_err() {
        return Err(wrong(path, format!("series {}: its slices span no volume", series.uid)));
    }
    Ok(Stack { slices, grid })
}

/// From one slice to the next, LPS; or why there is no such thing.
fn step(slices: &[Slice], normal: [f64; 3]) -> Result<[f64; 3], String> {
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else {
        return Err("it has no slices".into());
    };
    if slices.len() == 1 {
        return Ok(normal.map(|x| x * first.place.thickness.unwrap_or(1.0)));
    }
    let gaps: Vec<f64> = slices
        .windows(2)
        .map(|w| dot(w[1].place.position, normal) - dot(w[0].place.position, normal))
        .collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    for (gap, pair) in gaps.iter().zip(slices.windows(2)) {
        let names = format!("{} and {}", pair[0].path().display(), pair[1].path().display());
        if *gap < 1e-3 {
            return Err(format!(
                "{names} lie at the same place: several echoes or moments in one series?"
            ));
        }
        if (gap - usual).abs() > OFF_PLACE * usual {
            return Err(format!(
                "{names} are {gap:.2} mm apart where others are {usual:.2} mm: a slice is missing"
            ));
        }
    }
    let intervals = (slices.len() - 1) as f64;
    let step: [f64; 3] =
        std::array::from_fn(|a| (last.place.position[a] - first.place.position[a]) / intervals);
    for (index, slice) in slices.iter().enumerate() {
        let off: f64 = (0..3)
            .map(|a| slice.place.position[a] - first.place.position[a] - step[a] * index as f64)
            .map(|d| d * d)
            .sum();
        if off.sqrt() > OFF_PLACE * usual {
            return Err(format!("{} lies beside the others' line", slice.path().display()));
        }
    }
    Ok(step)
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
