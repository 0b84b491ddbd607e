//! Two-dimensional images (PNG, JPEG, TIFF, BMP) as volumes of one slice, and masks and maps of them.
//!
//! Images have no millimetres: whatever resolution a file states, a pixel counts as 1 mm and the volume
//! is marked as one of pixels ([`Volume::is_in_pixels`](desam_core::Volume::is_in_pixels)). Columns are
//! stored to the patient's left and rows to the back, so that axial slices show the image as it is.
//! Grey values of 8 and 16 bits stay as they are; colour is on 0 to 255. Masks are written as PNG, TIFF
//! or BMP, whose compression loses nothing: 0 and 255, or the labels of named classes. Maps are TIFF of
//! `f32`.

mod decode;
mod jpeg;
mod labels;
mod palette;
#[cfg(test)]
mod palette_tests;
mod plausible;
#[cfg(test)]
mod tests;
mod tiff_directory;
mod write;

use crate::reading::{Loaded, ReadOptions};
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume};
use std::path::Path;

pub(crate) use write::{write_labels, write_map};

/// Reads an image, according to `options`: its first page, turned as its EXIF orientation says. A
/// channel of `options` is one of red, green and blue, which is then a grey image.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Image`] when it is damaged or of a kind that is
/// not supported, [`Error::VolumeTooLarge`] when it is too large, [`Error::NoSuchChannel`] for a channel
/// beyond the last.
pub fn load_volume(path: &Path, options: &ReadOptions) -> Result<Loaded<Volume>> {
    let decoded = decode::decode(path, options)?;
    let mut volume = Volume::from_image(&decoded.image)?;
    if let Some(channel) = options.channel {
        volume = choose(path, volume, channel)?;
    }
    Ok(decoded.loaded(volume))
}

/// Reads a mask, according to `options`. Grey values of up to 255 are labels, and so are the indices of a
/// palette of colours (PNG, BMP); white of 16 bits, where it is the only value above 0, is 255 as in 8 bits. In a
/// mask of black and one colour that colour is label 1, with a warning; in a JPEG, whose compression changes values,
/// all that is at least half as bright as white.
///
/// # Errors
/// As [`load_volume`]; [`Error::Image`] when there are larger values, several colours without a palette, or a
/// palette whose indices cannot be meant as labels.
pub fn load_labels(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    labels::of(path, options)
}

fn choose(path: &Path, volume: Volume, channel: usize) -> Result<Volume> {
    let values = match volume.color() {
        Some(channels) => channels.get(channel).map(Vec::as_slice),
        None => (channel == 0).then_some(volume.data()),
    };
    let channels = if volume.color().is_some() { 3 } else { 1 };
    let missing = || Error::NoSuchChannel { path: path.to_path_buf(), channel, channels };
    let values = values.ok_or_else(missing)?.to_vec();
    Ok(Volume::new(*volume.grid(), values)?.in_pixels())
}
