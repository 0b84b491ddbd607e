//! Decoding an image file with bounded memory.

use super::tiff_directory::TiffDirectory;
use super::{jpeg, plausible};
use crate::format::VolumeFormat;
use crate::reading::{Loaded, ReadOptions};
use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_core::text::DisplayPath as _;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::{Cursor, Read};
use std::path::Path;

/// Bytes that a decoded pixel takes as a volume: luma, red, green and blue as `f32`.
const PIXEL_BYTES: u64 = 16;
/// Bytes of memory for a decoder beside the image itself and what it is packed in.
const BUFFERS: u64 = 1 << 20;

/// A decoded image, turned as its orientation says.
#[derive(Debug)]
pub(super) struct DecodedImage {
    pub(super) image: DynamicImage,
    pub(super) format: VolumeFormat,
    /// How it was turned.
    pub(super) orientation: Orientation,
    pub(super) warnings: Vec<String>,
}

impl DecodedImage {
    /// `value`, which was made of the image, with the warnings about its file.
    pub(super) fn loaded<T>(self, value: T) -> Loaded<T> {
        let mut loaded = Loaded::new(value);
        loaded.warnings = self.warnings;
        loaded
    }
}

/// Reads and decodes a file. Its format is that of its first bytes, whatever its name says.
pub(super) fn decode(path: &Path, options: &ReadOptions) -> Result<DecodedImage> {
    decode_bytes(path, &read(path, options)?, options)
}

/// Decodes the bytes of a file, which is called `path` in errors.
pub(super) fn decode_bytes(
    path: &Path,
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<DecodedImage> {
    let refuse = |problem: String| Error::Image { path: path.to_path_buf(), problem };
    let (kind, format) = kind_of(bytes)
        .ok_or_else(|| refuse("neither PNG, JPEG, TIFF nor BMP by its first bytes".into()))?;
    if format == VolumeFormat::Jpeg && !jpeg::is_whole(bytes) {
        return Err(refuse(
            "truncated: it ends before its last line; copy the file again from its source".into(),
        ));
    }
    let directory = match format {
        VolumeFormat::Tiff => {
            let broken = "truncated: its directory promises more than the file holds";
            Some(TiffDirectory::of(bytes).ok_or_else(|| refuse(broken.into()))?)
        }
        _ => None,
    };
    let failed = |error: image::ImageError| refuse(one_line(&error.to_string()));
    let reader = ImageReader::with_format(Cursor::new(bytes), kind);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(refuse(format!("it has {width} × {height} pixels")));
    }
    if pixels > plausible::most_pixels(format, bytes) {
        return Err(refuse(format!(
            "truncated: its header promises {width} × {height} pixels, more than {} bytes can hold",
            bytes.len()
        )));
    }
    let (taken, limit) = (pixels.saturating_mul(PIXEL_BYTES), options.max_bytes);
    if taken > limit {
        return Err(Error::VolumeTooLarge { path: path.to_path_buf(), bytes: taken, limit });
    }
    let mut limits = Limits::no_limits();
    let room = decoder.total_bytes().saturating_mul(2).saturating_add(bytes.len() as u64);
    limits.max_alloc = Some(room.saturating_add(BUFFERS));
    decoder.set_limits(limits).map_err(failed)?;
    let mut warnings = about(path, format, directory);
    let orientation = decoder.orientation().unwrap_or_else(|error| {
        let error = one_line(&error.to_string());
        let name = path.display_escaped();
        warnings
            .push(format!("{name}: its EXIF orientation cannot be read and is ignored: {error}"));
        Orientation::NoTransforms
    });
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    if format == VolumeFormat::Bmp && is_grey(&image) {
        image = DynamicImage::ImageLuma8(image.into_luma8());
    }
    if is_transparent(&image) {
        let name = path.display_escaped();
        warnings.push(format!("{name}: it is partly transparent; opacity is ignored"));
    }
    Ok(DecodedImage { image, format, orientation, warnings })
}

/// All bytes of a file that is no larger than the limit on memory.
pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<Vec<u8>> {
    let failed = || Error::io("read", path);
    let mut file = open_regular(path).map_err(failed())?;
    let (bytes, limit) = (file.metadata().map_err(failed())?.len(), options.max_bytes);
    if bytes > limit {
        return Err(Error::VolumeTooLarge { path: path.to_path_buf(), bytes, limit });
    }
    let mut content = Vec::new();
    let room = content.try_reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX));
    room.map_err(|_| Error::OutOfMemory { path: path.to_path_buf(), bytes })?;
    file.read_to_end(&mut content).map_err(failed())?;
    Ok(content)
}

/// The format by the first bytes, for the decoder and for us.
fn kind_of(bytes: &[u8]) -> Option<(ImageFormat, VolumeFormat)> {
    let format = VolumeFormat::of_image_start(bytes)?;
    let kind = match format {
        VolumeFormat::Png => ImageFormat::Png,
        VolumeFormat::Jpeg => ImageFormat::Jpeg,
        VolumeFormat::Tiff => ImageFormat::Tiff,
        VolumeFormat::Bmp => ImageFormat::Bmp,
        _ => return None,
    };
    Some((kind, format))
}

/// Warnings about a file whose name promises another format, or that holds more than one image.
fn about(path: &Path, format: VolumeFormat, directory: Option<TiffDirectory>) -> Vec<String> {
    let name = path.display_escaped();
    let mut warnings = Vec::new();
    if VolumeFormat::of_name(path).is_some_and(|named| named != format) {
        warnings.push(format!(
            "{name}: it holds {format}, and is read as that, whatever its name says"
        ));
    }
    if directory.is_some_and(|directory| directory.has_more) {
        warnings.push(format!("{name}: it holds several pages, of which the first is read"));
    }
    warnings
}

/// Whether all pixels are grey. BMP stores grey as colours or as a palette of them.
fn is_grey(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageRgb8(image) => {
            image.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2])
        }
        _ => false,
    }
}

/// Whether any pixel is not opaque.
fn is_transparent(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageLumaA8(image) => image.pixels().any(|p| p.0[1] < u8::MAX),
        DynamicImage::ImageRgba8(image) => image.pixels().any(|p| p.0[3] < u8::MAX),
        DynamicImage::ImageLumaA16(image) => image.pixels().any(|p| p.0[1] < u16::MAX),
        DynamicImage::ImageRgba16(image) => image.pixels().any(|p| p.0[3] < u16::MAX),
        DynamicImage::ImageRgba32F(image) => image.pixels().any(|p| p.0[3] < 1.0),
        _ => false,
    }
}

/// A decoder's message on one line: some quote what they found.
fn one_line(message: &str) -> String {
    desam_core::text::one_line(message).chars().take(300).collect()
}
