//! Gaussian filter, as SciPy's `gaussian_filter`.

use super::Plane;

/// What a filter reads outside the slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The slice mirrored at its edges, edge pixels twice (SciPy's `reflect`).
    Reflect,
    /// Zeros (SciPy's `constant`).
    Zero,
}

/// A kernel ends after so many standard deviations.
const TRUNCATE: f64 = 4.0;

/// Longest flank of a kernel, pixels: far beyond any slice.
const MAX_RADIUS: f64 = 65_536.0;

impl Plane {
    /// Gaussian filter of standard deviation `sigma`, pixels, cut off after four of them. `sigma` of 0
    /// or less changes nothing.
    #[must_use]
    pub fn gaussian_filter(&self, sigma: f64, boundary: Boundary) -> Self {
        let radius = (TRUNCATE * sigma + 0.5).clamp(0.0, MAX_RADIUS) as usize;
        if !(sigma > 0.0 && radius > 0) {
            return self.clone();
        }
        let weight = |x: usize| (-0.5 * (x * x) as f64 / (sigma * sigma)).exp();
        let total = weight(0) + 2.0 * (1..=radius).rev().map(weight).sum::<f64>();
        let kernel: Vec<f64> = (0..=radius).map(|x| weight(x) / total).collect();
        self.along_axes(|line| {
            (0..line.len()).map(|at| correlate(line, &kernel, boundary, at)).collect()
        })
    }
}

/// The kernel's middle at `at`; `kernel` is the middle and one flank.
fn correlate(line: &[f64], kernel: &[f64], boundary: Boundary, at: usize) -> f64 {
    let value = |position: isize| match usize::try_from(position).ok().and_then(|i| line.get(i)) {
        Some(value) => *value,
        None if boundary == Boundary::Zero => 0.0,
        None => {
            // Edge pixels occur twice, so that the pattern repeats after two lengths.
            let length = line.len() as isize;
            let within = position.rem_euclid(2 * length.max(1));
            let mirrored = within.min(2 * length - 1 - within);
            usize::try_from(mirrored).ok().and_then(|i| line.get(i)).copied().unwrap_or(0.0)
        }
    };
    let at = at as isize;
    let flanks = kernel.iter().enumerate().skip(1);
    let sum = flanks.map(|(x, weight)| (value(at - x as isize) + value(at + x as isize)) * weight);
    sum.sum::<f64>() + value(at) * kernel.first().copied().unwrap_or(1.0)
}
