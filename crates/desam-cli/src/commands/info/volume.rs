//! Description of a volume.

use super::{Session, aligned, image};
use crate::commands::json_path;
use crate::output::Output;
use desam::data::cache::human_bytes;
use desam::types::text::DisplayPath as _;
use desam::types::{Affine, LabelVolume, Volume};
use desam::volume::volumes::{ReadOptions, VolumeFormat, files_with, load_labels, load_volume};
use serde_json::json;
use std::path::Path;

pub(super) fn describe(
    path: &Path,
    format: VolumeFormat,
    options: &ReadOptions,
    session: &Session,
) -> anyhow::Result<Output> {
    let volume = match options.segment {
        Some(_) => as_intensities(&load_labels(path, options)?.report(&session.terminal))?,
        None => load_volume(path, options)?.report(&session.terminal),
    };
    // A volume may consist of several files, such as a header and its data file.
    let sizes =
        files_with(path, options)?.into_iter().map(|f| std::fs::metadata(f).map(|m| m.len()));
    let file_bytes = sizes.sum::<std::io::Result<u64>>()?;
    let grid = volume.grid();
    let values = Values::of(&volume);
    if volume.is_in_pixels() {
        return Ok(image::describe(path, format, &volume, file_bytes));
    }
    let [x, y, z] = grid.dims;
    let spacing = grid.spacing();
    let axes = axes(&grid.affine);
    let rows = grid.affine.0.map(|r| format!("[{}]", r.map(|v| format!("{v:10.4}")).join(" ")));
    let not_finite = match values.not_finite {
        0 => String::new(),
        n => format!(", {n} not finite"),
    };
    let mut rows = vec![
        ("volume", path.display_escaped()),
        ("format", format.to_string()),
        ("dimensions", format!("{x} × {y} × {z} voxels")),
        ("spacing", format!("{} mm", spacing.map(|s| format!("{s:.4}")).join(" × "))),
        (
            "axes",
            format!(
                "{axes} (directions of increasing i, j, k: Right/Left, Anterior/Posterior, Superior/Inferior)"
            ),
        ),
        ("affine, mm RAS+", rows[0].clone()),
        ("", rows[1].clone()),
        ("", rows[2].clone()),
        (
            "values",
            format!("{} to {}, mean {:.4}{not_finite}", values.min, values.max, values.mean),
        ),
        ("kind", values.kind().to_owned()),
        ("file", human_bytes(file_bytes)),
    ];
    let foreground_ml =
        values.may_be_labels().then(|| values.above_zero as f64 * grid.voxel_mm3() / 1000.0);
    if let Some(ml) = foreground_ml {
        rows.push(("above zero", format!("{} voxels, {ml:.2} ml", values.above_zero)));
    }
    let json = json!({
        "kind": "volume",
        "path": json_path(path),
        "format": format,
        "dims": grid.dims,
        "spacing_mm": spacing,
        "axes": axes,
        "affine_mm_ras": grid.affine,
        "voxel_mm3": grid.voxel_mm3(),
        "value_min": values.min,
        "value_max": values.max,
        "value_mean": values.mean,
        "values_not_finite": values.not_finite,
        "whole_numbers": values.integral,
        "may_be_labels": values.may_be_labels(),
        "foreground_ml": foreground_ml,
        "file_bytes": file_bytes,
    });
    Ok(Output::new(aligned(&rows), json))
}

/// Labels converted to f32 voxels.
fn as_intensities(labels: &LabelVolume) -> anyhow::Result<Volume> {
    let values = labels.data().iter().map(|label| f32::from(*label)).collect();
    Ok(Volume::new(*labels.grid(), values)?)
}

/// Anatomical direction in which each voxel index increases, such as `LPS`.
fn axes(affine: &Affine) -> String {
    let toward = [('R', 'L'), ('A', 'P'), ('S', 'I')];
    let letter = |column: usize| {
        let along = |row: &[f64; 4]| row.get(column).copied().unwrap_or(0.0);
        let steepest = affine
            .0
            .iter()
            .zip(toward)
            .max_by(|(a, _), (b, _)| along(a).abs().total_cmp(&along(b).abs()));
        steepest.map_or('?', |(row, (plus, minus))| if along(row) >= 0.0 { plus } else { minus })
    };
    (0..3).map(letter).collect()
}

/// Statistics of the voxels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Values {
    pub(super) min: f32,
    pub(super) max: f32,
    pub(super) mean: f64,
    not_finite: usize,
    above_zero: usize,
    integral: bool,
}

impl Values {
    fn of(volume: &Volume) -> Self {
        Self::of_channel(volume.data())
    }

    /// Of some values, such as those of a channel of colour.
    pub(super) fn of_channel(values: &[f32]) -> Self {
        let (mut min, mut max, mut sum) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
        let (mut finite, mut above_zero, mut integral) = (0usize, 0, true);
        for &v in values.iter().filter(|v| v.is_finite()) {
            finite += 1;
            min = min.min(v);
            max = max.max(v);
            sum += f64::from(v);
            above_zero += usize::from(v > 0.0);
            integral &= v.fract() == 0.0;
        }
        if finite == 0 {
            (min, max) = (f32::NAN, f32::NAN);
        }
        let not_finite = values.len() - finite;
        Self { min, max, mean: sum / finite.max(1) as f64, not_finite, above_zero, integral }
    }

    fn may_be_labels(&self) -> bool {
        self.integral && self.not_finite == 0 && self.min >= 0.0 && self.max <= 15.0
    }

    fn kind(&self) -> &'static str {
        match (self.may_be_labels(), self.integral) {
            (true, _) => "small integers, probably labels",
            (false, true) => "integers",
            (false, false) => "decimals",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam::types::Grid;

    #[test]
    fn axes_are_named_by_their_anatomical_direction() {
        // By hand: i towards the left, j towards the back, k to the head, as scanners write.
        let scanner = Affine([[-0.5, 0.0, 0.1, 0.0], [0.1, -0.5, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]]);
        assert_eq!(axes(&scanner), "LPS");
        assert_eq!(axes(&Affine::from_spacing([1.0; 3])), "RAS");
        // A sagittal series: i to the back, j to the feet, k to the right.
        let sagittal = Affine([[0.0, 0.0, 3.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]]);
        assert_eq!(axes(&sagittal), "PIR");
    }

    #[test]
    fn non_finite_values_are_counted_and_excluded_from_the_mean() {
        let grid = Grid { dims: [4, 1, 1], affine: Affine::from_spacing([1.0; 3]) };
        let of = |data: Vec<f32>| Values::of(&Volume::new(grid, data).unwrap());
        let odd = of(vec![f32::NAN, 1.0, 3.0, f32::INFINITY]);
        assert_eq!((odd.min, odd.max, odd.mean, odd.not_finite), (1.0, 3.0, 2.0, 2));
        assert!(!odd.may_be_labels());
        assert!(of(vec![0.0, 1.0, 2.0, 1.0]).may_be_labels());
        assert!(!of(vec![0.0, 1.5, 2.0, 1.0]).integral);
        assert!(of(vec![f32::NAN; 4]).min.is_nan());
    }
}
