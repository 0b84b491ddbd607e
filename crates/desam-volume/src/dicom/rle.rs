//! RLE frames (PackBits; PS3.5, annex G).
//! Implemented here because the decoder of `dicom-pixeldata` trusts the unpacked length.

use super::header::SliceFile;
use super::wrong;
use crate::{Error, Result};

/// A count and 15 offsets of 32 bits.
const HEADER: usize = 64;

/// The pixels of one frame, little endian.
///
/// # Errors
/// When the frame is not packed as its file says, or what is unpacked is too short.
pub(super) fn unpack(file: &SliceFile, frame: &[u8]) -> Result<Vec<u8>> {
    let pixels = file.rows * file.columns;
    let width = file.bits_allocated / 8;
    let number = |index: usize| {
        let bytes = frame.get(4 * index..4 * index + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if frame.len() < HEADER || number(0) != Some(width) {
        let problem = format!("a packed frame is not of {width} segments, one for each byte of a");
        return Err(wrong(&file.path, format!("{problem} pixel")));
    }
    let mut out = vec![0; pixels * width];
    // The highest byte comes first.
    for (segment, image_plane) in (0..width).rev().enumerate() {
        let start = number(segment + 1);
        let end = if segment + 1 < width { number(segment + 2) } else { Some(frame.len()) };
        let packed = start.zip(end).and_then(|(start, end)| frame.get(start..end));
        let mut free = out.iter_mut().skip(image_plane).step_by(width);
        let missing = fill(packed.unwrap_or_default(), &mut free);
        if missing > 0 {
            let (path, expected) = (file.path.clone(), pixels as u64);
            let found = expected.saturating_sub(missing as u64);
            return Err(Error::Truncated { path, expected, found });
        }
    }
    Ok(out)
}

/// Unpacks a segment to where there is room; gives how many bytes are missing.
fn fill<'a>(packed: &[u8], room: &mut (impl ExactSizeIterator<Item = &'a mut u8> + 'a)) -> usize {
    let mut rest = packed;
    while room.len() > 0
        && let Some((&count, after)) = rest.split_first()
    {
        let used = match count {
            // As they are.
            0..128 => {
                let literal = after.get(..usize::from(count) + 1).unwrap_or(after);
                // The literal first: what ends a pair of iterators is asked for once too often.
                literal.iter().zip(room.by_ref()).for_each(|(from, to)| *to = *from);
                literal.len()
            }
            128 => 0,
            // The next byte again and again.
            129.. => {
                let Some(&byte) = after.first() else { break };
                room.by_ref().take(257 - usize::from(count)).for_each(|to| *to = byte);
                1
            }
        };
        rest = after.get(used..).unwrap_or_default();
    }
    room.len()
}
