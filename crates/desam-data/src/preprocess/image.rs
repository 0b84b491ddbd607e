//! One slice as the encoder is to see it.

use super::enlarge;
use crate::Result;
use candle_core::{Device, Tensor};

/// SAM's normalisation: mean and standard deviation of red, green and blue, on 0..255.
const CHANNELS: [(f32, f32); 3] = [(123.675, 58.395), (116.28, 57.12), (103.53, 57.375)];

/// A square `u8` image of one processed slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceImage {
    /// Rows, and columns.
    pub side: usize,
    /// Pixels, row by row.
    pub data: Vec<u8>,
}

impl SliceImage {
    /// The encoder's input: enlarged to side `S` as SAM does, grey in all three channels, normalised,
    /// `[1, 3, S, S]` in `f32`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn pixels(&self, side: usize, device: &Device) -> Result<Tensor> {
        let large = enlarge::resize(&self.data, self.side, side);
        let mut values = Vec::with_capacity(3 * large.len());
        for (mean, deviation) in CHANNELS {
            let table: [f32; 256] = std::array::from_fn(|v| (v as f32 - mean) / deviation);
            values.extend(large.iter().map(|&v| table[usize::from(v)]));
        }
        Ok(Tensor::from_vec(values, (1, 3, side, side), device)?)
    }
}
