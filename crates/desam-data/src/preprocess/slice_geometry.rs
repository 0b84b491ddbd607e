//! Geometry of the slices and masks of a volume.

use super::axis::AxisMapping;
use super::config::{Frame, LabelRule, PreprocessConfig};
use super::orient::AxisOrder;
use super::targets::LabelFrame;
use crate::{Error, Result};
use desam_core::{Grid, LabelMask, LabelVolume};
use desam_volume::expect_same_grid;

/// Voxels after resampling beyond which the spacing must be wrong.
const MAX_VOXELS: f64 = (1_u64 << 31) as f64;

/// Pixels along a side below which a slice is no image.
const MIN_SIDE: usize = 2;

/// Volume of a parallelepiped of voxel edges, as a share of that of a box of the same edges, below
/// which the edges are taken to lie in one plane.
const MIN_SKEW: f64 = 1e-4;

/// All of a preparation but the intensities: where the pixels of slices and masks lie in the
/// volume. It is what masks and labels need, so that neither has to wait for an image.
#[derive(Debug, Clone)]
pub(super) struct SliceGeometry {
    /// As stored.
    grid: Grid,
    order: AxisOrder,
    /// Voxels along columns, rows and slices.
    dims: [usize; 3],
    axes: [AxisMapping; 3],
    labels: LabelRule,
    mask_side: usize,
}

impl SliceGeometry {
    /// # Errors
    /// When the configuration makes no sense, or the grid is not one of a volume of images.
    pub(super) fn new(config: &PreprocessConfig, grid: &Grid, mask_side: usize) -> Result<Self> {
        config.validate()?;
        expect_invertible(grid)?;
        let order = config.orientation.order(&grid.affine);
        let ordered = order.grid(grid);
        let axes = axes(config, &ordered)?;
        let (grid, dims, labels) = (*grid, ordered.dims, config.labels);
        Ok(Self { grid, order, dims, axes, labels, mask_side })
    }

    /// The volume's own grid.
    pub(super) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The order of the stored axes.
    pub(super) fn order(&self) -> &AxisOrder {
        &self.order
    }

    /// Voxels along columns, rows and slices.
    pub(super) fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// The way along columns, rows and slices.
    pub(super) fn axes(&self) -> [AxisMapping; 3] {
        self.axes
    }

    /// Side of the masks.
    pub(super) fn mask_side(&self) -> usize {
        self.mask_side
    }

    /// Processed slices.
    pub(super) fn len(&self) -> usize {
        self.axes[2].frame
    }

    /// The grid of the processed slices before they are made square.
    pub(super) fn frame_grid(&self) -> Grid {
        let own = self.order.grid(&self.grid);
        let first = own.affine.apply(self.axes.map(|a| a.place(0)));
        let mut affine = own.affine;
        for (row, mm) in affine.0.iter_mut().zip(first) {
            row.iter_mut().zip(self.axes).for_each(|(cell, axis)| *cell *= axis.step());
            row[3] = mm;
        }
        Grid { dims: self.axes.map(|a| a.frame), affine }
    }

    /// The ground truth of every processed slice as `mask_side × mask_side` labels.
    pub(super) fn labels(&self, labels: &LabelVolume) -> Result<Vec<LabelMask>> {
        expect_same_grid(&self.grid, labels.grid())?;
        let [columns, rows, slices] =
            self.axes.map(|a| (0..a.frame).map(|f| a.nearest(f)).collect::<Vec<_>>());
        let [source_width, source_height, _] = self.dims;
        let ordered = self.order.apply(self.grid.dims, labels.data())?;
        let voxels = source_width * source_height;
        let mut masks = Vec::with_capacity(slices.len());
        for slice in slices {
            let pixels =
                slice.and_then(|k| ordered.get(k * voxels..(k + 1) * voxels)).unwrap_or_default();
            let mut data = Vec::with_capacity(rows.len() * columns.len());
            for row in &rows {
                let line = row.and_then(|j| pixels.get(j * source_width..)).unwrap_or_default();
                let label = |column: &Option<usize>| column.and_then(|i| line.get(i)).copied();
                data.extend(columns.iter().map(|c| label(c).unwrap_or(0)));
            }
            let frame = LabelFrame { height: rows.len(), width: columns.len(), data };
            let frame = match self.labels {
                LabelRule::Nearest => frame,
                LabelRule::Eroded => frame.eroded_for(self.mask_side),
            };
            masks.push(frame.stretched(self.mask_side)?);
        }
        Ok(masks)
    }
}

/// Refuses a grid whose voxels have no volume: nothing on it lies anywhere.
fn expect_invertible(grid: &Grid) -> Result<()> {
    let spacing = grid.spacing();
    let refuse = |problem: &str| {
        let problem = format!("{problem}; correct the file's spacing and orientation");
        Err(Error::Geometry { dims: grid.dims, spacing, problem })
    };
    if grid.affine.0.iter().flatten().any(|v| !v.is_finite()) {
        return refuse("its affine holds numbers that are not finite");
    }
    if spacing.iter().any(|mm| !(mm.is_finite() && *mm > 0.0)) {
        return refuse("expected a spacing above 0 along each axis");
    }
    let skew = grid.voxel_mm3() / spacing.iter().product::<f64>();
    if skew.is_nan() || skew < MIN_SKEW {
        return refuse("its affine is singular: the three axes lie in one plane");
    }
    Ok(())
}

/// The way along each axis from the volume to the frame.
///
/// # Errors
/// [`Error::Geometry`] when the volume has no voxel, slices of fewer than two pixels a side, or
/// would not fit in memory.
fn axes(config: &PreprocessConfig, grid: &Grid) -> Result<[AxisMapping; 3]> {
    let spacing = grid.spacing();
    let refuse = |problem: String| Err(Error::Geometry { dims: grid.dims, spacing, problem });
    if grid.is_empty() {
        return refuse("it has no voxels".into());
    }
    let [width, height, _] = grid.dims;
    if width.min(height) < MIN_SIDE {
        return refuse(format!(
            "its slices, as they are cut, are {width} × {height} pixels; expected at least \
             {MIN_SIDE} × {MIN_SIDE}"
        ));
    }
    let mut axes = grid.dims.map(AxisMapping::identity);
    if let Some(target) = config.spacing_mm {
        let sizes = [0, 1, 2].map(|a| grid.dims[a] as f64 * spacing[a] / target[a]);
        if spacing.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            return refuse("its spacing cannot be resampled; correct the file's affine".into());
        }
        if sizes.iter().map(|s| s.max(1.0)).product::<f64>() > MAX_VOXELS {
            return refuse(format!(
                "resampled to {target:?} mm it would not fit; is the spacing in mm?"
            ));
        }
        axes = [0, 1, 2].map(|a| AxisMapping::resampled(grid.dims[a], spacing[a], target[a]));
        let [width, height, _] = axes.map(|a| a.frame);
        if width.min(height) < MIN_SIDE {
            return refuse(format!(
                "resampled to {target:?} mm its slices are {width} × {height} pixels; is the \
                 spacing in mm?"
            ));
        }
    }
    if let Frame::Crop { side } = config.frame {
        axes[0] = axes[0].cropped(side);
        axes[1] = axes[1].cropped(side);
    }
    let [width, height, depth] = axes.map(|a| a.frame as f64);
    if width * height * depth > MAX_VOXELS {
        return refuse(format!("{depth} slices of {width} × {height} pixels would not fit"));
    }
    Ok(axes)
}
