//! Decoding PixelData to intensities and labels.

use super::codec::{self, Codec};
use super::file::{DicomFile, ReadExtent};
use super::geometry::Stack;
use super::header::{Slice, SliceFile};
use super::warnings::Warnings;
use super::wrong;
use crate::reading::Loaded;
use crate::voxels::label_of;
use crate::{Error, Result};
use desam_core::{LabelVolume, Volume};
use dicom_core::PrimitiveValue;
use dicom_core::value::Value;
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// Transfer syntaxes that archives hold and that are not read.
const NOT_READ: [(&str, &str); 4] = [
    (uids::HTJ2K_LOSSLESS, "HTJ2K"),
    (uids::HTJ2K_LOSSLESS_RPCL, "HTJ2K"),
    (uids::HTJ2K, "HTJ2K"),
    (uids::JPEGXL_LOSSLESS, "JPEG XL"),
];

/// The volume of a stack, slice after slice.
pub(super) fn volume(stack: &Stack, max_bytes: u64) -> Result<Loaded<Volume>> {
    let data = values(stack, max_bytes, |_, _, value| Ok(value as f32))?;
    data.try_map(|values| Ok(Volume::new(stack.grid, values)?))
}

/// The labels of a stack: whole numbers from 0 to 255.
pub(super) fn labels(stack: &Stack, max_bytes: u64) -> Result<Loaded<LabelVolume>> {
    let [width, height, _] = stack.grid.dims;
    let data = values(stack, max_bytes, |slice, index, value| {
        label_of(value).ok_or_else(|| {
            let voxel = [index % width, index / width % height, index / (width * height)];
            Error::NotALabel { path: slice.path().to_path_buf(), voxel, value }
        })
    })?;
    data.try_map(|values| Ok(LabelVolume::new(stack.grid, values)?))
}

/// All voxels, rescaled, each through `convert` with its slice and its index.
fn values<T>(
    stack: &Stack,
    max_bytes: u64,
    mut convert: impl FnMut(&Slice, usize, f64) -> Result<T>,
) -> Result<Loaded<Vec<T>>> {
    expect_within(stack, size_of::<T>(), max_bytes)?;
    let mut data = Vec::new();
    let mut warnings = Warnings::default();
    let mut held: Option<(Arc<SliceFile>, InMemElement)> = None;
    for slice in &stack.slices {
        let file = &slice.file;
        // A file of several frames is read once where they follow each other.
        let pixels = match held.take() {
            Some((before, pixels)) if Arc::ptr_eq(&before, file) => pixels,
            _ => {
                file.warnings.iter().for_each(|warning| warnings.add(&file.path, warning));
                pixel_data(file)?
            }
        };
        let frame = frame(slice, &pixels)?;
        // The data that the header promises is there, so memory may be allocated for it.
        let voxels = file.rows * file.columns;
        data.try_reserve(voxels)
            .map_err(|_| wrong(&file.path, format!("there is no memory for {voxels} voxels")))?;
        let masked = each_pixel(slice, &frame, |value| {
            let value =
                file.displayed(value) * slice.image_plane.slope + slice.image_plane.intercept;
            data.push(convert(slice, data.len(), value)?);
            Ok(())
        })?;
        if masked {
            let stored = file.bits_stored;
            let warning =
                format!("bits beyond the {stored} of BitsStored are set, and were masked");
            warnings.add(&file.path, warning);
        }
        drop(frame);
        held = Some((Arc::clone(file), pixels));
    }
    let mut loaded = Loaded::new(data);
    loaded.warnings = warnings.into_sentences();
    Ok(loaded)
}

/// The pixels of a file, frame by frame.
pub(super) struct FilePixels(InMemElement);

impl FilePixels {
    /// Reads a file, and checks that what its header promises can come out of it.
    pub(super) fn read(file: &SliceFile) -> Result<Self> {
        pixel_data(file).map(Self)
    }

    /// The pixels of one of its slices as they are stored, to `push`.
    pub(super) fn each(&self, slice: &Slice, push: impl FnMut(f64) -> Result<()>) -> Result<()> {
        each_pixel(slice, &frame(slice, &self.0)?, push).map(|_| ())
    }
}

/// Checks the voxels of a stack, of `size` bytes each, against the limit.
fn expect_within(stack: &Stack, size: usize, max_bytes: u64) -> Result<()> {
    let voxels = stack.grid.dims.into_iter().try_fold(size, usize::checked_mul);
    let bytes = voxels.map_or(u64::MAX, |bytes| bytes as u64);
    if bytes <= max_bytes {
        return Ok(());
    }
    let path = stack.slices.first().map_or(Path::new(""), Slice::path);
    let found = format!("its series takes {bytes} bytes of memory, more than the {max_bytes}");
    Err(wrong(path, format!("{found} that are allowed")))
}

/// The bytes of a slice's pixels, little endian; of pixels of one bit, those of the whole file.
fn frame<'a>(slice: &Slice, pixels: &'a InMemElement) -> Result<Cow<'a, [u8]>> {
    let file = &slice.file;
    let size = file.rows * file.columns * (file.bits_allocated / 8);
    let frame: Cow<'a, [u8]> = match pixels.value() {
        Value::PixelSequence(sequence) => {
            let codec = file.codec().unwrap_or(Codec::Native);
            codec.decode(file, &codec::frame(file, sequence, slice.frame)?)?.into()
        }
        value => {
            let all = value.primitive().map_or(Cow::Borrowed(&[][..]), PrimitiveValue::to_bytes);
            match all {
                all if file.bits_allocated == 1 => return Ok(all),
                Cow::Borrowed(all) => all.get(slice.frame * size..).unwrap_or_default().into(),
                Cow::Owned(all) => {
                    all.get(slice.frame * size..).unwrap_or_default().to_vec().into()
                }
            }
        }
    };
    if frame.len() >= size {
        return Ok(frame);
    }
    let (path, found) = (file.path.clone(), frame.len() as u64);
    Err(Error::Truncated { path, expected: size as u64, found })
}

/// The pixels of a slice as they are stored, to `push`; whether bits beyond BitsStored were set.
fn each_pixel(
    slice: &Slice,
    frame: &[u8],
    mut push: impl FnMut(f64) -> Result<()>,
) -> Result<bool> {
    let file = &slice.file;
    let count = file.rows * file.columns;
    if file.bits_allocated == 1 {
        // Frames follow each other without a gap, the first pixel in the lowest bit (PS3.5, 8.1.1).
        let start = slice.frame * count;
        (start..start + count).try_for_each(|bit| {
            let byte = frame.get(bit / 8).copied().unwrap_or_default();
            push(f64::from(byte >> (bit % 8) & 1))
        })?;
        return Ok(false);
    }
    let width = file.bits_allocated / 8;
    let bits = StoredBits::new(file);
    let mut masked = false;
    for bytes in frame.chunks_exact(width).take(count) {
        let mut word = [0; 8];
        word[..width].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        let value = bits.value(word);
        masked |= bits.is_masked(word, value);
        if !bits.is_clear_below(word) {
            return Err(bits.contradiction(file));
        }
        push(if file.signed { value as i64 as f64 } else { value as f64 })?;
    }
    Ok(masked)
}

/// Position of a pixel value in its word (PS3.5, 8.1.1): BitsStored bits, HighBit the highest. Bits
/// above them, such as an overlay, do not belong to the pixel; with PixelRepresentation 1 the highest
/// stored bit is the sign.
struct StoredBits {
    /// Below the stored bits.
    lowest: u32,
    /// Above them, in a word of 64.
    unused: u32,
    signed: bool,
    /// The bits of the file's word from the lowest stored one on.
    allocated: u64,
}

impl StoredBits {
    fn new(file: &SliceFile) -> Self {
        let lowest = file.lowest_bit.min(63) as u32;
        let allocated = u64::MAX >> (64 - file.bits_allocated.clamp(1, 64)) >> lowest;
        let unused = 64 - file.bits_stored.clamp(1, 64) as u32;
        Self { lowest, unused, signed: file.signed, allocated }
    }

    /// The value, signed ones in two's complement of 64 bits.
    fn value(&self, word: u64) -> u64 {
        let high = word >> self.lowest << self.unused;
        if self.signed { (high as i64 >> self.unused) as u64 } else { high >> self.unused }
    }

    /// Whether there is more above a value than its sign, which is usual there.
    fn is_masked(&self, word: u64, value: u64) -> bool {
        let word = word >> self.lowest;
        let is_plain = word << self.unused >> self.unused == word;
        !is_plain && value & self.allocated != word
    }

    /// Whether nothing lies below a value.
    fn is_clear_below(&self, word: u64) -> bool {
        word & ((1 << self.lowest) - 1) == 0
    }

    fn contradiction(&self, file: &SliceFile) -> Error {
        let (lowest, below) = (self.lowest, self.lowest.saturating_sub(1));
        let highest = lowest as usize + file.bits_stored - 1;
        let problem = format!(
            "HighBit says that pixels lie in bits {lowest} to {highest}, and bits 0 to {below} are \
             set as well; correct HighBit, to {} if they start at bit 0",
            file.bits_stored - 1
        );
        wrong(&file.path, problem)
    }
}

/// The pixels of a file, checked against what its header promises.
fn pixel_data(file: &SliceFile) -> Result<InMemElement> {
    let mut opened = match &file.memory {
        Some(memory) => DicomFile::from_bytes(&file.path, memory.0.to_vec(), ReadExtent::Whole)?,
        None => DicomFile::read(&file.path, ReadExtent::Whole)?,
    };
    let Some(element) = opened.object.take(tags::PIXEL_DATA) else {
        return Err(wrong(&file.path, "there are no pixels in it"));
    };
    let syntax = file.transfer_syntax.as_str();
    if let Some((_, name)) = NOT_READ.iter().find(|(uid, _)| *uid == syntax) {
        let problem =
            format!("its pixels are packed by {name}, which is not read; unpack it first");
        return Err(wrong(&file.path, format!("{problem} (gdcmconv --raw, for example)")));
    }
    let fragments = element.fragments();
    let is_read = match file.codec() {
        Some(Codec::Native) => fragments.is_none(),
        codec => codec.is_some() && fragments.is_some(),
    };
    if !is_read {
        let how = if fragments.is_some() { "packed" } else { "plain" };
        let problem = format!("its pixels are {how} and its transfer syntax is {syntax:?}");
        return Err(wrong(&file.path, format!("{problem}, which is not read; convert it")));
    }
    if fragments.is_some() {
        if file.bits_allocated == 1 {
            let problem = "the encapsulation of its frames is not supported; convert it";
            return Err(wrong(&file.path, problem));
        }
        return Ok(element);
    }
    let bits = [file.rows, file.columns, file.bits_allocated];
    let bits = bits.into_iter().try_fold(file.frames, usize::checked_mul);
    let expected = bits.map_or(usize::MAX, |bits| bits.div_ceil(8)) as u64;
    let found = element.to_bytes().map_or(0, |b| b.len()) as u64;
    if expected > found {
        return Err(Error::Truncated { path: file.path.clone(), expected, found });
    }
    Ok(element)
}
