//! The encoder's input image of one slice.

use super::enlarge;
use crate::Result;
use candle_core::{DType, Device, Tensor};

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
        normalised(&self.enlarged(side)?, device)
    }

    /// Enlarged to side `S`: levels `[1, 1, S, S]` of `u8` in the CPU's memory.
    pub(crate) fn enlarged(&self, side: usize) -> Result<Tensor> {
        let large = enlarge::resize(&self.data, self.side, side);
        Ok(Tensor::from_vec(large, (1, 1, side, side), &Device::Cpu)?)
    }
}

/// Levels `[B, 1, S, S]` of the CPU's memory as the encoder's input `[B, 3, S, S]` on `device`. Another
/// device gets the levels, a twelfth of the bytes, and does the same to them.
pub(crate) fn normalised(levels: &Tensor, device: &Device) -> Result<Tensor> {
    if !device.is_cpu() {
        return elsewhere(levels, device);
    }
    let (images, _, height, width) = levels.dims4()?;
    let levels = levels.flatten_all()?.to_vec1::<u8>()?;
    let tables = CHANNELS.map(|(mean, deviation)| {
        std::array::from_fn::<f32, 256, _>(|v| (v as f32 - mean) / deviation)
    });
    let mut values = Vec::with_capacity(3 * levels.len());
    for image in levels.chunks_exact((height * width).max(1)) {
        for table in &tables {
            values.extend(image.iter().map(|&v| table[usize::from(v)]));
        }
    }
    Ok(Tensor::from_vec(values, (images, 3, height, width), device)?)
}

fn elsewhere(levels: &Tensor, device: &Device) -> Result<Tensor> {
    let channel = |values: [f32; 3]| Tensor::new(&values, device)?.reshape((1, 3, 1, 1));
    let mean = channel(CHANNELS.map(|(mean, _)| mean))?;
    let deviation = channel(CHANNELS.map(|(_, deviation)| deviation))?;
    let levels = levels.to_device(device)?.to_dtype(DType::F32)?;
    Ok(levels.broadcast_sub(&mean)?.broadcast_div(&deviation)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_device_does_the_same_to_every_level() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        let levels = Tensor::from_vec(all, (2, 1, 16, 16), &Device::Cpu).unwrap();
        let bits = |t: Tensor| -> Vec<u32> {
            assert_eq!(t.dims(), [2, 3, 16, 16]);
            let values = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        let here = bits(normalised(&levels, &Device::Cpu).unwrap());
        assert_eq!(bits(elsewhere(&levels, &Device::Cpu).unwrap()), here);
        // Level 5 of the first image in red, of the second in blue.
        assert_eq!(here[5], ((5.0 - 123.675f32) / 58.395).to_bits());
        assert_eq!(here[256 * 5 + 250], ((5.0 - 103.53f32) / 57.375).to_bits());
    }
}
