//! Simulated low resolution: nearest-neighbour downsampling, cubic upsampling.

use super::Plane;
use super::sample::Spline;

/// Pixels that the edge is repeated for before a spline is fitted (SciPy's `nearest`).
const MARGIN: usize = 12;

impl Plane {
    /// Low resolution: downsampled by `zoom` to nearest neighbours, and upsampled to the old size by cubic
    /// splines, clipped to the range of the small slice. Edge pixels continue outside.
    #[must_use]
    pub fn low_resolution(&self, zoom: f64) -> Self {
        let shrunk = |count: usize| {
            let pixels = (count as f64 * zoom).round_ties_even();
            pixels.clamp(1.0, count as f64) as usize
        };
        let small = self.nearest(shrunk(self.height), shrunk(self.width));
        if (small.height, small.width) == (self.height, self.width) {
            return small;
        }
        let [low, high] = small.range();
        let spline = Spline::fit(&small.with_edge(MARGIN));
        // Middles of pixels: the same field of view.
        let at = |index: usize, to: usize, from: usize| {
            (index as f64 + 0.5) * from as f64 / to as f64 - 0.5 + MARGIN as f64
        };
        let value = |r: usize, c: usize| {
            let row = at(r, self.height, small.height);
            let column = at(c, self.width, small.width);
            spline.value(row, column).max(low).min(high)
        };
        let pixels = (0..self.height).flat_map(|r| (0..self.width).map(move |c| (r, c)));
        self.with_values(pixels.map(|(r, c)| value(r, c)).collect())
    }

    /// Nearest-neighbour interpolation to `height × width`.
    fn nearest(&self, height: usize, width: usize) -> Self {
        let from = |index: usize, to: usize, count: usize| {
            let at = ((index as f64 + 0.5) * count as f64 / to as f64).floor() as usize;
            at.min(count - 1)
        };
        let mut values = Vec::with_capacity(height * width);
        for r in 0..height {
            let start = from(r, height, self.height) * self.width;
            let row = self.values.get(start..start + self.width).unwrap_or_default();
            let pixels = (0..width).map(|c| from(c, width, self.width));
            values.extend(pixels.map(|c| row.get(c).copied().unwrap_or(0.0)));
        }
        Self { height, width, values }
    }

    /// `margin` copies of the edge pixels on all sides.
    fn with_edge(&self, margin: usize) -> Self {
        let (height, width) = (self.height + 2 * margin, self.width + 2 * margin);
        let inner = |index: usize, count: usize| index.saturating_sub(margin).min(count - 1);
        let pixels = (0..height).flat_map(|r| (0..width).map(move |c| (r, c)));
        let value = |(r, c)| {
            let index = inner(r, self.height) * self.width + inner(c, self.width);
            self.values.get(index).copied().unwrap_or(0.0)
        };
        let values = pixels.map(value).collect();
        Self { height, width, values }
    }
}
