//! One slice of a volume as it is stored: its pixels mapped to the encoder's input, and masks
//! mapped back.

use super::axis::AxisMapping;
use super::linear::bilinear;
use super::prepared::PreparedVolume;
use super::restore::{linear, nearest};
use crate::{Error, Result};
use desam_core::{BinaryMask, Error as CoreError};

/// Geometry of a slice as its volume is stored: orientation, resampling and crop.
///
/// Its columns `x` and rows `y` are the two stored axes that slices are not cut along, the lower one
/// first: of a volume that is cut along `k`, `x` is `i` and `y` is `j`, and the pixels are those of
/// [`Volume::slice`](desam_core::Volume::slice). Coordinates are pixel indices: 0 is the centre of
/// the first pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSlice {
    index: usize,
    processed: usize,
    /// Pixels along `x` and `y`.
    size: [usize; 2],
    /// Columns and rows of the frame, the image that preprocessing makes of the slice.
    frame: [FrameAxis; 2],
    /// Position of each column and row of the slice in a plane of `mask_side` pixels a side.
    mask_places: [Vec<Option<f64>>; 2],
    input_side: usize,
    mask_side: usize,
}

/// An axis of the frame, and the stored axis that it is resampled from.
#[derive(Debug, Clone, Copy, PartialEq)]
struct FrameAxis {
    axis: AxisMapping,
    /// 0 for `x`, 1 for `y`.
    stored: usize,
    flipped: bool,
}

impl FrameAxis {
    /// Position along the ordered axis of a coordinate along the stored one.
    fn ordered(&self, stored: f64) -> f64 {
        if self.flipped { self.axis.source as f64 - 1.0 - stored } else { stored }
    }
}

/// A position in the encoder's input.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct InputPosition {
    /// Column and row in input pixels, in SAM's convention for prompts: the pixel index in the frame
    /// times the ratio of the sides.
    pub input: [f64; 2],
    /// Whether the position lies in the frame; `false` where the crop cuts it off.
    pub in_frame: bool,
}

impl PreparedVolume {
    /// Stored slice `index`, counted from 0 along [`slice_axis`](Self::slice_axis).
    ///
    /// # Errors
    /// [`Error::SliceIndex`] beyond the last slice.
    pub fn stored_slice(&self, index: usize) -> Result<StoredSlice> {
        let geometry = self.geometry();
        let dims = self.grid().dims;
        let [columns, rows, slices] = geometry.order().stored_axes();
        let [columns_flipped, rows_flipped, slices_flipped] = geometry.order().flips();
        let len = dims[slices];
        let missing = || Error::SliceIndex { index, len };
        if index >= len {
            return Err(missing());
        }
        let ordered = if slices_flipped { len - 1 - index } else { index };
        let processed = geometry.processed(ordered).ok_or_else(missing)?;
        let [column_axis, row_axis, _] = geometry.axes();
        Ok(StoredSlice {
            index,
            processed,
            size: [dims[columns.min(rows)], dims[columns.max(rows)]],
            frame: [
                FrameAxis {
                    axis: column_axis,
                    stored: usize::from(columns > rows),
                    flipped: columns_flipped,
                },
                FrameAxis {
                    axis: row_axis,
                    stored: usize::from(rows > columns),
                    flipped: rows_flipped,
                },
            ],
            mask_places: geometry.places(self.mask_side()),
            input_side: self.input_side(),
            mask_side: self.mask_side(),
        })
    }
}

impl StoredSlice {
    /// The slice, counted from 0 as the volume is stored.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The processed slice whose prediction this slice takes: the nearest one.
    pub fn processed(&self) -> usize {
        self.processed
    }

    /// Pixels along `x`.
    pub fn width(&self) -> usize {
        self.size[0]
    }

    /// Pixels along `y`.
    pub fn height(&self) -> usize {
        self.size[1]
    }

    /// Maps a position from pixels `[x, y]` of the slice to the encoder's input.
    pub fn to_input(&self, pixel: [f64; 2]) -> InputPosition {
        let along = self.frame.map(|f| {
            let ordered = f.ordered(pixel[f.stored]);
            let scale = self.input_side as f64 / f.axis.frame as f64;
            (f.axis.frame_coordinate(ordered) * scale, f.axis.to_frame_at(ordered).is_some())
        });
        InputPosition { input: along.map(|a| a.0), in_frame: along.iter().all(|a| a.1) }
    }

    /// Maps a position from the edges of the slice's pixels, 0 being the first pixel's outer edge and
    /// [`width`](Self::width) the last one's, to the encoder's input. An uncropped slice is the whole input
    /// in any orientation, up to the rounding of its size where it is resampled.
    pub fn edge_to_input(&self, edge: [f64; 2]) -> [f64; 2] {
        self.frame.map(|f| {
            let along = edge[f.stored];
            let ordered = if f.flipped { f.axis.source as f64 - along } else { along };
            let scale = self.input_side as f64 / f.axis.frame as f64;
            (f.axis.frame_edge(ordered)) * scale
        })
    }

    /// The mask of a processed slice, `M × M`, on this slice's pixels: each takes the nearest mask
    /// pixel, and is background where the crop cuts it off. The same pixels as those of
    /// [`PreparedVolume::restore`].
    ///
    /// # Errors
    /// When the mask is not `M × M`.
    pub fn restore(&self, mask: &BinaryMask) -> Result<BinaryMask> {
        let side = self.mask_side;
        let found = (mask.height(), mask.width());
        if found != (side, side) {
            return Err(CoreError::shape("mask to restore", (side, side), found).into());
        }
        let pixels = self
            .pixels(|column, row| u8::from(mask.get(nearest(row, side), nearest(column, side))));
        Ok(BinaryMask::new(self.height(), self.width(), pixels)?)
    }

    /// A map of a processed slice, `M × M` numbers row by row, on this slice's pixels, linearly
    /// interpolated; 0 where the crop cuts a pixel off.
    ///
    /// # Errors
    /// When there are not `M × M` numbers.
    pub fn interpolate(&self, map: &[f32]) -> Result<Vec<f32>> {
        let side = self.mask_side;
        if map.len() != side * side {
            return Err(CoreError::shape("map to restore", side * side, map.len()).into());
        }
        Ok(self.pixels(|column, row| bilinear(map, side, linear(column, side), linear(row, side))))
    }

    /// A value for each pixel, row by row, from its place on the mask plane, in mask pixels from the
    /// plane's edge; the default where the crop cuts the pixel off.
    fn pixels<T: Default>(&self, value: impl Fn(f64, f64) -> T) -> Vec<T> {
        let place = |frame: usize, pixel: [usize; 2]| {
            let axis = &self.frame[frame];
            let stored = pixel[axis.stored];
            let ordered =
                if axis.flipped { axis.axis.source.checked_sub(stored + 1)? } else { stored };
            self.mask_places[frame].get(ordered).copied().flatten()
        };
        let [width, height] = self.size;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| [x, y]));
        pixels
            .map(|pixel| {
                place(0, pixel).zip(place(1, pixel)).map_or_else(T::default, |(c, r)| value(c, r))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{Frame, PreprocessConfig};
    use desam_core::{Affine, EncoderSpec, Grid, LabelMask, Volume};

    /// Masks of 16 pixels.
    fn spec() -> EncoderSpec {
        EncoderSpec { input_side: 64, patch: 16, tap_channels: vec![8; 3], embedding_channels: 8 }
    }

    /// Stored sagittally and flipped (i to the front, j to the head, k to the right), stored axially
    /// as scanners do, and tilted.
    fn affines() -> [Affine; 3] {
        [
            Affine([[0.0, 0.0, 0.9, 0.0], [1.1, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0]]),
            Affine([[-0.7, 0.0, 0.0, 9.0], [0.0, -0.8, 0.0, 8.0], [0.0, 0.0, 2.5, 7.0]]),
            Affine([[0.7, 0.0, 0.0, 9.0], [0.0, -0.8, -0.6, 8.0], [0.0, -0.2, 2.5, 7.0]]),
        ]
    }

    fn prepared(affine: Affine, crop: usize) -> PreparedVolume {
        let grid = Grid { dims: [20, 18, 16], affine };
        let values = (0..grid.len()).map(|v| (v * 31 % 101) as f32).collect();
        let config = PreprocessConfig {
            spacing_mm: Some([0.9, 0.9, 3.0]),
            frame: Frame::Crop { side: crop },
            ..PreprocessConfig::paper()
        };
        config.prepare(&Volume::new(grid, values).unwrap(), &spec()).unwrap()
    }

    #[test]
    fn an_uncropped_slice_is_the_whole_input_in_any_orientation() {
        for affine in affines() {
            for spacing_mm in [None, Some([0.9, 0.9, 3.0])] {
                let grid = Grid { dims: [12, 14, 9], affine };
                let values = (0..grid.len()).map(|v| v as f32).collect();
                let config = PreprocessConfig {
                    spacing_mm,
                    frame: Frame::MaskSide,
                    ..PreprocessConfig::paper()
                };
                let volume = Volume::new(grid, values).unwrap();
                let prepared = config.prepare(&volume, &spec()).unwrap();
                let slice = prepared.stored_slice(1).unwrap();
                let far = [slice.width() as f64, slice.height() as f64];
                let [a, b] = [slice.edge_to_input([0.0; 2]), slice.edge_to_input(far)];
                // Half a pixel of the resampled slice at each end.
                let limit = if spacing_mm.is_some() { 64.0 / 2.0 / 5.0 } else { 1e-9 };
                for (a, b) in a.into_iter().zip(b) {
                    let (low, high) = (a.min(b), a.max(b));
                    assert!(low.abs() <= limit && (high - 64.0).abs() <= limit, "{low} {high}");
                }
            }
        }
    }

    #[test]
    fn a_slice_restores_as_its_volume_does() {
        for affine in affines() {
            for crop in [10, 30] {
                let prepared = prepared(affine, crop);
                // Another pattern on every processed slice.
                let mask = |z: usize| {
                    let data = (0..256).map(|at| u8::from((at * 7 + z * 13) % 5 < 2)).collect();
                    BinaryMask::new(16, 16, data).unwrap()
                };
                let masks: Vec<BinaryMask> = (0..prepared.len()).map(mask).collect();
                let labels: Vec<LabelMask> = masks.iter().cloned().map(LabelMask::from).collect();
                let whole = prepared.restore(&labels).unwrap();
                let dims = prepared.grid().dims;
                for index in 0..dims[prepared.slice_axis()] {
                    let slice = prepared.stored_slice(index).unwrap();
                    let found = slice.restore(&masks[slice.processed()]).unwrap();
                    for y in 0..slice.height() {
                        for x in 0..slice.width() {
                            let [i, j, k] = match prepared.slice_axis() {
                                0 => [index, x, y],
                                1 => [x, index, y],
                                _ => [x, y, index],
                            };
                            let expected = whole.data()[(k * dims[1] + j) * dims[0] + i] == 1;
                            assert_eq!(found.get(y, x), expected, "{affine:?} {index} {x} {y}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_point_lands_within_a_pixel_of_where_its_voxel_is() {
        for affine in affines() {
            for crop in [10, 30] {
                let prepared = prepared(affine, crop);
                let frame = prepared.frame_grid();
                let to_frame = frame.affine.inverse().unwrap();
                let slice = prepared.stored_slice(3).unwrap();
                let mut cut_off = 0;
                for (x, y) in [(0, 0), (5, 9), (15, 2), (9, 9)] {
                    let voxel = match prepared.slice_axis() {
                        0 => [3, x, y],
                        1 => [x, 3, y],
                        _ => [x, y, 3],
                    };
                    let mm = prepared.grid().affine.apply(voxel.map(f64::from));
                    // By way of millimetres.
                    let expected = to_frame.apply(mm);
                    let found = slice.to_input([f64::from(x), f64::from(y)]);
                    for ((input, side), expected) in
                        found.input.iter().zip(frame.dims).zip(expected)
                    {
                        let pixel = input / 64.0 * side as f64;
                        // The middle of an uneven crop is half a pixel off.
                        assert!((pixel - expected).abs() < 1.0, "{affine:?} {x} {y}");
                    }
                    cut_off += usize::from(!found.in_frame);
                }
                assert_eq!(cut_off > 0, crop == 10, "{affine:?}");
            }
        }
    }

    #[test]
    fn maps_are_linear_and_wrong_sizes_are_refused() {
        let prepared = prepared(affines()[1], 30);
        let slice = prepared.stored_slice(0).unwrap();
        let flat = slice.interpolate(&[0.25; 256]).unwrap();
        assert!(flat.iter().all(|v| *v == 0.25) && flat.len() == 20 * 18);
        assert!(slice.interpolate(&[0.25; 255]).is_err());
        assert!(slice.restore(&BinaryMask::empty(15, 16)).is_err());
        assert!(prepared.stored_slice(16).is_err());
    }
}
