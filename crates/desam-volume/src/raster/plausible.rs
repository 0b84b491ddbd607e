//! Most pixels that a file of a length can hold, so that a header that promises more takes no memory.

use crate::format::VolumeFormat;
use std::io::Cursor;
use tiff::decoder::Decoder;
use tiff::tags::Tag;

/// Most bytes that a byte of a DEFLATE stream unpacks to: a match of 258 bytes in two bits.
const DEFLATE: u64 = 1032;
/// The same for PackBits, which packs 128 bytes into two.
const PACK_BITS: u64 = 64;
/// The same for a fax: a white line of 8192 pixels in a bit. Longer lines are not expected.
const FAX: u64 = 1 << 13;
/// Most bytes that a code of LZW stands for.
const LZW: u64 = 1 << 12;
/// Most pixels for a byte of a JPEG: a block of 8 × 8 takes a bit at least.
const JPEG: u64 = 64 * 8;
/// The same for a BMP: a run of 255 pixels takes two bytes. Jumps over pixels are left out of account.
const BMP: u64 = 128;
/// Pixels that are allowed whatever the length.
const FEW: u64 = 1 << 12;

/// The most pixels of an image whose file holds `bytes`.
pub(super) fn most_pixels(format: VolumeFormat, bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    let most = match format {
        VolumeFormat::Png => length.saturating_mul(DEFLATE * 8) / png_bits(bytes),
        VolumeFormat::Jpeg => length.saturating_mul(JPEG),
        VolumeFormat::Bmp => length.saturating_mul(BMP),
        _ => tiff_pixels(bytes),
    };
    most.saturating_add(FEW)
}

/// Bits of a pixel of a PNG, by its header: bit depth and colour type.
fn png_bits(bytes: &[u8]) -> u64 {
    let [depth, color] = [24, 25].map(|at| bytes.get(at).copied().unwrap_or(0));
    let samples = match color {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    (u64::from(depth) * samples).max(1)
}

/// The most pixels of a TIFF, by its compression and the bits of a pixel.
fn tiff_pixels(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    let Ok(mut decoder) = Decoder::new(Cursor::new(bytes)) else {
        return 0;
    };
    let bits = decoder
        .colortype()
        .map_or(1, |color| (u64::from(color.bit_depth()) * u64::from(color.num_samples())).max(1));
    let ratio = match decoder.find_tag_unsigned::<u16>(Tag::Compression) {
        Ok(Some(2..=4)) => FAX,
        // Each code stands for a byte more than the one before.
        Ok(Some(5)) => length.min(LZW),
        Ok(Some(6 | 7)) => return length.saturating_mul(JPEG),
        Ok(Some(8 | 32946)) => DEFLATE,
        Ok(Some(32773)) => PACK_BITS,
        // None, which is the default; others are not supported.
        _ => 1,
    };
    length.saturating_mul(ratio).saturating_mul(8) / bits
}
