//! Plausibility warnings about a volume that can be prepared nevertheless.

use super::{IntensityWindow, PreprocessConfig};
use desam_core::{Grid, Volume};

/// Millimetres from voxel to voxel that an image of an organ can have.
const SPACING_MM: std::ops::RangeInclusive<f64> = 0.05..=20.0;

/// Warning about a two-dimensional image that is prepared as a volume.
pub(crate) const RESAMPLED_IMAGE: &str =
    "an image has no millimetres: it is resampled as if its pixels were 1 mm wide";

/// Warnings, a sentence each.
pub(super) fn warnings(
    config: &PreprocessConfig,
    volume: &Volume,
    window: IntensityWindow,
) -> Vec<String> {
    let contrast = contrast(volume, window);
    let spacing = if volume.is_in_pixels() {
        config.spacing_mm.is_some().then(|| RESAMPLED_IMAGE.to_owned())
    } else {
        spacing(volume.grid())
    };
    contrast.into_iter().chain(spacing).collect()
}

/// A volume in which a model sees nothing.
fn contrast(volume: &Volume, window: IntensityWindow) -> Option<String> {
    // Colour has a window as wide whatever there is to see.
    if window.high > window.low && volume.color().is_none() {
        return None;
    }
    let (first, level) = (volume.data().first()?, window.low);
    if let Some(color) = volume.color() {
        let is_flat = |c: &Vec<f32>| c.iter().all(|v| Some(v) == c.first());
        let all = "the image is constant: all its pixels have the same colour";
        return color.iter().all(is_flat).then(|| all.to_owned());
    }
    if volume.data().iter().all(|v| v == first) {
        return Some(format!("the image is constant: all its voxels are {first}"));
    }
    let other = volume.data().iter().filter(|v| f64::from(**v) != level).count();
    Some(format!(
        "nearly all voxels are {level}: only {other} of {} differ, and the model sees none of them, \
         since the intensity window has no width",
        volume.data().len()
    ))
}

/// A spacing that is not one of an organ's image.
pub(crate) fn spacing(grid: &Grid) -> Option<String> {
    let spacing = grid.spacing();
    if spacing.iter().all(|mm| SPACING_MM.contains(mm)) {
        return None;
    }
    let [x, y, z] = spacing;
    Some(format!("the spacing, {x} × {y} × {z}, is not one of an organ's image; is it in mm?"))
}

#[cfg(test)]
mod tests {
    use super::super::PreprocessConfig;
    use desam_core::{Affine, EncoderSpec, Grid, Volume};

    fn warnings(spacing: [f64; 3], value: impl Fn(usize) -> f32) -> Vec<String> {
        let spec = EncoderSpec {
            input_side: 64,
            patch: 16,
            tap_channels: vec![8; 3],
            embedding_channels: 8,
        };
        let grid = Grid { dims: [16, 16, 4], affine: Affine::from_spacing(spacing) };
        let volume = Volume::new(grid, (0..grid.len()).map(value).collect()).unwrap();
        PreprocessConfig::official().prepare(&volume, &spec).unwrap().warnings().to_vec()
    }

    #[test]
    fn images_without_contrast_and_odd_spacings_are_warned_of() {
        let ramp = |v: usize| v as f32;
        assert!(warnings([0.5, 0.5, 3.0], ramp).is_empty());
        let constant = warnings([0.5, 0.5, 3.0], |_| -7.5);
        assert_eq!(constant, ["the image is constant: all its voxels are -7.5"]);
        // 2 of 1024 voxels lie beyond the 99.5th percentile.
        let nearly = warnings([0.5, 0.5, 3.0], |v| if v < 2 { 900.0 } else { 3.0 });
        assert!(nearly.len() == 1 && nearly[0].contains("only 2 of 1024 differ"), "{nearly:?}");
        for odd in [[0.01, 0.5, 3.0], [0.5, 0.5, 25.0]] {
            let found = warnings(odd, ramp);
            assert!(found.len() == 1 && found[0].contains("is it in mm?"), "{found:?}");
        }
    }
}
