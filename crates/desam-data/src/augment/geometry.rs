//! Spatial augmentation: random affine maps.

use super::ImageAugment;
use crate::preprocess::SliceImage;
use desam_core::LabelMask;
use rand::Rng;

/// An affine map from places in the changed slice to places in the given one, both from −1 to 1
/// along each side, so that images and masks of any side move alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct RandomAffine {
    /// Of (column, row).
    matrix: [[f64; 2]; 2],
    shift: [f64; 2],
}

impl RandomAffine {
    /// Every number is drawn whether it is used or not, so that a change of one setting leaves the
    /// other draws alone.
    pub(super) fn draw(config: &ImageAugment, rng: &mut impl Rng) -> Self {
        let [flip_columns, flip_rows] = [0; 2].map(|_| rng.random::<f64>());
        let mut either_way = || 2.0 * rng.random::<f64>() - 1.0;
        let (sin, cos) = (either_way() * config.rotation_deg).to_radians().sin_cos();
        let size = (either_way() * config.scale.ln_1p()).exp();
        // A share of the side is twice as much in places from −1 to 1.
        let shift = [0; 2].map(|_| 2.0 * config.shift * either_way());
        let mirror = |drawn: f64, chance: f64| if drawn < chance { -1.0 } else { 1.0 };
        let [x, y] =
            [mirror(flip_columns, config.flip_columns), mirror(flip_rows, config.flip_rows)];
        let (cos, sin) = (cos / size, sin / size);
        Self { matrix: [[x * cos, -x * sin], [y * sin, y * cos]], shift }
    }

    /// The image moved, read bilinearly; black comes in from outside.
    pub(super) fn image(&self, image: &SliceImage) -> SliceImage {
        let values = image.channels().flat_map(|channel| self.moved(channel, image.side));
        SliceImage { side: image.side, data: values.map(|v| v.round() as u8).collect() }
    }

    /// The labels moved: foreground where at least half of what is read is.
    pub(super) fn mask(&self, mask: &LabelMask) -> LabelMask {
        let moved = mask.resampled(|plane| self.moved(plane, mask.width()).collect());
        // As many numbers as before.
        moved.unwrap_or_else(|_| mask.clone())
    }

    /// The pixels of a square, row by row.
    fn moved<'a>(&self, pixels: &'a [u8], side: usize) -> impl Iterator<Item = f64> + use<'a> {
        let Self { matrix, shift } = *self;
        let half = 0.5 * side as f64;
        let centre = move |index: usize| (index as f64 + 0.5) / half - 1.0;
        let at = move |row: usize, column: usize| {
            let place = [centre(column), centre(row)];
            let [x, y] = [0, 1].map(|a| {
                let from = matrix[a][0] * place[0] + matrix[a][1] * place[1] + shift[a];
                (from + 1.0) * half - 0.5
            });
            bilinear(pixels, side, [x, y])
        };
        (0..side).flat_map(move |row| (0..side).map(move |column| at(row, column)))
    }
}

/// The value at (column, row) `place`, in pixels from the first one's centre; 0 outside.
fn bilinear(pixels: &[u8], side: usize, place: [f64; 2]) -> f64 {
    // What differs from a whole number by rounding alone is that number.
    let [(x, wx), (y, wy)] = place.map(|v| {
        let nearest = v.round();
        let v = if (v - nearest).abs() < 1e-9 { nearest } else { v };
        (v.floor(), v - v.floor())
    });
    let value = |row: f64, column: f64| {
        let inside = |v: f64| v >= 0.0 && v < side as f64;
        if inside(row) && inside(column) {
            f64::from(pixels[row as usize * side + column as usize])
        } else {
            0.0
        }
    };
    let line = |row: f64| {
        if wx > 0.0 { (1.0 - wx) * value(row, x) + wx * value(row, x + 1.0) } else { value(row, x) }
    };
    if wy > 0.0 { (1.0 - wy) * line(y) + wy * line(y + 1.0) } else { line(y) }
}
