//! Closed contours around a centre: ellipses, wavy blobs, polygons, and rings of them.

use super::rng::{chance, scaled, uniform};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::{PI, TAU};

/// Directions in which a contour's radius is written down.
const DIRECTIONS: usize = 256;

/// A contour, star-shaped after it has been turned and stretched.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Column and row, pixels.
    pub(crate) centre: [f32; 2],
    /// Distance to the contour in every direction, pixels.
    radius: Vec<f32>,
    /// From an offset in pixels to the space in which `radius` is meant.
    turn: [[f32; 2]; 2],
    /// How much that space is stretched; a distance in it is worth so many pixels at least.
    stretch: f32,
    /// Part of the radius that is a hole; 0 for none.
    hole: f32,
}

impl Shape {
    /// One of about `radius` pixels around `centre`.
    pub(crate) fn draw(centre: [f32; 2], radius: f32, rng: &mut ChaCha8Rng) -> Self {
        let contour = match rng.random_range(0..10) {
            0..3 => vec![1.0; DIRECTIONS],
            3..8 => waves(rng),
            _ => polygon(rng),
        };
        let (stretch, angle) = (scaled(rng, 0.45, 1.0), uniform(rng, 0.0, PI));
        let (sin, cos) = angle.sin_cos();
        Self {
            centre,
            radius: contour.into_iter().map(|r| r * radius).collect(),
            turn: [[cos, sin], [-sin / stretch, cos / stretch]],
            stretch,
            hole: if chance(rng, 0.1) { uniform(rng, 0.35, 0.75) } else { 0.0 },
        }
    }

    /// How far inside the contour a pixel is, in pixels, about; negative outside.
    pub(crate) fn depth(&self, x: f32, y: f32) -> f32 {
        let [dx, dy] = [x - self.centre[0], y - self.centre[1]];
        let [u, v] = self.turn.map(|row| row[0] * dx + row[1] * dy);
        let at = (v.atan2(u) / TAU + 1.0) * DIRECTIONS as f32;
        let (low, part) = (at as usize, at.fract());
        let [a, b] = [low, low + 1].map(|i| self.radius[i % DIRECTIONS]);
        let (radius, distance) = (a + (b - a) * part, u.hypot(v));
        let depth = (radius - distance).min(if self.hole > 0.0 {
            distance - self.hole * radius
        } else {
            f32::INFINITY
        });
        depth * self.stretch
    }

    /// No pixel further than this from the centre, along either axis, is inside.
    pub(crate) fn reach(&self) -> f32 {
        self.radius.iter().copied().fold(0.0, f32::max)
    }
}

/// A circle with a few waves around it.
fn waves(rng: &mut ChaCha8Rng) -> Vec<f32> {
    let rough = uniform(rng, 0.05, 0.35);
    let waves: Vec<[f32; 3]> = (2..7)
        .map(|k| [k as f32, rough * uniform(rng, 0.0, 2.0) / k as f32, uniform(rng, 0.0, TAU)])
        .collect();
    let at = |i: usize| {
        let angle = TAU * i as f32 / DIRECTIONS as f32;
        let sum: f32 =
            waves.iter().map(|[k, height, phase]| height * (k * angle + phase).cos()).sum();
        (1.0 + sum).max(0.15)
    };
    (0..DIRECTIONS).map(at).collect()
}

/// Straight edges between 3 to 7 corners at uneven distances.
fn polygon(rng: &mut ChaCha8Rng) -> Vec<f32> {
    let count = rng.random_range(3..8);
    let corners: Vec<[f32; 2]> = (0..count)
        .map(|i| {
            let angle = TAU * (i as f32 + uniform(rng, -0.25, 0.25)) / count as f32;
            let radius = uniform(rng, 0.6, 1.2);
            [radius * angle.cos(), radius * angle.sin()]
        })
        .collect();
    // Where the ray in each direction leaves the edge that it meets.
    let at = |i: usize| {
        let (sin, cos) = (TAU * i as f32 / DIRECTIONS as f32).sin_cos();
        let hit = |k: usize| {
            let ([ax, ay], [bx, by]) = (corners[k], corners[(k + 1) % count]);
            let (ex, ey) = (bx - ax, by - ay);
            let across = cos * ey - sin * ex;
            let along = (ax * ey - ay * ex) / across;
            let part = (ax * sin - ay * cos) / across;
            (along > 0.0 && (-1e-3..=1.001).contains(&part)).then_some(along)
        };
        (0..count).filter_map(hit).fold(0.15, f32::max).min(1.5)
    };
    (0..DIRECTIONS).map(at).collect()
}
