//! Masks from images.

use super::decode::DecodedImage;
use crate::format::VolumeFormat;
use crate::reading::Loaded;
use crate::{Error, Result};
use desam_core::text::DisplayPath as _;
use desam_core::{LabelVolume, Volume};
use std::collections::BTreeSet;
use std::path::Path;

/// Colours beyond which an image is no mask.
const MAX_COLORS: usize = 256;
/// Grey values beyond which a mask is warned of: it has as many labels only where edges are soft.
const MAX_VALUES: usize = 16;
/// Brightness from which a pixel of a JPEG is foreground; its compression changes values by less.
const HALF: f32 = 127.5;

/// The labels of a decoded image.
pub(super) fn of(path: &Path, mut decoded: DecodedImage) -> Result<Loaded<LabelVolume>> {
    let volume = Volume::from_image(&decoded.image)?;
    let name = path.display_escaped();
    let labels: Vec<u8> = if decoded.format == VolumeFormat::Jpeg {
        decoded.warnings.push(format!(
            "{name}: JPEG changes the values of a mask: foreground is what is brighter than half of white"
        ));
        volume.data().iter().map(|v| u8::from(*v > HALF)).collect()
    } else if let Some(channels) = volume.color() {
        of_colors(path, channels)?
    } else {
        of_grey(volume.data())
    };
    let values: BTreeSet<u8> = labels.iter().copied().collect();
    if values.len() > MAX_VALUES {
        decoded.warnings.push(format!(
            "{name}: it holds {} grey values, as an image or a mask with soft edges does: all above 0 \
             are foreground",
            values.len()
        ));
    }
    let labels = LabelVolume::new(*volume.grid(), labels)?;
    Ok(decoded.loaded(labels))
}

/// Values up to 255 are labels; where there are larger ones, everything above 0 is 1.
fn of_grey(values: &[f32]) -> Vec<u8> {
    if values.iter().all(|v| *v <= 255.0) {
        values.iter().map(|v| *v as u8).collect()
    } else {
        values.iter().map(|v| u8::from(*v > 0.0)).collect()
    }
}

/// Grey values as above where all pixels are grey; otherwise all that is not black is 1.
fn of_colors(path: &Path, [red, green, blue]: &[Vec<f32>; 3]) -> Result<Vec<u8>> {
    let pixels = || red.iter().zip(green).zip(blue).map(|((r, g), b)| [*r, *g, *b]);
    if pixels().all(|[r, g, b]| r == g && g == b) {
        return Ok(of_grey(red));
    }
    let mut colors = BTreeSet::new();
    for color in pixels() {
        colors.insert(color.map(f32::to_bits));
        if colors.len() > MAX_COLORS {
            let problem = format!(
                "it holds more than {MAX_COLORS} colours, as an image does and no mask; is it a label?"
            );
            return Err(Error::Image { path: path.to_path_buf(), problem });
        }
    }
    Ok(pixels().map(|color| u8::from(color.iter().any(|v| *v > 0.0))).collect())
}
