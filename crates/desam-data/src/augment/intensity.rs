//! Intensity augmentation: gamma, bias field, noise.

use super::ImageAugment;
use crate::noise::gaussian_pair;
use crate::preprocess::SliceImage;
use rand::Rng;

/// Waves of the bias field, none shorter than the side.
const WAVES: usize = 3;

/// A change of intensities.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tone {
    gamma: f64,
    /// Cosines over the square: radians along (column, row) from −1 to 1, phase, amplitude.
    waves: [([f64; 2], f64, f64); WAVES],
    noise: f64,
}

impl Tone {
    /// Every number is drawn whether it is used or not.
    pub(super) fn draw(config: &ImageAugment, rng: &mut impl Rng) -> Self {
        let mut even = |from: f64, to: f64| from + (to - from) * rng.random::<f64>();
        let gamma = (config.gamma * even(-1.0, 1.0)).exp();
        let half_turn = std::f64::consts::PI;
        let waves = [0; WAVES].map(|_| {
            let pitch = [0; 2].map(|_| even(-half_turn, half_turn));
            let phase = even(0.0, 2.0 * half_turn);
            (pitch, phase, even(-1.0, 1.0) * config.bias_field / WAVES as f64)
        });
        Self { gamma, waves, noise: config.noise * even(0.0, 1.0) }
    }

    /// Gamma, bias field, then noise; 0 to 255 is kept to.
    pub(super) fn change(&self, image: &mut SliceImage, rng: &mut impl Rng) {
        let side = image.side.max(1);
        if self.gamma != 1.0 {
            let level = |v: usize| (255.0 * (v as f64 / 255.0).powf(self.gamma)).round() as u8;
            let levels: [u8; 256] = std::array::from_fn(level);
            image.data.iter_mut().for_each(|v| *v = levels[usize::from(*v)]);
        }
        let noisy = self.noise > 0.0;
        let biased = self.waves.iter().any(|(_, _, amplitude)| *amplitude != 0.0);
        if !noisy && !biased {
            return;
        }
        let centre = |index: usize| (2 * index + 1) as f64 / side as f64 - 1.0;
        let mut spare = None;
        for (index, pixel) in image.data.iter_mut().enumerate() {
            // Red, green and blue one after the other share the field.
            let place = [centre(index % side), centre(index / side % side)];
            let wave = |([x, y], phase, amplitude): &([f64; 2], f64, f64)| {
                amplitude * (x * place[0] + y * place[1] + phase).cos()
            };
            let field: f64 = self.waves.iter().map(wave).sum();
            let mut added = 0.0;
            if noisy {
                added = spare.take().unwrap_or_else(|| {
                    let [now, later] = gaussian_pair(rng);
                    spare = Some(later);
                    now
                });
            }
            let value = f64::from(*pixel) * field.exp() + self.noise * added;
            // A cast to u8 keeps to its range.
            *pixel = value.round() as u8;
        }
    }
}
