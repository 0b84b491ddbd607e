//! Stacking slices: order along the normal, spacing, affine.

use super::header::Slice;
use super::series::{Series, counted};
use super::{duplicates, groups, slice_names, wrong};
use crate::Result;
use crate::voxels::lps_affine;
use desam_core::Grid;
use std::path::Path;

/// Tolerance of direction cosines: about half a minute of arc.
pub(super) const SAME_DIRECTION: f64 = 1e-4;
/// Tolerance of slice positions, as a fraction of the slice spacing.
pub(super) const OFF_PLACE: f64 = 0.1;
/// Slices closer than this, mm, have the same position.
const SAME_PLACE: f64 = 1e-3;

/// Ordered slices and their grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stack {
    pub(super) slices: Vec<Slice>,
    pub(super) grid: Grid,
    /// Warnings, such as duplicate slices.
    pub(super) warnings: Vec<String>,
}

/// Sorts the slices of a series by ImagePositionPatient along their normal, and rejects what is no
/// regular stack.
pub(super) fn stack(series: Series, path: &Path) -> Result<Stack> {
    let of_series = |said: String| format!("series {}: {said}", series.uid);
    let refuse = |problem: String| wrong(path, of_series(problem));
    let distinct = duplicates::distinct(series.slices)?.map_err(refuse)?;
    let mut slices = distinct.slices;
    groups::expect_one(&slices).map_err(refuse)?;
    let Some(first) = slices.first() else {
        return Err(refuse("it has no slices".into()));
    };
    let (normal, first) = (first.normal(), first.clone());
    let height = |s: &Slice| dot(s.image_plane.position, normal);
    slices.sort_by(|a, b| height(a).total_cmp(&height(b)));
    let step = step(&slices, normal).map_err(refuse)?;
    let scaled = |v: [f64; 3], by: f64| v.map(|x| x * by);
    let image_plane = &first.image_plane;
    let [between_rows, between_columns] = image_plane.spacing;
    let columns = [
        scaled(image_plane.row_direction, between_columns),
        scaled(image_plane.column_direction, between_rows),
        step,
    ];
    let origin = slices.first().map_or(image_plane.position, |s| s.image_plane.position);
    let grid = Grid {
        dims: [first.file.columns, first.file.rows, slices.len()],
        affine: lps_affine(columns, origin),
    };
    if grid.affine.inverse().is_err() {
        return Err(refuse("its slices span no volume".into()));
    }
    let warning = |said| format!("{}: {}", path.display(), of_series(said));
    let warnings = distinct.warnings.into_iter().map(warning).collect();
    Ok(Stack { slices, grid, warnings })
}

/// The step from one slice to the next, LPS, mm; or why the slices have none.
fn step(slices: &[Slice], normal: [f64; 3]) -> Result<[f64; 3], String> {
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else {
        return Err("it has no slices".into());
    };
    if slices.len() == 1 {
        return Ok(normal.map(|x| x * first.image_plane.thickness.unwrap_or(1.0)));
    }
    let gaps: Vec<f64> = slices
        .windows(2)
        .map(|w| dot(w[1].image_plane.position, normal) - dot(w[0].image_plane.position, normal))
        .collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    let same = gaps.iter().filter(|gap| **gap < SAME_PLACE).count();
    for (gap, pair) in gaps.iter().zip(slices.windows(2)) {
        let [a, b] = [&pair[0], &pair[1]].map(slice_names::placed);
        if *gap < SAME_PLACE {
            return Err(format!(
                "{a} and {b} lie at the same place ({} among {} slices): several echoes, moments or \
                 copies in one series? Move all but one set to other folders",
                counted(same, "such pair"),
                slices.len()
            ));
        }
        if gap - usual > OFF_PLACE * usual {
            return Err(format!(
                "{a} and {b} are {gap:.2} mm apart where others are {usual:.2} mm: a slice is \
                 missing between them; add it, or move the slices on one side to another folder"
            ));
        }
        if usual - gap > OFF_PLACE * usual {
            return Err(format!(
                "{a} and {b} are {gap:.2} mm apart where others are {usual:.2} mm: one of them is \
                 out of place; move it to another folder, or resample the series to equal distances"
            ));
        }
    }
    let intervals = (slices.len() - 1) as f64;
    let step: [f64; 3] = std::array::from_fn(|a| {
        (last.image_plane.position[a] - first.image_plane.position[a]) / intervals
    });
    for (index, slice) in slices.iter().enumerate() {
        let off: f64 = (0..3)
            .map(|a| {
                slice.image_plane.position[a]
                    - first.image_plane.position[a]
                    - step[a] * index as f64
            })
            .map(|d| d * d)
            .sum();
        if off.sqrt() > OFF_PLACE * usual {
            return Err(format!(
                "the position of {} is off the line of the other slices; move it to another folder",
                slice_names::placed(slice)
            ));
        }
    }
    Ok(step)
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
