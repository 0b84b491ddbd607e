//! JPEG 2000 frames (ISO 15444-1), by `hayro-jpeg2000`.
//!
//! The codestream's headers are checked first: the decoder allocates for what they say.

use super::element::Problem;
use super::header::SliceFile;
use super::wrong;
use crate::Result;
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

/// Start of a codestream, which may lie in a JP2 file: SOC and SIZ.
const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
const SIZ: u8 = 0x51;
const COD: u8 = 0x52;
const COC: u8 = 0x53;
const SOT: u8 = 0x90;
const SOD: u8 = 0x93;
const EOC: u8 = 0xD9;

/// Decoders render the rest of a truncated image, with other values than the whole one has.
const CUT_SHORT: &str = "is cut short; copy the file again from its source";

/// Bits of a sample that the decoder's `f32` holds exactly through the wavelet's steps.
const MAX_PRECISION: usize = 16;
/// Smallest precinct, as a power of two: the decoder keeps books of each.
const MIN_PRECINCT: usize = 3;

/// The pixels of a frame, little endian, as many bytes each as BitsAllocated says.
///
/// # Errors
/// When the image is not what its slice promises, or is damaged.
pub(super) fn decode(file: &SliceFile, frame: &[u8]) -> Result<Vec<u8>> {
    let fail = |problem| wrong(&file.path, format!("its JPEG 2000 image {problem}"));
    let start = frame.windows(START.len()).position(|w| w == START);
    let codestream = start.and_then(|start| frame.get(start..)).unwrap_or_default();
    let component = Headers { file, codestream }.check().map_err(fail)?;
    samples(codestream, component, file).map_err(fail)
}

fn samples(codestream: &[u8], component: Component, file: &SliceFile) -> Result<Vec<u8>, Problem> {
    let refuse = |error: hayro_jpeg2000::DecodeError| format!("is damaged: {error}");
    let image = Image::new(codestream, &DecodeSettings::default()).map_err(refuse)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(refuse)?;
    let [samples] = decoded.components() else {
        return Err("is not of one component".into());
    };
    let pixels = file.rows * file.columns;
    let samples = samples.samples();
    if samples.len() != pixels {
        return Err(format!("has {} pixels, its header {pixels}", samples.len()));
    }
    let (width, half) = (file.bits_allocated / 8, 1 << (component.precision - 1));
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(pixels * width).map_err(|_| "does not fit in memory")?;
    for sample in samples {
        // The decoder moves signed samples up as well (F.2.1 does so for unsigned ones alone).
        let unsigned = (sample.round() as i64).clamp(0, 2 * half - 1);
        let value = if component.signed { unsigned - half } else { unsigned };
        bytes.extend_from_slice(&value.to_le_bytes()[..width]);
    }
    Ok(bytes)
}

/// The codestream's description of its one component.
#[derive(Debug, Clone, Copy)]
struct Component {
    precision: usize,
    signed: bool,
}

struct Headers<'a> {
    file: &'a SliceFile,
    codestream: &'a [u8],
}

impl Headers<'_> {
    /// Main header and headers of tile-parts, marker after marker (annex A).
    fn check(&self) -> Result<Component, Problem> {
        let component = self.size()?;
        // Behind SOC.
        let mut at = 2;
        let mut tile_part = None;
        let mut tiles = 0;
        while let Some(&[0xFF, marker]) = self.codestream.get(at..at + 2) {
            match marker {
                SOT => {
                    let length = self.number(at + 6, 4);
                    tile_part = (length > 0).then(|| at.saturating_add(length));
                    // The first part of each tile.
                    tiles += usize::from(self.number(at + 10, 1) == 0);
                }
                SOD => match tile_part.filter(|end| *end > at) {
                    Some(end) if end > self.codestream.len() => return Err(CUT_SHORT.into()),
                    Some(end) => {
                        at = end;
                        continue;
                    }
                    // The last one, up to the end of the image.
                    None if self.codestream.windows(2).any(|w| w == [0xFF, EOC]) => break,
                    None => return Err(CUT_SHORT.into()),
                },
                EOC => break,
                0x30..=0x3F => return Err("has markers that are not read; convert it".into()),
                COD => self.precincts(self.number(at + 4, 1), at + 9)?,
                COC => self.precincts(self.number(at + 5, 1), at + 6)?,
                _ => {}
            }
            at += 2 + self.number(at + 2, 2).max(2);
        }
        if tiles < self.tiles() {
            return Err(CUT_SHORT.into());
        }
        Ok(component)
    }

    /// Expected number of tiles; they start at an origin that may lie before the image's.
    fn tiles(&self) -> usize {
        let along = |at: usize| match (self.number(at, 4), self.number(at - 16, 4)) {
            (0, _) => usize::MAX,
            (length, end) => end.saturating_sub(self.number(at + 8, 4)).div_ceil(length).max(1),
        };
        along(24).saturating_mul(along(28))
    }

    /// SIZ: one component of the slice's size (A.5.1).
    fn size(&self) -> Result<Component, Problem> {
        if self.codestream.get(2..4) != Some(&[0xFF, SIZ]) {
            return Err("has no codestream".into());
        }
        let SliceFile { rows: height, columns: width, bits_allocated, .. } = *self.file;
        let [columns, rows] =
            [8, 12].map(|at| self.number(at, 4).saturating_sub(self.number(at + 8, 4)));
        if (rows, columns) != (height, width) {
            return Err(format!(
                "has {rows} rows and {columns} columns, its header {height} and {width}"
            ));
        }
        let (components, kind) = (self.number(40, 2), self.number(42, 1));
        let component = Component { precision: (kind & 0x7F) + 1, signed: kind & 0x80 != 0 };
        let bits = component.precision;
        if components != 1 || bits > bits_allocated.min(MAX_PRECISION) {
            return Err(format!(
                "has {components} numbers of {bits} bits a pixel, its header one in \
                 {bits_allocated} bits; at most {MAX_PRECISION} are read"
            ));
        }
        if (self.number(43, 1), self.number(44, 1)) != (1, 1) {
            return Err("is subsampled".into());
        }
        if self.tiles() > usize::from(u16::MAX) {
            return Err("has more tiles than there can be".into());
        }
        Ok(component)
    }

    /// Sizes of precincts, where a coding style gives them (A.6.1): `at` is where its parameters
    /// start, behind which one byte a resolution follows.
    fn precincts(&self, style: usize, at: usize) -> Result<(), Problem> {
        if style & 1 == 0 {
            return Ok(());
        }
        let levels = self.number(at, 1);
        let sizes = (0..=levels).map(|level| self.number(at + 5 + level, 1));
        let too_small = |size: usize| (size & 15).min(size >> 4) < MIN_PRECINCT;
        if sizes.into_iter().any(too_small) {
            return Err("has precincts that are too small to be read; convert it".into());
        }
        Ok(())
    }

    /// A number of `bytes` bytes, the highest first; 0 behind the end.
    fn number(&self, at: usize, bytes: usize) -> usize {
        let found = self.codestream.get(at..at + bytes).unwrap_or_default();
        found.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
}
