//! Random textures, deformations and Rician noise.

use super::shape::Point;
use crate::noise::gaussian_pair;
use rand::Rng;

/// Lattice points a side, a power of two; the pattern repeats after that many cells.
const SIDE: usize = 32;

/// Smooth noise in [-1, 1]: random values on a periodic lattice, smoothly interpolated.
#[derive(Debug, Clone)]
pub(super) struct SmoothNoise {
    lattice: Vec<f32>,
}

impl SmoothNoise {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        Self { lattice: (0..SIDE * SIDE * SIDE).map(|_| rng.random_range(-1.0..=1.0)).collect() }
    }

    /// The noise at `p`, with features of about `size` mm.
    pub(super) fn at(&self, p: Point, size: f64) -> f64 {
        // Index of the lattice plane below and above along each axis, and how far between.
        let mut steps = [[0usize; 2]; 3];
        let mut weight = [0.0f64; 3];
        for (a, stride) in [1, SIDE, SIDE * SIDE].into_iter().enumerate() {
            let t = p[a] / size;
            let floor = t.floor();
            // A power of two: the mask is the remainder, for negative cells too.
            let cell = (floor as i64 as usize) & (SIDE - 1);
            steps[a] = [cell * stride, ((cell + 1) & (SIDE - 1)) * stride];
            let f = t - floor;
            weight[a] = f * f * (3.0 - 2.0 * f);
        }
        let [x, y, z] = steps;
        let value = |i: usize| f64::from(self.lattice.get(i).copied().unwrap_or(0.0));
        let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
        let line = |start: usize| mix(value(start + x[0]), value(start + x[1]), weight[0]);
        let plane = |z: usize| mix(line(z + y[0]), line(z + y[1]), weight[1]);
        mix(plane(z[0]), plane(z[1]), weight[2])
    }
}

/// A smooth displacement of a few millimetres, so that no organ is a textbook ellipsoid.
#[derive(Debug, Clone)]
pub(super) struct Warp {
    waves: Vec<Wave>,
}

#[derive(Debug, Clone, Copy)]
struct Wave {
    /// Millimetres of displacement along each axis.
    shift: Point,
    /// Radians per mm along each axis.
    pitch: Point,
    phase: f64,
}

impl Warp {
    /// Four waves of 45 to 90 mm, none displacing by more than about `amplitude` mm.
    pub(super) fn draw(amplitude: f64, rng: &mut impl Rng) -> Self {
        let waves = (0..4).map(|_| {
            let shift = [0; 3].map(|_| rng.random_range(-1.0..1.0) * amplitude / 2.0);
            let turns = std::f64::consts::TAU / rng.random_range(45.0..90.0);
            let pitch = [0; 3].map(|_| rng.random_range(-1.0..1.0) * turns);
            Wave { shift, pitch, phase: rng.random_range(0.0..std::f64::consts::TAU) }
        });
        Self { waves: waves.collect() }
    }

    pub(super) fn apply(&self, p: Point) -> Point {
        let mut out = p;
        for w in &self.waves {
            let angle = w.pitch[0] * p[0] + w.pitch[1] * p[1] + w.pitch[2] * p[2] + w.phase;
            let s = angle.sin();
            for (o, shift) in out.iter_mut().zip(w.shift) {
                *o += shift * s;
            }
        }
        out
    }
}

/// The magnitude of a signal with complex noise of deviation `sigma`: Rician, as in MR magnitude
/// images, so that dark regions have a floor and no negative values.
pub(super) fn rician(signal: f64, sigma: f64, rng: &mut impl Rng) -> f64 {
    let [re, im] = gaussian_pair(rng);
    (signal + sigma * re).hypot(sigma * im)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn noise_is_bounded_and_continuous() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let noise = SmoothNoise::draw(&mut rng);
        for n in 0..2000 {
            let p = [f64::from(n) * 0.37 - 300.0, f64::from(n) * 0.11, -f64::from(n) * 0.23];
            let here = noise.at(p, 4.0);
            let beside = noise.at([p[0] + 1e-4, p[1], p[2]], 4.0);
            assert!(here.abs() <= 1.0);
            // Slope of the cubic weight is at most 1.5 a cell, values differ by at most 2.
            assert!((here - beside).abs() <= 3.0 * 1e-4 / 4.0 + 1e-12);
        }
    }

    #[test]
    fn rician_floor_is_the_rayleigh_mean() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let n = 40_000;
        let mean = (0..n).map(|_| rician(0.0, 2.0, &mut rng)).sum::<f64>() / f64::from(n);
        // Rayleigh mean: sigma * sqrt(pi / 2) = 2.5066 for sigma 2; its standard error here is
        // 2 * sqrt(2 - pi / 2) / 200 = 0.0066.
        assert!((mean - 2.5066).abs() < 0.03, "{mean}");
    }

    #[test]
    fn a_warp_moves_by_millimetres_only() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let warp = Warp::draw(2.0, &mut rng);
        for n in 0..200 {
            let p = [f64::from(n), -f64::from(n) * 0.7, f64::from(n) * 0.3];
            let q = warp.apply(p);
            // Four waves of at most half the amplitude each.
            assert!((0..3).all(|a| (p[a] - q[a]).abs() <= 4.0));
        }
    }
}
