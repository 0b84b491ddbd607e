//! Linear interpolation between samples, shared by resampling and by maps on their way back to voxels.

/// The two samples that a position lies between, and the weight of the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearWeights {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) t: f32,
}

impl LinearWeights {
    /// Weights at `position`, in samples from the centre of the first, clamped to `last`.
    pub(super) fn new(position: f64, last: usize) -> Self {
        let position = position.clamp(0.0, last as f64);
        let first = (position as usize).min(last);
        Self { first, second: (first + 1).min(last), t: (position - first as f64) as f32 }
    }

    /// All of sample `index`.
    pub(super) fn sample(index: usize) -> Self {
        Self { first: index, second: index, t: 0.0 }
    }

    /// Interpolates between two values.
    pub(super) fn mix(self, first: f32, second: f32) -> f32 {
        first + (second - first) * self.t
    }
}

/// Bilinear interpolation of `plane`, a square of `side` pixels stored row by row.
pub(super) fn bilinear(plane: &[f32], side: usize, x: LinearWeights, y: LinearWeights) -> f32 {
    let line = |row: usize| {
        let at = |column: usize| plane.get(row * side + column).copied().unwrap_or(0.0);
        x.mix(at(x.first), at(x.second))
    };
    y.mix(line(y.first), line(y.second))
}
