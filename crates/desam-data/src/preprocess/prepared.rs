//! A volume that is ready for the encoder.

use super::axis::Axis;
use super::config::{Frame, LabelRule, PreprocessConfig};
use super::orient::AxisOrder;
use super::resample::resample;
use super::targets::LabelFrame;
use super::{IntensityWindow, SliceImage, expect_same_grid, spline};
use crate::{Error, Result, fallible};
use candle_core::{Device, Tensor};
use desam_core::{BinaryMask, EncoderSpec, Grid, LabelVolume, Volume};

/// Voxels after resampling beyond which the spacing must be wrong.
const MOST_VOXELS: f64 = (1_u64 << 31) as f64;

/// Side of an input or a mask beyond which the specification must be wrong.
const LARGEST_SIDE: usize = 1 << 14;

/// A volume whose slices are ready to be encoded, and which knows the way back to its own grid.
/// Holds one byte a processed pixel; images are made when asked for.
#[derive(Debug, Clone)]
pub struct PreparedVolume {
    config: PreprocessConfig,
    /// As stored.
    grid: Grid,
    order: AxisOrder,
    /// Voxels along columns, rows and slices.
    dims: [usize; 3],
    axes: [Axis; 3],
    window: IntensityWindow,
    frames: Vec<u8>,
    mask_side: usize,
    input_side: usize,
}

impl PreparedVolume {
    pub(super) fn new(
        config: &PreprocessConfig,
        volume: &Volume,
        spec: &EncoderSpec,
    ) -> Result<Self> {
        config.validate()?;
        let sensible = |side: usize| (1..=LARGEST_SIDE).contains(&side);
        if spec.patch == 0 || !sensible(spec.input_side) || !sensible(spec.mask_side()) {
            let (input, patch) = (spec.input_side, spec.patch);
            let found = format!("{input} pixels in patches of {patch}");
            let expected =
                "an input of at least one patch, input and masks of at most 16384 pixels";
            return Err(Error::PreprocessConfig { field: "encoder spec", found, expected });
        }
        let grid = *volume.grid();
        let order = config.orientation.order(&grid.affine);
        let ordered = order.grid(&grid);
        let axes = axes(config, &ordered)?;
        let window = IntensityWindow::of(volume, config.percentiles)?;
        let voxels = order.apply(grid.dims, volume.data())?;
        let frames = if axes.iter().all(Axis::is_identity) {
            // Cut off, not rounded, as the official program converts to u8.
            let level = |&v: &f32| {
                if config.keep_zeros && v == 0.0 { 0 } else { window.scale(v) as u8 }
            };
            fallible::collected(voxels.len(), voxels.iter().map(level))?
        } else {
            let level = |&v: &f32| {
                if config.keep_zeros && v == 0.0 { 0.0 } else { window.scale(v) as f32 }
            };
            let levels = fallible::collected(voxels.len(), voxels.iter().map(level))?;
            resample(&levels, &axes)?
        };
        let (mask_side, input_side) = (spec.mask_side(), spec.input_side);
        let (config, dims) = (config.clone(), ordered.dims);
        Ok(Self { config, grid, order, dims, axes, window, frames, mask_side, input_side })
    }

    /// Processed slices; with resampling not as many as the volume has.
    pub fn len(&self) -> usize {
        self.axes[2].frame
    }

    /// Always false: a volume has at least one slice.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The volume's own grid, which masks go back to.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The grid of the processed slices before they are made square: what resampling, cropping and
    /// padding made of the volume's own. Columns, rows and slices are its `i`, `j` and `k`; the
    /// middle of the volume stays where it is, up to half a pixel where a crop is uneven.
    pub fn frame_grid(&self) -> Grid {
        let own = self.order.grid(&self.grid);
        let first = own.affine.apply(self.axes.map(|a| a.place(0)));
        let mut affine = own.affine;
        for (row, mm) in affine.0.iter_mut().zip(first) {
            row.iter_mut().zip(self.axes).for_each(|(cell, axis)| *cell *= axis.step());
            row[3] = mm;
        }
        Grid { dims: self.axes.map(|a| a.frame), affine }
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
    pub(super) fn axes(&self) -> [Axis; 3] {
        self.axes
    }

    /// The intensities that became 0 and 255.
    pub fn window(&self) -> IntensityWindow {
        self.window
    }

    /// Side `M` of the masks that [`labels`](Self::labels) gives and [`restore`](Self::restore)
    /// takes.
    pub fn mask_side(&self) -> usize {
        self.mask_side
    }

    /// The `u8` pixels of processed slice `z` before it is made square, row by row.
    fn frame(&self, z: usize) -> Result<&[u8]> {
        let slice = self.axes[0].frame * self.axes[1].frame;
        let start = z.saturating_mul(slice);
        let missing = Error::SliceIndex { index: z, len: self.len() };
        self.frames.get(start..start.saturating_add(slice)).ok_or(missing)
    }

    /// The square image of processed slice `z`: `M × M`, or the side of the crop.
    ///
    /// # Errors
    /// [`Error::SliceIndex`] beyond the last slice.
    pub fn image(&self, z: usize) -> Result<SliceImage> {
        let frame = self.frame(z)?;
        Ok(match self.config.frame {
            Frame::MaskSide => {
                let side = self.mask_side;
                let [width, height, _] = self.axes.map(|a| a.frame);
                SliceImage { side, data: spline::resize(frame, height, width, side) }
            }
            Frame::Crop { side } => SliceImage { side, data: frame.to_vec() },
        })
    }

    /// The encoder's input for processed slice `z`: the image enlarged to `S` as SAM does, grey in
    /// all three channels, normalised, `[1, 3, S, S]` in `f32`.
    ///
    /// # Errors
    /// [`Error::SliceIndex`] beyond the last slice; or the device has no room.
    pub fn pixels(&self, z: usize, device: &Device) -> Result<Tensor> {
        self.image(z)?.pixels(self.input_side, device)
    }

    /// The same before it is normalised: levels `[1, 1, S, S]` of `u8` in the CPU's memory.
    pub(crate) fn enlarged(&self, z: usize) -> Result<Tensor> {
        self.image(z)?.enlarged(self.input_side)
    }

    /// The ground truth of every processed slice on the masks' grid, `M × M`: foreground is any
    /// label above zero, the nearest voxel decides (see [`LabelRule`]).
    ///
    /// # Errors
    /// [`Error::GridMismatch`] when the labels do not lie on the volume's grid: other dimensions,
    /// or a corner further away than half the smallest voxel side.
    pub fn labels(&self, labels: &LabelVolume) -> Result<Vec<BinaryMask>> {
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
                data.extend(columns.iter().map(|c| u8::from(label(c).unwrap_or(0) > 0)));
            }
            let frame = LabelFrame { height: rows.len(), width: columns.len(), data };
            let frame = match self.config.labels {
                LabelRule::Nearest => frame,
                LabelRule::Eroded => frame.eroded_for(self.mask_side),
            };
            masks.push(frame.stretched(self.mask_side)?);
        }
        Ok(masks)
    }

    /// All `u8` pixels before slices are made square, slice by slice, row by row: the volume itself
    /// in 256 levels where it is cut as stored and nothing is resampled or cropped.
    pub fn levels(&self) -> &[u8] {
        &self.frames
    }
}

/// The way along each axis from the volume to the frame.
pub(super) fn axes(config: &PreprocessConfig, grid: &Grid) -> Result<[Axis; 3]> {
    let spacing = grid.spacing();
    let refuse = |problem: String| Err(Error::Geometry { dims: grid.dims, spacing, problem });
    if grid.is_empty() {
        return refuse("it has no voxels".into());
    }
    let mut axes = grid.dims.map(Axis::identity);
    if let Some(target) = config.spacing_mm {
        let sizes = [0, 1, 2].map(|a| grid.dims[a] as f64 * spacing[a] / target[a]);
        if spacing.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            return refuse("its spacing cannot be resampled; mend the file's affine".into());
        }
        if sizes.iter().map(|s| s.max(1.0)).product::<f64>() > MOST_VOXELS {
            return refuse(format!(
                "resampled to {target:?} mm it would not fit; is the spacing in mm?"
            ));
        }
        axes = [0, 1, 2].map(|a| Axis::resampled(grid.dims[a], spacing[a], target[a]));
    }
    if let Frame::Crop { side } = config.frame {
        axes[0] = axes[0].cropped(side);
        axes[1] = axes[1].cropped(side);
    }
    let [width, height, depth] = axes.map(|a| a.frame as f64);
    if width * height * depth > MOST_VOXELS {
        return refuse(format!("{depth} slices of {width} × {height} pixels would not fit"));
    }
    Ok(axes)
}
