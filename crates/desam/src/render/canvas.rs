//! RGBA pictures in memory, and PNG encoding.

use crate::{Error, Result};

/// Largest picture, in pixels; more is taken for a mistake.
const MAX_PIXELS: usize = 1 << 26;

/// RGBA picture, row by row.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Canvas {
    /// A fully transparent picture.
    pub(super) fn transparent(width: usize, height: usize) -> Result<Self> {
        let size = width.checked_mul(height).filter(|s| (1..=MAX_PIXELS).contains(s));
        let Some(size) = size else {
            return Err(Error::Invalid(format!(
                "a picture of {width} × {height} pixels cannot be made; \
                 choose from 1 to {MAX_PIXELS} pixels in all"
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

    /// Quantises greys to 128 levels, an invisible change, so that they and the outlines' colours fit
    /// into one palette, and a noisy slice into half the bytes.
    pub(super) fn halve_greys(&mut self) {
        for pixel in self.data.as_chunks_mut::<4>().0 {
            if let [r, g, b, _] = pixel
                && r == g
                && g == b
            {
                let grey = *r & !1;
                (*r, *g, *b) = (grey, grey, grey);
            }
        }
    }

    /// Red, green and blue of every pixel, row by row.
    #[cfg(feature = "image")]
    pub(super) fn rgb(&self) -> Vec<u8> {
        self.data.as_chunks::<4>().0.iter().flat_map(|p| [p[0], p[1], p[2]]).collect()
    }

    /// The distinct colours in ascending order, if the picture is opaque and a palette can hold them.
    fn palette(&self) -> Option<Vec<[u8; 3]>> {
        let mut colours = std::collections::BTreeSet::new();
        for [r, g, b, opacity] in self.data.as_chunks::<4>().0 {
            colours.insert([*r, *g, *b]);
            if *opacity != 255 || colours.len() > 256 {
                return None;
            }
        }
        Some(colours.into_iter().collect())
    }

    /// Encodes the picture as a PNG file, as small as possible: with a palette if 256 colours are
    /// enough, without an alpha channel if all is opaque.
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
        if let Some(palette) = self.palette() {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette.concat());
            // A palette of at most 256 colours holds every one of the picture's.
            let index = |p: &[u8; 4]| palette.partition_point(|c| c[..] < p[..3]) as u8;
            let indices: Vec<u8> = pixels.iter().map(index).collect();
            let mut writer = encoder.write_header().map_err(failed)?;
            writer.write_image_data(&indices).map_err(failed)?;
            writer.finish().map_err(failed)?;
            return Ok(out);
        }
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
    fn absurd_sizes_are_refused() {
        for (width, height) in [(0, 4), (4, 0), (usize::MAX, 2), (1 << 20, 1 << 20)] {
            assert!(Canvas::transparent(width, height).is_err(), "{width} × {height}");
        }
    }

    /// Red, green and blue of every pixel of a PNG.
    fn decoded(png: &[u8]) -> Vec<u8> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let size = reader.next_frame(&mut data).unwrap().buffer_size();
        data.truncate(size);
        data
    }

    #[test]
    fn a_palette_holds_what_was_drawn() {
        // All greys and two colours are 258; half of the greys and both fit.
        let mut canvas = Canvas::transparent(20, 13).unwrap();
        for n in 0..260 {
            let grey = [(n % 256) as u8; 3];
            canvas.set(n % 20, n / 20, if n == 77 { [255, 165, 0] } else { grey });
        }
        canvas.set(0, 0, [30, 144, 255]);
        let rgb = |c: &Canvas| -> Vec<u8> {
            c.data.as_chunks::<4>().0.iter().flat_map(|p| [p[0], p[1], p[2]]).collect()
        };
        assert!(canvas.palette().is_none());
        assert_eq!(decoded(&canvas.png().unwrap()), rgb(&canvas));
        let before = canvas.clone();
        canvas.halve_greys();
        assert_eq!(canvas.palette().unwrap().len(), 128 + 2);
        assert_eq!(decoded(&canvas.png().unwrap()), rgb(&canvas));
        let apart = before.data.iter().zip(&canvas.data).map(|(a, b)| a.abs_diff(*b)).max();
        assert_eq!(apart, Some(1));
        assert_eq!(canvas.data[4 * 77..4 * 77 + 3], [255, 165, 0]);
    }

    #[test]
    fn fewer_greys_are_fewer_bytes() {
        // Noise, as scans have: 128 greys in a palette are 7 bits a pixel, 256 in three channels 8.
        let mut canvas = Canvas::transparent(96, 96).unwrap();
        let mut state = 1_u32;
        for n in 0..96 * 96 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            canvas.set(n % 96, n / 96, [(state >> 24) as u8; 3]);
        }
        canvas.set(0, 0, [255, 165, 0]);
        let before = canvas.png().unwrap().len();
        canvas.halve_greys();
        let after = canvas.png().unwrap().len();
        assert!(9 * after < 8 * before, "{before} to {after} bytes");
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
