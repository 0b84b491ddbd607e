//! How volumes become slices, on the command line.

use crate::commands::values::enum_values;
use clap::{Args, ValueEnum};
use desam::data::preprocess::{LabelRule, Orientation, PreprocessConfig, SPACING_MM};

/// The preset, and what may be set otherwise.
#[derive(Debug, Args)]
pub(in crate::commands) struct PreprocessFlags {
    /// How volumes become slices. paper: resampled to 0.625×0.625×3.6 mm, the middle 288×288 pixels,
    /// labels keep their volume. official: each slice stretched to the side of the masks, labels
    /// eroded; for parity with the official program alone
    #[arg(long, value_enum, value_name = "PRESET", default_value = "paper")]
    preprocess: PreprocessPreset,

    /// Spacing along columns, rows and slices to resample to, 0.01 to 100 mm, such as the paper's
    /// 0.625,0.625,3.6: images linearly, labels by the nearest voxel; masks come back to the
    /// volume's own grid [default: the preset's, which for official is the volume's own]
    #[arg(long, value_name = "X,Y,Z", allow_negative_numbers = true, value_parser = spacing)]
    resample: Option<[f64; 3]>,

    /// How labels become masks: nearest keeps their volume; eroded takes a rim off masks that are
    /// made smaller, as the official program does [default: the preset's]
    #[arg(long, value_name = "RULE", value_parser = enum_values::<LabelRule>())]
    labels: Option<LabelRule>,

    /// How slices are cut: axial, by the volume's affine, whatever the order of its axes; or stored,
    /// along its third axis as the file has it, which is what the official program does
    #[arg(long, value_name = "HOW", default_value = "axial",
        value_parser = enum_values::<Orientation>())]
    orientation: Orientation,
}

impl PreprocessFlags {
    pub(in crate::commands) fn config(&self) -> PreprocessConfig {
        let preset = match self.preprocess {
            PreprocessPreset::Paper => PreprocessConfig::paper(),
            PreprocessPreset::Official => PreprocessConfig::official(),
        };
        PreprocessConfig {
            orientation: self.orientation,
            spacing_mm: self.resample.or(preset.spacing_mm),
            labels: self.labels.unwrap_or(preset.labels),
            ..preset
        }
    }
}

/// Three lengths.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spacing_is_three_lengths() {
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
    fn flags_are_laid_over_the_preset() {
        use clap::Parser;
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            all: PreprocessFlags,
        }
        let of = |words: &[&str]| {
            Flags::try_parse_from(["desam"].iter().chain(words)).map(|f| f.all.config()).ok()
        };
        // Settings that could be given before labels could be chosen mean what they meant.
        assert_eq!(of(&["--preprocess", "official"]), Some(PreprocessConfig::official()));
        assert_eq!(of(&["--preprocess", "paper"]), Some(PreprocessConfig::paper()));
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
