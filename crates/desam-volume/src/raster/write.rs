//! Writing masks and maps of images.

use crate::atomic::write_atomic;
use crate::format::VolumeFormat;
use crate::{Error, Result};
use desam_core::{ClassTable, Grid, LabelVolume, Volume};
use image::codecs::bmp::BmpEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::io::{Cursor, Write};
use std::path::Path;
use tiff::encoder::colortype::{ColorType, Gray8, Gray32Float};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, TiffValue};

/// Writes labels of one slice as 8-bit grey, in the format that `out` is named after: 0 and 255 where
/// `classes` is the default and they are those of a mask, 0 and 1; other labels as they are.
///
/// # Errors
/// [`Error::Unwritable`] when there are several slices or the format would change values.
pub(crate) fn write_labels(out: &Path, labels: &LabelVolume, classes: &ClassTable) -> Result<()> {
    let [width, height] = size(out, labels.grid())?;
    let is_mask = classes.is_foreground() && labels.data().iter().all(|v| *v <= 1);
    let shown = |v: &u8| if is_mask && *v > 0 { u8::MAX } else { *v };
    let pixels: Vec<u8> = labels.data().iter().map(shown).collect();
    let grey = ExtendedColorType::L8;
    let mut bytes = Vec::new();
    let encoded = match VolumeFormat::of_name(out) {
        Some(VolumeFormat::Png) => {
            let (compression, filter) = (CompressionType::Best, FilterType::Adaptive);
            let encoder = PngEncoder::new_with_quality(&mut bytes, compression, filter);
            encoder.write_image(&pixels, width, height, grey).map_err(|e| e.to_string())
        }
        Some(VolumeFormat::Bmp) => {
            let encoder = BmpEncoder::new(&mut bytes);
            encoder.write_image(&pixels, width, height, grey).map_err(|e| e.to_string())
        }
        Some(VolumeFormat::Tiff) => {
            tiff::<Gray8>([width, height], &pixels).map(|content| bytes = content)
        }
        _ => Err("its format changes values; name it .png, for example".to_owned()),
    };
    encoded.map_err(|problem| unwritable(out, problem))?;
    write_atomic(out, |file| file.write_all(&bytes))
}

/// Writes a map of one slice as TIFF of `f32`.
///
/// # Errors
/// [`Error::Unwritable`] when there are several slices.
pub(crate) fn write_map(out: &Path, map: &Volume) -> Result<()> {
    let bytes = tiff::<Gray32Float>(size(out, map.grid())?, map.data());
    let bytes = bytes.map_err(|problem| unwritable(out, problem))?;
    write_atomic(out, |file| file.write_all(&bytes))
}

fn tiff<C: ColorType>([width, height]: [u32; 2], pixels: &[C::Inner]) -> Result<Vec<u8>, String>
where
    [C::Inner]: TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    let encoder = TiffEncoder::new(&mut bytes)
        .map(|encoder| encoder.with_compression(Compression::Deflate(DeflateLevel::Balanced)));
    let written = encoder.and_then(|mut encoder| encoder.write_image::<C>(width, height, pixels));
    written.map(|()| bytes.into_inner()).map_err(|e| e.to_string())
}

/// Columns and rows of a grid of one slice.
fn size(out: &Path, grid: &Grid) -> Result<[u32; 2]> {
    let [width, height, slices] = grid.dims.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    if slices == 1 && width < u32::MAX && height < u32::MAX {
        return Ok([width, height]);
    }
    let problem = format!("an image holds one slice, and there are {slices}; name it .nii.gz");
    Err(unwritable(out, problem))
}

fn unwritable(out: &Path, problem: String) -> Error {
    Error::Unwritable { path: out.to_path_buf(), problem }
}
