//! Palettes of masks: the indices are the labels, whatever colours they are shown in.

use super::decode::DecodedImage;
use crate::format::VolumeFormat;
use crate::{Error, Result, fallible};
use image::codecs::bmp::BmpDecoder;
use image::{DynamicImage, GrayImage};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;

/// A color of 8 bits a channel.
type Color = [u8; 3];

const BLACK: Color = [0; 3];

/// An image as indices into its palette.
struct IndexedImage {
    colors: Vec<Color>,
    indices: GrayImage,
}

/// The labels of a mask that a file stores as indices into a palette of colours, as `decoded` lies. `None` where
/// there is no palette, and of one of greys: programs that make files smaller store grey values so, in any
/// order.
///
/// # Errors
/// [`Error::Image`] when the labels are not clear: another index than 0 is black, or two grey values are
/// the same.
pub(super) fn labels(
    path: &Path,
    bytes: &[u8],
    decoded: &DecodedImage,
) -> Result<Option<GrayImage>> {
    let found = match decoded.format {
        VolumeFormat::Png => of_png(bytes)?,
        VolumeFormat::Bmp => of_bmp(bytes, &decoded.image),
        _ => None,
    };
    let Some(IndexedImage { colors, indices }) = found else { return Ok(None) };
    let used: BTreeSet<u8> = indices.iter().copied().collect();
    let color = |index: u8| colors.get(usize::from(index)).copied();
    let refuse = |problem: String| {
        let remedy = "save the mask as grey levels, one for each label";
        Err(Error::Image { path: path.to_path_buf(), problem: format!("{problem}; {remedy}") })
    };
    if colors.iter().all(|[r, g, b]| r == g && g == b) {
        let distinct: BTreeSet<Color> = used.iter().filter_map(|index| color(*index)).collect();
        if distinct.len() < used.len() {
            return refuse(format!(
                "its palette shows {} labels in {} grey values",
                used.len(),
                distinct.len()
            ));
        }
        return Ok(None);
    }
    let black = used.iter().find(|index| **index > 0 && color(**index) == Some(BLACK));
    if let (Some(index), true) = (black, color(0) != Some(BLACK)) {
        return refuse(format!(
            "index {index} of its palette is black and index 0 is not, so that indices are not labels"
        ));
    }
    if decoded.format == VolumeFormat::Bmp {
        // They were looked up in the image, which is turned already.
        return Ok(Some(indices));
    }
    let mut indices = DynamicImage::ImageLuma8(indices);
    indices.apply_orientation(decoded.orientation);
    Ok(Some(indices.into_luma8()))
}

/// The indices of a PNG, which may be packed. The file has been decoded before, so that its size is known to be
/// plausible, and what is broken has been reported.
fn of_png(bytes: &[u8]) -> Result<Option<IndexedImage>> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let Ok(mut reader) = decoder.read_info() else { return Ok(None) };
    let info = reader.info();
    let (depth, palette) = (info.bit_depth as usize, info.palette.clone());
    let (png::ColorType::Indexed, Some(palette)) = (info.color_type, palette) else {
        return Ok(None);
    };
    let Some(length) = reader.output_buffer_size() else { return Ok(None) };
    let mut packed = fallible::filled(0, length)?;
    let Ok(frame) = reader.next_frame(&mut packed) else { return Ok(None) };
    let mut indices = Vec::new();
    for line in packed.chunks_exact(frame.line_size.max(1)) {
        indices.extend((0..frame.width as usize).map(|at| unpacked(line, at, depth)));
    }
    let indices = GrayImage::from_raw(frame.width, frame.height, indices);
    let colors = palette.as_chunks().0.to_vec();
    Ok(indices.map(|indices| IndexedImage { colors, indices }))
}

/// Index `at` of a line of 1, 2, 4 or 8 bits an index, the first in the highest bits.
fn unpacked(line: &[u8], at: usize, depth: usize) -> u8 {
    let bit = at * depth;
    let byte = line.get(bit / 8).copied().unwrap_or(0);
    let shift = 8_usize.saturating_sub(depth + bit % 8);
    let mask = u8::MAX >> 8_usize.saturating_sub(depth).min(7);
    byte >> shift.min(7) & mask
}

/// The indices of a BMP: its decoder gives colours, which are looked up in the palette. Of equal colours the first
/// is meant; the others fill the palette up.
fn of_bmp(bytes: &[u8], image: &DynamicImage) -> Option<IndexedImage> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).ok()?;
    let colors = decoder.get_palette()?.to_vec();
    let image = image.to_rgb8();
    let index = |color: &Color| colors.iter().position(|c| c == color).map(|at| at as u8);
    let indices: Option<Vec<u8>> = image.pixels().map(|pixel| index(&pixel.0)).collect();
    let indices = GrayImage::from_raw(image.width(), image.height(), indices?)?;
    Some(IndexedImage { colors, indices })
}
