//! Gaussian random numbers.

use rand::Rng;

/// Two independent normal deviates (Box and Muller).
pub(crate) fn gaussian_pair(rng: &mut impl Rng) -> [f64; 2] {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
    [radius * cos, radius * sin]
}
