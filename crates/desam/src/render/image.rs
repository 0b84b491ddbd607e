//! Overlays as images of the crate `image`.

use super::overlay::{Tile, tile_canvas};
use crate::{Error, Result};
use desam_core::LabelMask;
use desam_data::preprocess::SliceImage;
use image::RgbImage;

/// A slice with the outlines of prediction and ground truth, `image.side · scale` pixels wide and
/// high; see [`overlay_png`](super::overlay_png).
///
/// # Errors
/// As [`overlay_png`](super::overlay_png).
pub fn overlay_image(
    image: &SliceImage,
    prediction: &LabelMask,
    truth: Option<&LabelMask>,
    scale: usize,
) -> Result<RgbImage> {
    let side = image.side.saturating_mul(scale);
    let canvas = tile_canvas(&Tile { image, prediction, truth, border_px: 0 }, side)?;
    let pixels = u32::try_from(side).ok();
    pixels
        .and_then(|side| RgbImage::from_raw(side, side, canvas.rgb()))
        .ok_or_else(|| Error::Invalid(format!("no picture of {side} pixels a side")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::PREDICTION_RGB;

    #[test]
    fn an_overlay_has_the_outline() {
        let image = SliceImage { side: 4, data: vec![100; 16] };
        let mut mask = vec![0; 16];
        mask[5] = 1;
        let mask = LabelMask::new(4, 4, mask).unwrap();
        let found = overlay_image(&image, &mask, None, 1).unwrap();
        assert_eq!((found.width(), found.height()), (4, 4));
        assert_eq!(found.get_pixel(1, 1).0, PREDICTION_RGB);
        assert_eq!(found.get_pixel(3, 3).0, [100; 3]);
        assert!(overlay_image(&image, &mask, None, 0).is_err());
    }
}
