//! Feature-space data augmentation, which costs next to nothing.

use crate::noise::gaussian_pair;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use desam_core::{ImageFeatures, LabelMask};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Ranges of the random augmentation of features; zero disables a change.
/// The encoder distinguishes left and right: mirrored features are not quite the features of a mirrored
/// image. What a scanner changes in all of an image shows in its features as another mean and deviation
/// of each channel, more or less; `style` varies these.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureAugment {
    /// Probability of a left-right flip of all maps and of the mask.
    pub flip_columns: f64,
    /// Each channel's deviation is multiplied by the exponential of a normal deviate times this, and
    /// its mean shifted by another one times this and its deviation.
    pub style: f64,
    /// Normal noise on every number, as a share of its channel's deviation.
    pub noise: f64,
}

impl FeatureAugment {
    /// No augmentation.
    pub fn none() -> Self {
        Self { flip_columns: 0.0, style: 0.0, noise: 0.0 }
    }

    /// Moderate augmentation, chosen for this project: neither the paper nor the official program names
    /// any.
    pub fn regular() -> Self {
        Self { flip_columns: 0.5, style: 0.1, noise: 0.1 }
    }

    /// Validates the settings.
    ///
    /// # Errors
    /// [`Error::AugmentConfig`] naming the field that does not.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("flip_columns", self.flip_columns, 1.0),
            ("style", self.style, 2.0),
            ("noise", self.noise, 10.0),
        ];
        match fields.into_iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((field, found, most)) => Err(Error::AugmentConfig { field, found, most }),
            None => Ok(()),
        }
    }

    /// Features `B = 1`, f32, and the slice's mask, changed at random. The same `rng` gives the same
    /// bits.
    ///
    /// # Errors
    /// When a setting makes no sense or a tensor operation fails.
    pub fn apply(
        &self,
        features: &ImageFeatures,
        mask: &LabelMask,
        rng: &mut impl Rng,
    ) -> Result<(ImageFeatures, LabelMask)> {
        self.validate()?;
        if *self == Self::none() {
            return Ok((features.clone(), mask.clone()));
        }
        let flip = rng.random::<f64>() < self.flip_columns;
        let taps = features.taps.iter().map(|tap| self.map(tap, flip, rng));
        let taps = taps.collect::<Result<_>>()?;
        let embedding = self.map(&features.embedding, flip, rng)?;
        let mask = if flip { mask.clone().flip_columns() } else { mask.clone() };
        Ok((ImageFeatures { taps, embedding }, mask))
    }

    /// One map `[1, C, G, G]`.
    fn map(&self, map: &Tensor, flip: bool, rng: &mut impl Rng) -> Result<Tensor> {
        let (_, _, height, width) = map.dims4()?;
        let mut values = map.flatten_all()?.to_vec1::<f32>()?;
        for channel in values.chunks_exact_mut((height * width).max(1)) {
            if flip {
                channel.chunks_exact_mut(width.max(1)).for_each(<[f32]>::reverse);
            }
            self.restyle(channel, rng);
        }
        Ok(Tensor::from_vec(values, map.shape(), &Device::Cpu)?.to_device(map.device())?)
    }

    fn restyle(&self, channel: &mut [f32], rng: &mut impl Rng) {
        let count = channel.len().max(1) as f64;
        let mean = channel.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let squares = channel.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>();
        let deviation = (squares / count).sqrt();
        let [wider, shifted] = gaussian_pair(rng).map(|normal| normal * self.style);
        let (factor, middle) = (wider.exp(), mean + shifted * deviation);
        for pair in channel.chunks_mut(2) {
            let noise = if self.noise > 0.0 { gaussian_pair(rng) } else { [0.0; 2] };
            for (value, noise) in pair.iter_mut().zip(noise) {
                let changed = middle + (f64::from(*value) - mean) * factor;
                *value = (changed + noise * self.noise * deviation) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn features() -> (ImageFeatures, LabelMask) {
        let map = |channels: usize| {
            let values: Vec<f32> =
                (0..channels * 16).map(|i| ((i * 7) % 23) as f32 - 9.0).collect();
            Tensor::from_vec(values, (1, channels, 4, 4), &Device::Cpu).unwrap()
        };
        let mask = (0..64).map(|i| u8::from(i % 8 < 3)).collect();
        let features = ImageFeatures { taps: vec![map(3), map(5)], embedding: map(2) };
        (features, LabelMask::new(8, 8, mask).unwrap())
    }

    fn run(augment: FeatureAugment, seed: u64) -> (Vec<Vec<f32>>, LabelMask) {
        let (features, mask) = features();
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (features, mask) = augment.apply(&features, &mask, rng).unwrap();
        let all = features.taps.iter().chain([&features.embedding]);
        (all.map(|t| t.flatten_all().unwrap().to_vec1().unwrap()).collect(), mask)
    }

    #[test]
    fn a_flip_mirrors_maps_and_mask_alike() {
        let (given, mask) = run(FeatureAugment::none(), 1);
        let flip = FeatureAugment { flip_columns: 1.0, ..FeatureAugment::none() };
        let (flipped, flipped_mask) = run(flip, 1);
        for (now, before) in flipped.iter().zip(&given) {
            for (now, before) in now.chunks(4).zip(before.chunks(4)) {
                // Means and deviations are taken away and put back in double precision.
                assert!(now.iter().zip(before.iter().rev()).all(|(a, b)| (a - b).abs() < 1e-5));
            }
        }
        assert!(
            flipped_mask
                .data()
                .chunks(8)
                .zip(mask.data().chunks(8))
                .all(|(a, b)| { a.iter().eq(b.iter().rev()) })
        );
    }

    #[test]
    fn a_style_is_one_factor_and_one_shift_a_channel() {
        let (given, mask) = run(FeatureAugment::none(), 1);
        let (styled, same) = run(FeatureAugment { style: 0.5, ..FeatureAugment::none() }, 1);
        assert_eq!(mask, same);
        let channels = styled.iter().flatten().zip(given.iter().flatten());
        let pairs: Vec<(f64, f64)> =
            channels.map(|(a, b)| (f64::from(*a), f64::from(*b))).collect();
        let mut factors = Vec::new();
        for channel in pairs.chunks(16) {
            let [(a, x), (b, y)] = [channel[0], channel[1]];
            let factor = (a - b) / (x - y);
            factors.push(factor);
            for (now, before) in channel {
                assert!((now - (a + (before - x) * factor)).abs() < 1e-4);
            }
        }
        assert!(factors.iter().all(|f| *f > 0.0));
        assert!(factors.windows(2).all(|f| (f[0] - f[1]).abs() > 1e-6));
    }

    #[test]
    fn noise_has_the_share_that_was_asked_for_and_the_seed_decides() {
        let augment = FeatureAugment { noise: 0.1, ..FeatureAugment::none() };
        let (given, _) = run(FeatureAugment::none(), 1);
        let (noisy, _) = run(augment, 1);
        assert_eq!(noisy, run(augment, 1).0);
        assert_ne!(noisy, run(augment, 2).0);
        let (now, before) = (noisy.concat(), given.concat());
        let difference: Vec<f64> = now.iter().zip(&before).map(|(a, b)| f64::from(a - b)).collect();
        let rms = |values: &[f64]| {
            (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
        };
        // The channels' own deviation is that of numbers spread evenly over 23: about 6.6. Of 160
        // draws the deviation is within a fifth of a tenth of that.
        let share = rms(&difference) / 6.6;
        assert!((0.08..0.12).contains(&share), "{share}");
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        for style in [-1.0, f64::NAN, 3.0] {
            let augment = FeatureAugment { style, ..FeatureAugment::regular() };
            let error = augment.validate().unwrap_err();
            assert!(matches!(error, Error::AugmentConfig { field: "style", .. }), "{error}");
        }
    }
}
