//! Point sampler, for grid points mode.

use crate::Error;
use crate::error::check_side;
use desam_core::{ClassMask, Point, Prompt, PromptSampler, Result, SampledPrompt};
use rand::{Rng, RngCore};

/// Sampler of one random pixel, inside the mask or outside it. PRIM learns to predict an IoU of 1 for a
/// point inside and 0 for one outside, which ranks the grid's points at prediction.
///
/// First inside or outside is drawn, then a pixel uniformly. Where one of them is empty (an empty or a
/// full mask) the other is used. The point is always labelled foreground, as at prediction, where the
/// mask is unknown.
///
/// Of several classes one that the slice holds is drawn first, and the point lies inside or outside of it; the
/// target of each class says whether the point lies in it.
///
/// The point is a pixel's position on the mask's grid scaled to the encoder's input, column
/// `x · S / width` and row `y · S / height`: the mask spans the whole input square, and no half
/// pixel is added (the official program's scaling by 1024 / 256).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointSampler {
    /// Points outside the mask for each inside, on average; 0 samples inside only.
    pub outside_per_inside: u32,
}

impl PointSampler {
    /// As many points outside as inside (paper: "1:1").
    pub fn paper() -> Self {
        Self { outside_per_inside: 1 }
    }

    /// The official program's defaults: one background point for each foreground point, the same as
    /// [`PointSampler::paper`]. The paper does not specify labels and IoU targets; both presets use the
    /// official program's.
    pub fn official() -> Self {
        Self { outside_per_inside: 1 }
    }
}

impl PromptSampler for PointSampler {
    fn sample(
        &self,
        truth: &ClassMask,
        input_side: usize,
        rng: &mut dyn RngCore,
    ) -> Result<SampledPrompt> {
        let (height, width) = (truth.height(), truth.width());
        let mask = match truth.classes() {
            1 => truth.foreground(),
            _ => {
                let present = truth.present();
                let drawn = rng.random_range(0..present.len().max(1) as u64) as usize;
                present.get(drawn).map_or_else(|| truth.foreground(), |class| truth.class(*class))
            }
        };
        check_side(input_side as f32).map_err(desam_core::Error::external)?;
        let inside = mask.area();
        let outside = height * width - inside;
        // Drawn even where the mask leaves no choice, so that every slice consumes as many random
        // numbers, and the next slice's do not depend on this mask.
        let wants_inside = rng.random_range(0..=self.outside_per_inside) == 0;
        let is_inside = match (inside, outside) {
            (0, 0) => {
                return Err(desam_core::Error::external(Error::NoPixels { height, width }));
            }
            (0, _) => false,
            (_, 0) => true,
            _ => wants_inside,
        };
        let rank = rng.random_range(0..if is_inside { inside } else { outside });
        let wanted = u8::from(is_inside);
        let mut pixels = mask.data().iter().enumerate().filter(|&(_, &v)| v == wanted);
        let Some((pixel, _)) = pixels.nth(rank) else {
            return Err(desam_core::Error::external(Error::NoPixels { height, width }));
        };
        let scale =
            |at: usize, pixels: usize| (at as f64 * input_side as f64 / pixels as f64) as f32;
        let point = Point::foreground(scale(pixel % width, width), scale(pixel / width, height));
        let found = truth.map().data().get(pixel).copied().map_or(0, usize::from);
        let iou_targets =
            (1..=truth.classes()).map(|class| f32::from(u8::from(class == found))).collect();
        Ok(SampledPrompt { prompt: Prompt::point(point), iou_targets })
    }
}
