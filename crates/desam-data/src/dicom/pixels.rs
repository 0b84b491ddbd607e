//! From files to intensities.

use super::geometry::Stack;
use super::header::{Slice, SliceFile, explain, open};
use super::{jpeg, rle, wrong};
use crate::voxels::label_of;
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume};
use dicom_object::{DefaultDicomObject, Tag};
use dicom_pixeldata::PixelDecoder;
use std::borrow::Cow;
use std::sync::Arc;

const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
/// Bytes of pixels that one byte of packed ones may become: beyond it the header is not believed.
const LARGEST_RATIO: usize = 1032;

/// Transfer syntaxes whose pixels are as they are.
const PLAIN: [&str; 3] = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"];

/// Transfer syntaxes whose pixels are packed and read: RLE, JPEG baseline, extended and lossless.
const PACKED: [&str; 5] = [
    rle::SYNTAX,
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
];

/// Transfer syntaxes that archives hold and that are not read: there are no decoders for them but in
/// C, or such as were turned from C into unsafe Rust.
const NOT_READ: [(&str, &str); 6] = [
    ("1.2.840.10008.1.2.4.80", "JPEG-LS"),
    ("1.2.840.10008.1.2.4.81", "JPEG-LS"),
    ("1.2.840.10008.1.2.4.90", "JPEG 2000"),
    ("1.2.840.10008.1.2.4.91", "JPEG 2000"),
    ("1.2.840.10008.1.2.4.201", "HTJ2K"),
    ("1.2.840.10008.1.2.4.203", "HTJ2K"),
];

/// The volume of a stack, slice after slice.
pub(super) fn volume(stack: &Stack) -> Result<Volume> {
    let data = values(stack, |_, _, value| Ok(value as f32))?;
    Ok(Volume::new(stack.grid, data)?)
}

/// The labels of a stack: whole numbers from 0 to 255.
pub(super) fn labels(stack: &Stack) -> Result<LabelVolume> {
    let [width, height, _] = stack.grid.dims;
    let data = values(stack, |slice, index, value| {
        label_of(value).ok_or_else(|| {
            let voxel = [index % width, index / width % height, index / (width * height)];
            Error::NotALabel { path: slice.path().to_path_buf(), voxel, value }
        })
    })?;
    Ok(LabelVolume::new(stack.grid, data)?)
}

/// All voxels, rescaled, each through `convert` with its slice and its index.
fn values<T>(
    stack: &Stack,
    mut convert: impl FnMut(&Slice, usize, f64) -> Result<T>,
) -> Result<Vec<T>> {
    let mut data = Vec::new();
    let mut held: Option<(Arc<SliceFile>, DefaultDicomObject)> = None;
    for slice in &stack.slices {
        // A file of several frames is read once where they follow each other.
        let object = match held.take() {
            Some((file, object)) if Arc::ptr_eq(&file, &slice.file) => object,
            _ => {
                let object = open(slice.path())?;
                expect_room(&slice.file, &object)?;
                object
            }
        };
        data.reserve(slice.file.rows * slice.file.columns);
        decode(slice, &object, |value| {
            let value = value * slice.place.slope + slice.place.intercept;
            data.push(convert(slice, data.len(), value)?);
            Ok(())
        })?;
        held = Some((Arc::clone(&slice.file), object));
    }
    Ok(data)
}

/// The pixels of a slice as they are stored, to `push`.
pub(super) fn decode(
    slice: &Slice,
    object: &DefaultDicomObject,
    mut push: impl FnMut(f64) -> Result<()>,
) -> Result<()> {
    let file = &slice.file;
    let pixels = file.rows * file.columns;
    if file.bits_allocated == 1 {
        // Frames follow each other without a gap, the first pixel in the lowest bit (PS3.5, 8.1.1).
        let bytes = object.get(PIXEL_DATA).and_then(|e| e.to_bytes().ok()).unwrap_or_default();
        let start = slice.frame * pixels;
        return (start..start + pixels).try_for_each(|bit| {
            let byte = bytes.get(bit / 8).copied().unwrap_or_default();
            push(f64::from(byte >> (bit % 8) & 1))
        });
    }
    let (frame, decoded);
    let unpacked = if syntax(object) == rle::SYNTAX {
        let fragments = object.get(PIXEL_DATA).and_then(|e| e.fragments()).unwrap_or_default();
        frame = rle::unpack(file, fragments.get(slice.frame).map_or(&[], Vec::as_slice))?;
        frame.as_slice()
    } else {
        let pixels = match (file.frames, u32::try_from(slice.frame)) {
            (2.., Ok(frame)) => object.decode_pixel_data_frame(frame),
            _ => object.decode_pixel_data(),
        };
        decoded = pixels.map_err(|error| wrong(slice.path(), explain(&error)))?;
        decoded.data()
    };
    let width = file.bits_allocated / 8;
    let bytes = unpacked.get(..pixels * width).ok_or_else(|| Error::Truncated {
        path: file.path.clone(),
        expected: (pixels * width) as u64,
        found: unpacked.len() as u64,
    })?;
    let unused = 64 - file.bits_stored as u32;
    bytes.chunks_exact(width).try_for_each(|b| {
        let mut word = [0; 8];
        word[..width].copy_from_slice(b);
        if cfg!(target_endian = "big") {
            word[..width].reverse();
        }
        // Above the stored bits there may be an overlay.
        let high = u64::from_le_bytes(word) << unused;
        push(if file.signed { (high as i64 >> unused) as f64 } else { (high >> unused) as f64 })
    })
}

fn syntax(object: &DefaultDicomObject) -> &str {
    object.meta().transfer_syntax.trim_end_matches(['\0', ' '])
}

/// Whether what the header promises can come out of the file.
pub(super) fn expect_room(file: &SliceFile, object: &DefaultDicomObject) -> Result<()> {
    let Some(element) = object.get(PIXEL_DATA) else {
        return Err(wrong(&file.path, "there are no pixels in it"));
    };
    let syntax = syntax(object);
    if let Some((_, name)) = NOT_READ.iter().find(|(uid, _)| *uid == syntax) {
        let problem =
            format!("its pixels are packed by {name}, which is not read; unpack it first");
        return Err(wrong(&file.path, format!("{problem} (gdcmconv --raw, for example)")));
    }
    let packed = element.fragments().is_some();
    if !(if packed { &PACKED[..] } else { &PLAIN[..] }).contains(&syntax) {
        let how = if packed { "packed" } else { "plain" };
        let problem = format!("its pixels are {how} and its transfer syntax is {syntax:?}");
        return Err(wrong(&file.path, format!("{problem}, which is not read; convert it")));
    }
    let bits = [file.rows, file.columns, file.bits_allocated];
    let bits = bits.into_iter().try_fold(file.frames, usize::checked_mul);
    let promised = bits.map_or(usize::MAX, |bits| bits.div_ceil(8));
    let (found, most) = match element.fragments() {
        None => {
            let found = element.to_bytes().map_or(0, |b| b.len());
            (found, found)
        }
        Some(fragments) => {
            let each = fragments.len() == file.frames;
            if file.bits_allocated == 1 || (!each && (file.frames > 1 || syntax == rle::SYNTAX)) {
                let problem = "its frames are packed in a way that is not read; convert it";
                return Err(wrong(&file.path, problem));
            }
            // One frame may be cut into several fragments.
            let images: Vec<Cow<'_, [u8]>> = match fragments {
                [_, _, ..] if file.frames == 1 => vec![fragments.concat().into()],
                each => each.iter().map(|f| f.as_slice().into()).collect(),
            };
            for image in images {
                jpeg::check(file, &image)?;
            }
            let found = fragments.iter().map(Vec::len).sum::<usize>();
            (found, found.saturating_mul(LARGEST_RATIO))
        }
    };
    if promised <= most {
        return Ok(());
    }
    let (path, expected, found) = (file.path.clone(), promised as u64, found as u64);
    Err(Error::Truncated { path, expected, found })
}
