//! The grid that the frames of a segmentation lie on.
//!
//! Several frames may lie in one plane, each of another segment, and planes without foreground are
//! often left out. Where the image's grid is known, frames are put on it; otherwise the grid is the
//! smallest that has a slice for every frame, and for every image that the file lists.

use super::super::geometry::{OFF_PLACE, SAME_DIRECTION, dot};
use super::super::header::Slice;
use super::images::Margins;
use super::segments::Segments;
use crate::voxels::lps_affine;
use desam_core::Grid;

/// Frames that lie closer to each other, in mm, lie in one plane.
const SAME_PLANE: f64 = 0.01;
/// Slices that a grid may have whatever the file says; beyond that it has at most as many as the
/// images that the segmentation refers to, so that a wrong position cannot take all memory.
const MAX_SLICES: usize = 256;

/// The grid of a segmentation and the slice of each frame.
#[derive(Debug)]
pub(super) struct Planes {
    pub(super) grid: Grid,
    /// The slice of the grid that each frame lies in.
    pub(super) of_frame: Vec<usize>,
    /// Slices of the grid that have no frame.
    pub(super) empty: usize,
}

impl Planes {
    /// Puts frames on the grid of the image that they are of; `None` where they do not lie on it.
    pub(super) fn on(image: &Grid, frames: &[Slice]) -> Option<Self> {
        let first = frames.first()?;
        let [columns, rows, slices] = image.dims;
        if [first.file.columns, first.file.rows] != [columns, rows] || !are_parallel(frames) {
            return None;
        }
        let to_voxel = image.affine.inverse().ok()?;
        // Half a voxel, as for labels of other formats.
        let tolerance = 0.5 * image.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let slice_of = |frame: &Slice| {
            let image_plane = &frame.image_plane;
            let [between_rows, between_columns] = image_plane.spacing;
            let step = [
                image_plane.row_direction.map(|x| x * between_columns),
                image_plane.column_direction.map(|x| x * between_rows),
                frame.normal(),
            ];
            let affine = lps_affine(step, image_plane.position);
            let [_, _, at] = to_voxel.apply(affine.apply([0.0; 3]));
            let index = at.round();
            let is_slice = (0.0..slices as f64).contains(&index);
            let corners = [[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]];
            let is_there = corners.map(|[i, j]| [i as f64, j as f64]).iter().all(|[i, j]| {
                let (here, there) =
                    (affine.apply([*i, *j, 0.0]), image.affine.apply([*i, *j, index]));
                let off: f64 = here.iter().zip(there).map(|(a, b)| (a - b).powi(2)).sum();
                off.sqrt() <= tolerance
            });
            (is_slice && is_there).then_some(index as usize)
        };
        let of_frame: Vec<usize> = frames.iter().map(slice_of).collect::<Option<_>>()?;
        Some(Self::new(*image, of_frame))
    }

    /// The smallest grid that has a slice for every frame, and for every image that the file refers
    /// to where these are listed in the order of the slices.
    ///
    /// # Errors
    /// A description of the reason why the frames determine no grid.
    pub(super) fn of(frames: &[Slice], segments: &Segments) -> Result<Self, String> {
        let referenced = segments.images.count;
        let Some(first) = frames.first() else {
            return Err("it has no frames".into());
        };
        if !are_parallel(frames) {
            return Err("its frames have different orientations or PixelSpacing".into());
        }
        let normal = first.normal();
        let height = |frame: usize| dot(frames[frame].image_plane.position, normal);
        let mut order: Vec<usize> = (0..frames.len()).collect();
        order.sort_by(|a, b| height(*a).total_cmp(&height(*b)));
        // The first frame of every plane, from the lowest to the highest.
        let mut planes: Vec<usize> = Vec::new();
        let mut plane_of = vec![0; frames.len()];
        for frame in order {
            if planes.last().is_none_or(|last| height(frame) - height(*last) > SAME_PLANE) {
                planes.push(frame);
            }
            plane_of[frame] = planes.len() - 1;
        }
        let heights: Vec<f64> = planes.iter().map(|frame| height(*frame)).collect();
        let thickness = first.image_plane.thickness;
        let distances = SliceDistances {
            between: segments.spacing_between,
            thickness,
            is_complete: planes.len() >= referenced,
        };
        let slices = distances.slices_of(&heights).ok_or_else(|| {
            "its frames leave slices out and do not say how far apart slices are; read it beside \
             the image that it is of"
                .to_owned()
        })?;
        let (last, most) = (slices.last().copied().unwrap_or(0), MAX_SLICES.max(referenced));
        if last >= most {
            return Err(format!(
                "its frames span {} slices and it refers to {referenced} images; expected at most \
                 {most}",
                last.saturating_add(1)
            ));
        }
        let lowest =
            planes.first().map_or(first.image_plane.position, |f| frames[*f].image_plane.position);
        let highest = planes.last().map_or(lowest, |f| frames[*f].image_plane.position);
        let step = match last {
            0 => normal.map(|x| x * thickness.unwrap_or(1.0)),
            n => [0, 1, 2].map(|a| (highest[a] - lowest[a]) / n as f64),
        };
        let apart = dot(step, step).sqrt();
        let mut of_frame: Vec<usize> = plane_of.into_iter().map(|plane| slices[plane]).collect();
        for (index, (frame, slice)) in frames.iter().zip(&of_frame).enumerate() {
            let on_line = [0, 1, 2].map(|a| lowest[a] + step[a] * *slice as f64);
            let off = [0, 1, 2].map(|a| frame.image_plane.position[a] - on_line[a]);
            if dot(off, off).sqrt() > OFF_PLACE * apart {
                return Err(format!("frame {} is off the line of the other frames", index + 1));
            }
        }
        let margins = segments.images.margins(&of_frame, last);
        let Margins { before, behind } = margins.unwrap_or(Margins { before: 0, behind: 0 });
        of_frame.iter_mut().for_each(|slice| *slice += before);
        let origin = [0, 1, 2].map(|a| lowest[a] - step[a] * before as f64);
        let [between_rows, between_columns] = first.image_plane.spacing;
        let columns = [
            first.image_plane.row_direction.map(|x| x * between_columns),
            first.image_plane.column_direction.map(|x| x * between_rows),
            step,
        ];
        let grid = Grid {
            dims: [first.file.columns, first.file.rows, before + last + 1 + behind],
            affine: lps_affine(columns, origin),
        };
        if grid.affine.inverse().is_err() {
            return Err("its frames span no volume".into());
        }
        Ok(Self::new(grid, of_frame))
    }

    fn new(grid: Grid, of_frame: Vec<usize>) -> Self {
        let mut filled = of_frame.clone();
        filled.sort_unstable();
        filled.dedup();
        Self { grid, of_frame, empty: grid.dims[2].saturating_sub(filled.len()) }
    }
}

/// Whether all frames have the directions and the pixel spacing of the first.
fn are_parallel(frames: &[Slice]) -> bool {
    let Some(first) = frames.first().map(|f| &f.image_plane) else {
        return false;
    };
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(x, y)| (x - y).abs() <= SAME_DIRECTION);
    frames.iter().map(|f| &f.image_plane).all(|other| {
        near(&other.row_direction, &first.row_direction)
            && near(&other.column_direction, &first.column_direction)
            && near(&other.spacing, &first.spacing)
    })
}

/// Slice spacing as stated in a file: SpacingBetweenSlices, SliceThickness.
struct SliceDistances {
    /// SpacingBetweenSlices, mm.
    between: Option<f64>,
    /// SpacingBetweenSlices, or else SliceThickness, mm.
    thickness: Option<f64>,
    /// Whether there are as many planes as images, so that none is left out.
    is_complete: bool,
}

impl SliceDistances {
    /// The slices that planes at these heights are, from 0: by SpacingBetweenSlices, or else by the
    /// smallest distance between two planes, unless slices may have been left out between any two.
    /// `None` where neither divides all distances.
    fn slices_of(&self, heights: &[f64]) -> Option<Vec<usize>> {
        let gaps: Vec<f64> = heights.windows(2).map(|w| w[1] - w[0]).collect();
        let Some(smallest) = gaps.iter().copied().min_by(f64::total_cmp) else {
            return Some(vec![0]);
        };
        // Slices may have gaps; a gap above half their thickness needs a second indication.
        let is_near = self.thickness.is_none_or(|thickness| smallest < 1.5 * thickness);
        let as_near = gaps.iter().filter(|gap| **gap < 1.1 * smallest).count();
        let is_usual = gaps.len() > 1 && 2 * as_near > gaps.len();
        let neighbours = (is_near || self.is_complete || is_usual).then_some(smallest);
        [self.between, neighbours].into_iter().flatten().find_map(|step| steps(&gaps, step))
    }
}

/// Cumulative number of steps at each slice; `None` where a gap is no whole number of steps.
fn steps(gaps: &[f64], step: f64) -> Option<Vec<usize>> {
    let mut slices = vec![0_usize];
    for gap in gaps {
        let steps = (gap / step).round();
        // Both may be rounded in the file, and the errors of many steps add up.
        let off = (gap - steps * step).abs() / step;
        if !(1.0..1e6).contains(&steps) || off.is_nan() || off > OFF_PLACE * steps.sqrt() {
            return None;
        }
        slices.push(slices.last()?.checked_add(steps as usize)?);
    }
    Some(slices)
}
