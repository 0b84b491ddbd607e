//! Preprocessing: how volumes become slices, and labels become masks.

use crate::commands::values::enum_values;
use clap::{Args, ValueEnum};
use desam::data::layout::default_preprocess;
use desam::data::preprocess::{LabelRule, Orientation, PreprocessConfig, SPACING_MM};
use desam::volume::volumes::ReadOptions;
use std::path::Path;

/// The preset, and flags that override it.
#[derive(Debug, Args)]
pub(in crate::commands) struct PreprocessFlags {
    /// Preprocessing preset. paper: resample to 0.625×0.625×3.6 mm, crop the central 288×288 pixels,
    /// resample labels by nearest neighbour. official: stretch each slice to the mask size and erode
    /// labels; only for comparison with the official program. image: stretch the whole image to the
    /// encoder's input, without resampling [default: image for two-dimensional images (PNG, JPEG, TIFF,
    /// BMP), paper for volumes]
    #[arg(long, value_enum, value_name = "PRESET")]
    preprocess: Option<PreprocessPreset>,

    /// Resample volumes to this voxel spacing in mm along columns, rows and slices, each 0.01 to 100,
    /// such as 0.625,0.625,3.6. Images are interpolated linearly, labels by nearest neighbour; masks
    /// are resampled back to the volume's grid [default: from the preset; official does not
    /// resample]
    #[arg(long, value_name = "X,Y,Z", allow_negative_numbers = true, value_parser = spacing)]
    resample: Option<[f64; 3]>,

    /// Resizing of labels to masks. nearest: nearest neighbour, preserves the labelled volume.
    /// eroded: erodes masks that shrink, as the official program does [default: from the preset]
    #[arg(long, value_name = "RULE", value_parser = enum_values::<LabelRule>())]
    labels: Option<LabelRule>,

    /// Slice orientation. axial: axial slices according to the affine, whatever the axis order of the
    /// file. stored: along the third axis of the file, as the official program does
    #[arg(long, value_name = "ORIENTATION", default_value = "axial",
        value_parser = enum_values::<Orientation>())]
    orientation: Orientation,
}

impl PreprocessFlags {
    /// The preprocessing of a data set that is read with `read`.
    pub(in crate::commands) fn config(&self, data: &Path, read: &ReadOptions) -> PreprocessConfig {
        self.config_or(|| default_preprocess(data, read))
    }

    fn config_or(&self, default: impl FnOnce() -> PreprocessConfig) -> PreprocessConfig {
        let preset = match self.preprocess {
            Some(PreprocessPreset::Paper) => PreprocessConfig::paper(),
            Some(PreprocessPreset::Official) => PreprocessConfig::official(),
            Some(PreprocessPreset::Image) => PreprocessConfig::image(),
            None => default(),
        };
        PreprocessConfig {
            orientation: self.orientation,
            spacing_mm: self.resample.or(preset.spacing_mm),
            labels: self.labels.unwrap_or(preset.labels),
            ..preset
        }
    }
}

/// Parser of voxel spacings: three lengths in mm.
fn spacing(text: &str) -> Result<[f64; 3], String> {
    let length = |text: &str| text.trim().parse().ok().filter(|mm| SPACING_MM.contains(mm));
    let lengths: Option<Vec<f64>> = text.split(',').map(length).collect();
    lengths.and_then(|l| <[f64; 3]>::try_from(l).ok()).ok_or_else(|| {
        let (least, most) = (SPACING_MM.start(), SPACING_MM.end());
        format!("expected three lengths from {least} to {most} mm, such as 0.625,0.625,3.6")
    })
}

/// Values of `--preprocess`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PreprocessPreset {
    Paper,
    Official,
    Image,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spacing_consists_of_three_lengths() {
        assert_eq!(spacing("0.625,0.625, 3.6"), Ok([0.625, 0.625, 3.6]));
        for wrong in [
            "",
            "1",
            "1,1",
            "1,1,1,1",
            "1,1,0",
            "1,1,nan",
            "1,-1,1",
            "1;1;1",
            "1,1,1e300",
            "0.001,1,1",
        ] {
            assert!(spacing(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_override_the_preset() {
        use clap::Parser;
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            all: PreprocessFlags,
        }
        let of = |words: &[&str]| {
            let flags = Flags::try_parse_from(["desam"].iter().chain(words)).ok();
            flags.map(|f| f.all.config_or(PreprocessConfig::paper))
        };
        // Commands from before --labels existed keep their meaning.
        assert_eq!(of(&["--preprocess", "official"]), Some(PreprocessConfig::official()));
        assert_eq!(of(&["--preprocess", "paper"]), Some(PreprocessConfig::paper()));
        assert_eq!(of(&["--preprocess", "image"]), Some(PreprocessConfig::image()));
        assert_eq!(of(&[]), Some(PreprocessConfig::paper()));
        assert_eq!(of(&["--orientation", "stored"]), Some(PreprocessConfig::paper().stored()));
        let nearest =
            PreprocessConfig { labels: LabelRule::Nearest, ..PreprocessConfig::official() };
        assert_eq!(of(&["--preprocess", "official", "--labels", "nearest"]), Some(nearest));
        let eroded = PreprocessConfig { labels: LabelRule::Eroded, ..PreprocessConfig::paper() };
        assert_eq!(of(&["--labels", "eroded"]), Some(eroded));
        assert_eq!(of(&["--labels", "area"]), None);
    }
}
