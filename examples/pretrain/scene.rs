//! Grey scenes of overlapping, textured things, with a mask of each. They are of nothing: no organ,
//! no scanner, none of the phantoms' rules.

use super::field::{blur, shading, texture};
use super::rng::{bell, chance, scaled, sign, uniform};
use super::shape::Shape;
use desam::types::BinaryMask;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A thing must show so many pixels of a 256² scene to be asked for, and no more than so much of it.
const SMALLEST: f32 = 200.0 / 65536.0;
const LARGEST: f32 = 0.7;

/// A picture and the things that can be seen in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scene {
    /// Side, pixels.
    pub(crate) side: usize,
    /// Grey values, row by row.
    pub(crate) grey: Vec<u8>,
    /// What shows of each thing; what lies in another belongs to both. At least one.
    pub(crate) objects: Vec<BinaryMask>,
}

/// The picture while it is painted.
struct Canvas {
    side: usize,
    grey: Vec<f32>,
    masks: Vec<Vec<bool>>,
}

/// Draws a scene of `side` pixels.
pub(crate) fn draw(side: usize, rng: &mut ChaCha8Rng) -> Scene {
    loop {
        let mut canvas = Canvas::empty(side, rng);
        if chance(rng, 0.4) {
            let radius = side as f32 * uniform(rng, 0.3, 0.55);
            canvas.paint(radius, None, rng);
        }
        for _ in 0..rng.random_range(4..15) {
            let inside = chance(rng, 0.4) && !canvas.masks.is_empty();
            let parent = inside.then(|| rng.random_range(0..canvas.masks.len()));
            let radius = side as f32 * scaled(rng, 0.045, 0.3);
            canvas.paint(radius, parent, rng);
        }
        let objects = canvas.visible();
        if !objects.is_empty() {
            return Scene { side, grey: canvas.develop(rng), objects };
        }
    }
}

impl Canvas {
    fn empty(side: usize, rng: &mut ChaCha8Rng) -> Self {
        let level = if chance(rng, 0.35) { uniform(rng, 0.0, 0.1) } else { uniform(rng, 0.1, 0.9) };
        let (grain, shade) = (uniform(rng, 0.0, 0.15), uniform(rng, 0.0, 0.2));
        let (texture, shading) = (texture(side, rng), shading(side, rng));
        let both = texture.iter().zip(&shading);
        let grey = both.map(|(t, s)| level + grain * t + shade * s).collect();
        Self { side, grey, masks: Vec::new() }
    }

    /// Paints a thing of about `radius` pixels, anywhere or inside the thing `parent`.
    fn paint(&mut self, radius: f32, parent: Option<usize>, rng: &mut ChaCha8Rng) {
        let side = self.side;
        let Some((centre, radius)) = self.place(radius, parent, rng) else {
            return;
        };
        let shape = Shape::draw(centre, radius, rng);
        let under = self.grey
            [(centre[1] as usize).min(side - 1) * side + (centre[0] as usize).min(side - 1)];
        // A few things differ from what is around them by their grain alone.
        let (contrast, grain) = if chance(rng, 0.12) {
            (uniform(rng, 0.0, 0.03), uniform(rng, 0.1, 0.25))
        } else {
            (scaled(rng, 0.06, 0.5), uniform(rng, 0.0, 0.12))
        };
        let sign = sign(rng);
        let level = if (0.0..=1.0).contains(&(under + sign * contrast)) {
            under + sign * contrast
        } else {
            under - sign * contrast
        };
        let (edge, opacity) = (scaled(rng, 0.7, 5.0), uniform(rng, 0.8, 1.0));
        let shade = uniform(rng, 0.0, 0.12);
        let (texture, shading) = (texture(side, rng), shading(side, rng));
        let mut mask = vec![false; side * side];
        let [columns, rows] = [0, 1].map(|axis| {
            let reach = shape.reach() + edge;
            let low = (centre[axis] - reach).max(0.0) as usize;
            low..((centre[axis] + reach).max(0.0) as usize + 1).min(side)
        });
        for y in rows {
            for x in columns.clone() {
                let i = y * side + x;
                if parent.is_some_and(|p| !self.masks[p][i]) {
                    continue;
                }
                let depth = shape.depth(x as f32, y as f32);
                let cover = (depth / edge + 0.5).clamp(0.0, 1.0) * opacity;
                let own = level + grain * texture[i] + shade * shading[i];
                self.grey[i] += (own - self.grey[i]) * cover;
                mask[i] = depth > 0.0;
            }
        }
        // What lies on others hides them; what lies in one leaves it whole and hides none.
        if parent.is_none() {
            for other in &mut self.masks {
                other.iter_mut().zip(&mask).for_each(|(o, m)| *o &= !m);
            }
        }
        self.masks.push(mask);
    }

    /// A centre, and a radius that suits it; nothing where the parent has no pixel left.
    fn place(
        &self,
        radius: f32,
        parent: Option<usize>,
        rng: &mut ChaCha8Rng,
    ) -> Option<([f32; 2], f32)> {
        let side = self.side as f32;
        let Some(parent) = parent else {
            return Some((
                [uniform(rng, 0.02, 0.98) * side, uniform(rng, 0.02, 0.98) * side],
                radius,
            ));
        };
        let inside: Vec<usize> = (0..self.grey.len()).filter(|i| self.masks[parent][*i]).collect();
        let at = *inside.get(rng.random_range(0..inside.len().max(1)))?;
        let most = (inside.len() as f32).sqrt() * 0.4;
        Some(([(at % self.side) as f32, (at / self.side) as f32], radius.min(most).max(2.0)))
    }

    /// The masks of the things of which neither too little nor too much shows.
    fn visible(&self) -> Vec<BinaryMask> {
        let all = self.masks.iter().filter_map(|mask| {
            let values = mask.iter().map(|m| u8::from(*m)).collect();
            BinaryMask::new(self.side, self.side, values).ok()
        });
        let pixels = (self.side * self.side) as f32;
        all.filter(|m| (SMALLEST * pixels..=LARGEST * pixels).contains(&(m.area() as f32)))
            .collect()
    }

    /// Bias, contrast, noise and blur of a camera that is never the same; 256 levels.
    fn develop(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (bias, strength) = (shading(self.side, rng), uniform(rng, 0.0, 0.4));
        let (gamma, invert) = (scaled(rng, 0.6, 1.6), chance(rng, 0.3));
        let noise = scaled(rng, 0.004, 0.08);
        let exposed = self.grey.iter().zip(&bias).map(|(v, b)| {
            let v = v.clamp(0.0, 1.0).powf(gamma) * (strength * b).exp();
            if invert { 1.0 - v } else { v }
        });
        let mut grey: Vec<f32> = exposed.collect();
        let late = chance(rng, 0.5);
        if late {
            grey = self.soften(&grey, rng);
        }
        grey.iter_mut().for_each(|v| *v += noise * bell(rng));
        if !late {
            grey = self.soften(&grey, rng);
        }
        // Most pictures use the whole scale, as a percentile window makes them.
        let (low, high) = if chance(rng, 0.85) { window(&grey) } else { (-0.1, 1.2) };
        let scale = 255.0 / (high - low).max(1e-3);
        grey.iter().map(|v| ((v - low) * scale).round().clamp(0.0, 255.0) as u8).collect()
    }

    fn soften(&self, grey: &[f32], rng: &mut ChaCha8Rng) -> Vec<f32> {
        let sigma = uniform(rng, 0.3, 2.0) * self.side as f32 / 256.0;
        blur(grey, self.side, sigma)
    }
}

/// The percentiles ½ and 99½.
fn window(grey: &[f32]) -> (f32, f32) {
    let mut sorted = grey.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = |part: f32| sorted[((sorted.len() - 1) as f32 * part) as usize];
    (at(0.005), at(0.995))
}

#[cfg(test)]
mod tests {
    use super::super::rng::{Purpose, stream};
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_scene_and_another_does_not() {
        let scene = |seed, purpose, index| draw(64, &mut stream(seed, purpose, index));
        let first = scene(1, Purpose::Training, 0);
        assert_eq!(first, scene(1, Purpose::Training, 0));
        assert_ne!(first.grey, scene(2, Purpose::Training, 0).grey);
        assert_ne!(first.grey, scene(1, Purpose::HeldOut, 0).grey);
        assert_ne!(first.grey, scene(1, Purpose::Training, 1).grey);
    }

    #[test]
    fn things_are_neither_too_small_nor_too_large_and_scenes_are_not_flat() {
        let (mut things, mut small, mut nested) = (0, 0, 0);
        for index in 0..40 {
            let scene = draw(128, &mut stream(7, Purpose::Training, index));
            assert_eq!((scene.side, scene.grey.len()), (128, 128 * 128));
            let (low, high) = (scene.grey.iter().min().unwrap(), scene.grey.iter().max().unwrap());
            assert!(high - low > 40, "scene {index}: {low} to {high}");
            things += scene.objects.len();
            for object in &scene.objects {
                assert_eq!((object.height(), object.width()), (128, 128));
                let part = object.area() as f32 / (128.0 * 128.0);
                assert!((SMALLEST..=LARGEST).contains(&part), "scene {index}: {part}");
                small += usize::from(part < 0.02);
                let within = |other: &&BinaryMask| {
                    other.area() > object.area()
                        && object.data().iter().zip(other.data()).all(|(a, b)| a <= b)
                };
                nested += usize::from(scene.objects.iter().any(|o| within(&o)));
            }
        }
        // All three kinds occur: many things a scene, small ones, and things in things.
        assert!(things > 120 && small > 30 && nested > 10, "{things} {small} {nested}");
    }
}
