//! Masks from images.

use super::{decode, palette};
use crate::format::VolumeFormat;
use crate::reading::{Loaded, ReadOptions};
use crate::{Error, Result};
use desam_core::text::DisplayPath as _;
use desam_core::{LabelVolume, Volume};
use image::DynamicImage;
use std::collections::BTreeSet;
use std::path::Path;

/// Colours beyond which an image is no mask.
const MAX_COLORS: usize = 256;
/// Grey values beyond which a mask is warned of: it has as many labels only where edges are soft.
const MAX_VALUES: usize = 16;
/// Colours that an error names.
const NAMED_COLORS: usize = 4;
/// White of 8 and of 16 bits.
const LEVELS_8: f32 = 255.0;
const LEVELS_16: f32 = 65535.0;
/// Brightness from which a pixel of a JPEG is foreground; its compression changes values by less.
const HALF: f32 = 127.5;

/// The labels of an image file.
pub(super) fn of(path: &Path, options: &ReadOptions) -> Result<Loaded<LabelVolume>> {
    let bytes = decode::read(path, options)?;
    let mut decoded = decode::decode_bytes(path, &bytes, options)?;
    let volume = Volume::from_image(&decoded.image)?;
    let name = path.display_escaped();
    let indices = palette::labels(path, &bytes, &decoded)?;
    let is_indexed = indices.is_some();
    let labels: Vec<u8> = if let Some(indices) = indices {
        indices.into_raw()
    } else if decoded.format == VolumeFormat::Jpeg {
        decoded.warnings.push(format!(
            "{name}: JPEG changes the values of a mask: foreground is what is brighter than half of white"
        ));
        volume.data().iter().map(|v| u8::from(*v > HALF)).collect()
    } else if let Some(channels) = volume.color() {
        // Levels of 16 bits were scaled to those of 8.
        let scale = if is_deep(&decoded.image) { LEVELS_16 / LEVELS_8 } else { 1.0 };
        of_colors(path, channels, scale, &mut decoded.warnings)?
    } else {
        of_grey(path, volume.data())?
    };
    let values: BTreeSet<u8> = labels.iter().copied().collect();
    if values.len() > MAX_VALUES && !is_indexed {
        decoded.warnings.push(format!(
            "{name}: it holds {} grey values, as an image or a mask with soft edges does: all above 0 \
             are foreground, or labels where training tells labels apart",
            values.len()
        ));
    }
    let labels = LabelVolume::new(*volume.grid(), labels)?;
    Ok(decoded.loaded(labels))
}

/// Whether a colour image has 16 bits a channel.
fn is_deep(image: &DynamicImage) -> bool {
    matches!(image, DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_))
}

/// Values up to 255 are labels. White of 16 bits alone is the white of 8.
fn of_grey(path: &Path, values: &[f32]) -> Result<Vec<u8>> {
    let Some(large) = values.iter().copied().reduce(f32::max).filter(|v| *v > LEVELS_8) else {
        return Ok(values.iter().map(|v| *v as u8).collect());
    };
    if values.iter().all(|v| *v == 0.0 || *v == LEVELS_16) {
        return Ok(values.iter().map(|v| if *v > 0.0 { u8::MAX } else { 0 }).collect());
    }
    let problem = format!(
        "it holds the grey value {large}; expected labels from 0 to 255, or 0 and 65535 alone: give the labels \
         numbers up to 255"
    );
    Err(Error::Image { path: path.to_path_buf(), problem })
}

/// Grey values as above where all pixels are grey. Otherwise one colour beside black is label 1; more colours have
/// no numbers.
fn of_colors(
    path: &Path,
    [red, green, blue]: &[Vec<f32>; 3],
    scale: f32,
    warnings: &mut Vec<String>,
) -> Result<Vec<u8>> {
    let pixels = || red.iter().zip(green).zip(blue).map(|((r, g), b)| [*r, *g, *b]);
    if pixels().all(|[r, g, b]| r == g && g == b) {
        let values: Vec<f32> = red.iter().map(|v| (v * scale).round()).collect();
        return of_grey(path, &values);
    }
    let mut colors = BTreeSet::new();
    for color in pixels().filter(|color| *color != [0.0; 3]) {
        colors.insert(color.map(f32::to_bits));
        if colors.len() > MAX_COLORS {
            let problem = format!(
                "it holds more than {MAX_COLORS} colours, as an image does and no mask; is it a label?"
            );
            return Err(Error::Image { path: path.to_path_buf(), problem });
        }
    }
    let hex = |color: &[u32; 3]| {
        let [r, g, b] = color.map(|bits| f32::from_bits(bits).round() as u8);
        format!("#{r:02x}{g:02x}{b:02x}")
    };
    let names: Vec<String> = colors.iter().take(NAMED_COLORS).map(hex).collect();
    let names = names.join(", ");
    if colors.len() > 1 {
        let (count, more) = (colors.len(), if colors.len() > NAMED_COLORS { ", …" } else { "" });
        let problem = format!(
            "it holds {count} colours beside black ({names}{more}), and colours are not numbers of labels; save it \
             as grey levels, one for each label, or as a PNG with a palette"
        );
        return Err(Error::Image { path: path.to_path_buf(), problem });
    }
    warnings.push(format!(
        "{}: it holds the colour {names} beside black, which is label 1, whatever the colour",
        path.display_escaped()
    ));
    Ok(pixels().map(|color| u8::from(color != [0.0; 3])).collect())
}
