//! The encoder's input image of one slice.

use super::enlarge;
use crate::Result;
use candle_core::{DType, Device, Tensor};

/// SAM's normalisation: mean and standard deviation of red, green and blue, on 0..255.
const CHANNELS: [(f32, f32); 3] = [(123.675, 58.395), (116.28, 57.12), (103.53, 57.375)];

/// A square `u8` image of one processed slice, grey or in colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceImage {
    /// Rows, and columns.
    pub side: usize,
    /// Pixels, row by row: `side²` grey ones; or those of red, then of green, then of blue.
    pub data: Vec<u8>,
}

impl SliceImage {
    /// Pixels of each channel: one channel of grey, or red, green and blue.
    pub fn channels(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.data.chunks_exact(self.side.saturating_mul(self.side).max(1))
    }

    /// The encoder's input: enlarged to side `S` as SAM does, grey in all three channels or colour in its
    /// own, normalised, `[1, 3, S, S]` in `f32`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn pixels(&self, side: usize, device: &Device) -> Result<Tensor> {
        normalised(&self.enlarged(side)?, device)
    }

    /// Enlarged to side `S`: levels `[1, C, S, S]` of `u8` in the CPU's memory, `C` being 1 or 3.
    pub(crate) fn enlarged(&self, side: usize) -> Result<Tensor> {
        let large = self.channels().map(|channel| enlarge::resize(channel, self.side, side));
        let (channels, large) = (self.channels().len(), large.collect::<Vec<_>>().concat());
        Ok(Tensor::from_vec(large, (1, channels, side, side), &Device::Cpu)?)
    }
}

/// Levels `[B, C, S, S]` of the CPU's memory, grey or in colour, as the encoder's input `[B, 3, S, S]` on
/// `device`. Another device gets the levels, a twelfth of the bytes of grey, and does the same to them.
pub(crate) fn normalised(levels: &Tensor, device: &Device) -> Result<Tensor> {
    if !device.is_cpu() {
        return elsewhere(levels, device);
    }
    let (images, channels, height, width) = levels.dims4()?;
    let levels = levels.flatten_all()?.to_vec1::<u8>()?;
    let tables = CHANNELS.map(|(mean, deviation)| {
        std::array::from_fn::<f32, 256, _>(|v| (v as f32 - mean) / deviation)
    });
    let mut values = Vec::with_capacity(3 * images * height * width);
    let plane = (height * width).max(1);
    for image in levels.chunks_exact(channels.max(1) * plane) {
        // Grey is the channel of all three colours.
        for (table, channel) in tables.iter().zip(image.chunks_exact(plane).cycle()) {
            values.extend(channel.iter().map(|&v| table[usize::from(v)]));
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
    fn colours_have_channels_of_their_own() {
        let image = SliceImage { side: 1, data: vec![10, 20, 30] };
        let found = image.pixels(1, &Device::Cpu).unwrap().flatten_all().unwrap();
        let expected = [(10.0, CHANNELS[0]), (20.0, CHANNELS[1]), (30.0, CHANNELS[2])];
        let expected = expected.map(|(v, (mean, deviation)): (f32, _)| (v - mean) / deviation);
        assert_eq!(found.to_vec1::<f32>().unwrap(), expected);
        let two =
            Tensor::from_vec(vec![10_u8, 20, 30, 1, 2, 3], (2, 3, 1, 1), &Device::Cpu).unwrap();
        let values = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let here = values(normalised(&two, &Device::Cpu).unwrap());
        assert_eq!(here[..3], expected);
        assert_eq!(values(elsewhere(&two, &Device::Cpu).unwrap()), here);
    }

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
