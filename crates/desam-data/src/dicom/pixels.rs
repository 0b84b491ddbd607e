//! From files to intensities.

use super::geometry::Stack;
use super::header::{Slice, explain, open};
use super::wrong;
use crate::{Error, Result};
use desam_core::Volume;
use dicom_object::{DefaultDicomObject, Tag};
use dicom_pixeldata::PixelDecoder;

const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
/// Bytes of pixels that one byte of packed ones may become: beyond it the header is not believed.
const LARGEST_RATIO: usize = 1032;

/// The volume of a stack, file after file.
pub(super) fn volume(stack: &Stack) -> Result<Volume> {
    let mut data = Vec::new();
    for slice in &stack.slices {
        append(slice, &mut data)?;
    }
    Ok(Volume::new(stack.grid, data)?)
}

/// Adds a slice's intensities, rescaled.
fn append(slice: &Slice, data: &mut Vec<f32>) -> Result<()> {
    let object = open(&slice.path)?;
    let pixels = slice.rows * slice.columns;
    let width = slice.bits_allocated / 8;
    expect_room(slice, &object, pixels * width)?;
    let decoded = object.decode_pixel_data();
    let decoded = decoded.map_err(|error| wrong(&slice.path, explain(&error)))?;
    let bytes = decoded.data().get(..pixels * width).ok_or_else(|| {
        let (expected, found) = (pixels * width, decoded.data().len());
        Error::Truncated {
            path: slice.path.clone(),
            expected: expected as u64,
            found: found as u64,
        }
    })?;
    data.reserve(pixels);
    let unused = 64 - slice.bits_stored as u32;
    data.extend(bytes.chunks_exact(width).map(|b| {
        let mut word = [0; 8];
        word[..width].copy_from_slice(b);
        if cfg!(target_endian = "big") {
            word[..width].reverse();
        }
        // Above the stored bits there may be an overlay.
        let high = u64::from_le_bytes(word) << unused;
        let value =
            if slice.signed { (high as i64 >> unused) as f64 } else { (high >> unused) as f64 };
        (value * slice.slope + slice.intercept) as f32
    }));
    Ok(())
}

/// Whether what the header promises can come out of the file.
fn expect_room(slice: &Slice, object: &DefaultDicomObject, promised: usize) -> Result<()> {
    let Some(element) = object.get(PIXEL_DATA) else {
        return Err(wrong(&slice.path, "there are no pixels in it"));
    };
    let (found, most) = match element.fragments() {
        None => {
            let found = element.to_bytes().map_or(0, |b| b.len());
            (found, found)
        }
        Some(fragments) => {
            for fragment in fragments {
                expect_size(slice, fragment)?;
            }
            let found = fragments.iter().map(Vec::len).sum::<usize>();
            (found, found.saturating_mul(LARGEST_RATIO))
        }
    };
    if promised <= most {
        return Ok(());
    }
    let (path, expected, found) = (slice.path.clone(), promised as u64, found as u64);
    Err(Error::Truncated { path, expected, found })
}

/// What a JPEG image says of itself before its pixels. Its size decides how much memory it takes, so
/// it must be the slice's. Of lossless ones those of the first predictor without restarts are read,
/// which is what scanners and archives write; the decoder gets others wrong in silence.
fn expect_size(slice: &Slice, fragment: &[u8]) -> Result<()> {
    if !fragment.starts_with(&[0xFF, 0xD8]) {
        return Ok(());
    }
    let refuse = |problem: String| Err(wrong(&slice.path, format!("its packed image {problem}")));
    let word = |at: usize| {
        let bytes = fragment.get(at..at + 2);
        bytes.map_or(0, |b| usize::from(b[0]) << 8 | usize::from(b[1]))
    };
    let (mut at, mut sized, mut lossless, mut restarts) = (2, false, false, false);
    while let Some(&[0xFF, kind]) = fragment.get(at..at + 2) {
        match kind {
            0xC4 | 0xC8 | 0xCC => {}
            0xC0..=0xCF => {
                let (rows, columns) = (word(at + 5), word(at + 7));
                if (rows, columns) != (slice.rows, slice.columns) {
                    let header = format!("{} and {}", slice.rows, slice.columns);
                    return refuse(format!(
                        "has {rows} rows and {columns} columns, its header {header}"
                    ));
                }
                (sized, lossless) = (true, kind == 0xC3);
            }
            0xDD => restarts = word(at + 4) > 0,
            0xDA => {
                let components = fragment.get(at + 4).copied().map_or(0, usize::from);
                let predictor = fragment.get(at + 5 + 2 * components);
                if lossless && (predictor != Some(&1) || restarts) {
                    return refuse("is lossless in a way that is not read; convert it".into());
                }
                return if sized { Ok(()) } else { refuse("has no size".into()) };
            }
            _ => {}
        }
        at += 2 + word(at + 2);
    }
    refuse("has no pixels".into())
}
