//! A preprocessed volume.

use super::axis::AxisMapping;
use super::config::{Frame, PreprocessConfig};
use super::resample::resample;
use super::slice_geometry::SliceGeometry;
use super::{IntensityHistogram, IntensityWindow, MatchingTable, SliceImage, plausibility, spline};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use desam_core::{EncoderSpec, Grid, LabelMask, LabelVolume, Volume};
use desam_volume::fallible;

/// Maximum side of an input or a mask; a larger specification must be wrong.
const LARGEST_SIDE: usize = 1 << 14;

/// A preprocessed volume whose slices can be encoded, with the mapping back to its own grid. Holds one
/// byte a processed pixel; images are computed on demand.
#[derive(Debug, Clone)]
pub struct PreparedVolume {
    frame: Frame,
    geometry: SliceGeometry,
    window: IntensityWindow,
    /// Of the only channel, or of red, then of green, then of blue.
    frames: Vec<u8>,
    channels: usize,
    in_pixels: bool,
    input_side: usize,
    /// What the levels of images are mapped by, once they are matched to a source's.
    matching: Option<MatchingTable>,
    warnings: Vec<String>,
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
        let geometry = SliceGeometry::new(config, volume.grid(), spec.mask_side())?;
        let (window, frames, channels) = match volume.color() {
            None => {
                let window = IntensityWindow::of(volume, config.percentiles)?;
                (window, grey_frames(config, &geometry, window, volume)?, 1)
            }
            Some(color) => {
                let window = IntensityWindow::of_color(volume)?;
                let mut frames = Vec::new();
                for channel in color {
                    frames.append(&mut color_frames(&geometry, channel)?);
                }
                (window, frames, color.len())
            }
        };
        let (frame, input_side) = (config.frame, spec.input_side);
        let warnings = plausibility::warnings(config, volume, window);
        let in_pixels = volume.is_in_pixels();
        Ok(Self {
            frame,
            geometry,
            window,
            frames,
            channels,
            in_pixels,
            input_side,
            matching: None,
            warnings,
        })
    }

    /// Processed slices; with resampling not as many as the volume has.
    pub fn len(&self) -> usize {
        self.geometry.len()
    }

    /// Always false: a volume has at least one slice.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The volume's own grid, which masks go back to.
    pub fn grid(&self) -> &Grid {
        self.geometry.grid()
    }

    /// Spacing of the volume along the columns, rows and slices that it is cut into, in mm, before it is
    /// resampled.
    pub fn slice_spacing(&self) -> [f64; 3] {
        self.geometry.order().grid(self.grid()).spacing()
    }

    /// The grid of the processed slices before they are made square: what resampling, cropping and
    /// padding made of the volume's own. Columns, rows and slices are its `i`, `j` and `k`; the
    /// middle of the volume stays where it is, up to half a pixel where a crop is uneven.
    pub fn frame_grid(&self) -> Grid {
        self.geometry.frame_grid()
    }

    /// Geometry of its slices and masks.
    pub(super) fn geometry(&self) -> &SliceGeometry {
        &self.geometry
    }

    /// Warnings about this volume, a sentence each, without its name.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the volume is an image of pixels, without millimetres.
    pub fn is_in_pixels(&self) -> bool {
        self.in_pixels
    }

    /// The intensities that became 0 and 255; 0 and 255 themselves of colour.
    pub fn window(&self) -> IntensityWindow {
        self.window
    }

    /// Side `M` of the masks that [`labels`](Self::labels) gives and [`restore`](Self::restore)
    /// takes.
    pub fn mask_side(&self) -> usize {
        self.geometry.mask_side()
    }

    /// The `u8` pixels of processed slice `z` before it is made square, row by row: those of its only
    /// channel, or of red, green and blue.
    fn frame(&self, z: usize) -> Result<Vec<&[u8]>> {
        let [width, height, slices] = self.geometry.axes().map(|a| a.frame);
        let slice = width * height;
        let channel = |c: usize| {
            let start = c.saturating_mul(slices).saturating_add(z).saturating_mul(slice);
            self.frames.get(start..start.saturating_add(slice))
        };
        let missing = Error::SliceIndex { index: z, len: self.len() };
        let frames = (z < slices).then(|| (0..self.channels).map(channel).collect());
        frames.flatten().ok_or(missing)
    }

    /// Matches the levels of all images to those of training volumes, by the histogram of this whole
    /// volume ([`MatchingTable`]). [`image`](Self::image) and the encoder's input are the matched ones from
    /// here on.
    ///
    /// # Errors
    /// [`Error::ColorHistogram`] for a volume in colour.
    pub fn with_intensities_of(mut self, source: &IntensityHistogram) -> Result<Self> {
        let images = (0..self.len()).map(|z| self.square(z));
        let own = IntensityHistogram::of(images)?;
        self.matching = Some(MatchingTable::new(&own, source));
        Ok(self)
    }

    /// The square image of processed slice `z`: `M × M`, `S × S`, or the side of the crop.
    ///
    /// # Errors
    /// [`Error::SliceIndex`] beyond the last slice.
    pub fn image(&self, z: usize) -> Result<SliceImage> {
        let mut image = self.square(z)?;
        if let Some(table) = &self.matching {
            table.apply(&mut image);
        }
        Ok(image)
    }

    /// The square image before its levels are matched.
    fn square(&self, z: usize) -> Result<SliceImage> {
        let channels = self.frame(z)?;
        let side = match self.frame {
            Frame::MaskSide => self.mask_side(),
            Frame::InputSide => self.input_side,
            Frame::Crop { side } => return Ok(SliceImage { side, data: channels.concat() }),
        };
        let [width, height, _] = self.geometry.axes().map(|a| a.frame);
        let square = channels.into_iter().map(|c| spline::resize(c, height, width, side));
        Ok(SliceImage { side, data: square.collect::<Vec<_>>().concat() })
    }

    /// The encoder's input for processed slice `z`: the image enlarged to `S` as SAM does, grey in
    /// all three channels or colour in its own, normalised, `[1, 3, S, S]` in `f32`.
    ///
    /// # Errors
    /// [`Error::SliceIndex`] beyond the last slice; or the device has no room.
    pub fn pixels(&self, z: usize, device: &Device) -> Result<Tensor> {
        self.image(z)?.pixels(self.input_side, device)
    }

    /// The encoder's input before normalisation: levels `[1, C, S, S]` of `u8` in the CPU's memory.
    pub(crate) fn enlarged(&self, z: usize) -> Result<Tensor> {
        self.image(z)?.enlarged(self.input_side)
    }

    /// The ground truth of every processed slice on the masks' grid, `M × M`: labels, the nearest voxel
    /// decides (see [`LabelRule`](super::LabelRule)).
    ///
    /// # Errors
    /// [`GridMismatch`](desam_volume::Error::GridMismatch) when the labels do not lie on the volume's grid: other dimensions,
    /// or a corner further away than half the smallest voxel side.
    pub fn labels(&self, labels: &LabelVolume) -> Result<Vec<LabelMask>> {
        self.geometry.labels(labels)
    }

    /// Side `S` of the encoder's input, in pixels.
    pub fn input_side(&self) -> usize {
        self.input_side
    }

    /// All `u8` pixels before slices are made square, slice by slice, row by row: the volume itself
    /// in 256 levels where it is cut as stored and nothing is resampled or cropped. Of colour all slices
    /// of red, then those of green and blue.
    pub fn levels(&self) -> &[u8] {
        &self.frames
    }
}

/// The frames of a volume's intensities, clipped to a window.
fn grey_frames(
    config: &PreprocessConfig,
    geometry: &SliceGeometry,
    window: IntensityWindow,
    volume: &Volume,
) -> Result<Vec<u8>> {
    let axes = geometry.axes();
    let voxels = geometry.order().apply(volume.grid().dims, volume.data())?;
    if axes.iter().all(AxisMapping::is_identity) {
        // Truncated, not rounded, as the official program converts to u8.
        let level =
            |&v: &f32| if config.keep_zeros && v == 0.0 { 0 } else { window.scale(v) as u8 };
        return Ok(fallible::collected(voxels.len(), voxels.iter().map(level))?);
    }
    let level = |&v: &f32| if config.keep_zeros && v == 0.0 { 0.0 } else { window.scale(v) as f32 };
    let levels = fallible::collected(voxels.len(), voxels.iter().map(level))?;
    resample(&levels, &axes)
}

/// The frames of a channel of colour, whose levels are rounded where they have decimals.
fn color_frames(geometry: &SliceGeometry, channel: &[f32]) -> Result<Vec<u8>> {
    let axes = geometry.axes();
    let levels = geometry.order().apply(geometry.grid().dims, channel)?;
    if axes.iter().all(AxisMapping::is_identity) {
        return Ok(fallible::collected(levels.len(), levels.iter().map(|v| (v + 0.5) as u8))?);
    }
    resample(&levels, &axes)
}
