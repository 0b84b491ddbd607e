//! A picture in memory, and its way into a PNG.

use crate::{Error, Result};

/// Widest and highest picture that is made; beyond it a size is taken for a mistake.
const MOST_PIXELS: usize = 1 << 26;

/// Red, green, blue and opacity, row by row.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Canvas {
    /// A picture in which nothing is to be seen.
    pub(super) fn transparent(width: usize, height: usize) -> Result<Self> {
        let size = width.checked_mul(height).filter(|s| (1..=MOST_PIXELS).contains(s));
        let Some(size) = size else {
            return Err(Error::Invalid(format!(
                "a picture of {width} × {height} pixels cannot be made; \
                 choose from 1 to {MOST_PIXELS} pixels in all"
            )));
        };
        Ok(Self { width, height, data: vec![0; 4 * size] })
    }

    /// Sets one pixel, opaque; outside the picture nothing happens.
    pub(super) fn set(&mut self, x: usize, y: usize, [r, g, b]: [u8; 3]) {
        let start = if x < self.width { 4 * (y * self.width + x) } else { usize::MAX - 4 };
        if let Some(pixel) = self.data.get_mut(start..start + 4) {
            pixel.copy_from_slice(&[r, g, b, 255]);
        }
    }

    /// The picture as a PNG file; without an opacity channel where all is opaque.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let failed = |e: png::EncodingError| Error::Invalid(format!("no PNG: {e}"));
        let side = |n: usize| {
            u32::try_from(n).map_err(|_| Error::Invalid(format!("no PNG: a side of {n} pixels")))
        };
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, side(self.width)?, side(self.height)?);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let (pixels, _) = self.data.as_chunks::<4>();
        let opaque = pixels.iter().all(|p| p[3] == 255);
        encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
        let mut writer = encoder.write_header().map_err(failed)?;
        if opaque {
            let rgb: Vec<u8> = pixels.iter().flat_map(|p| [p[0], p[1], p[2]]).collect();
            writer.write_image_data(&rgb).map_err(failed)?;
        } else {
            writer.write_image_data(&self.data).map_err(failed)?;
        }
        writer.finish().map_err(failed)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_out_of_reason_are_refused() {
        for (width, height) in [(0, 4), (4, 0), (usize::MAX, 2), (1 << 20, 1 << 20)] {
            assert!(Canvas::transparent(width, height).is_err(), "{width} × {height}");
        }
    }

    #[test]
    fn pixels_outside_change_nothing() {
        let mut canvas = Canvas::transparent(2, 2).unwrap();
        let before = canvas.data.clone();
        for (x, y) in [(2, 0), (0, 2), (usize::MAX, 0)] {
            canvas.set(x, y, [9, 9, 9]);
        }
        assert_eq!(canvas.data, before);
        canvas.set(1, 0, [1, 2, 3]);
        assert_eq!(canvas.data[4..8], [1, 2, 3, 255]);
    }
}
