//! Ground truth on the masks' grid.

use super::axis::stretch_nearest;
use super::spline::smoothing_radius;
use desam_core::LabelMask;

/// A slice of ground truth as large as the frame: labels, row by row.
pub(super) struct LabelFrame {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) data: Vec<u8>,
}

impl LabelFrame {
    /// Takes the rim away that smoothing before shrinking to `side` would lower below 1.
    pub(super) fn eroded_for(self, side: usize) -> Self {
        let Self { height, width, data } = self;
        let inside = data.iter().map(|&label| u8::from(label > 0)).collect();
        let kept = LabelFrame { height, width, data: inside }.eroded(side).data;
        // Labels that touch have no rim between them: it is the foreground that shrinks.
        let data = data.into_iter().zip(kept).map(|(label, kept)| label * kept).collect();
        Self { height, width, data }
    }

    /// The same of a plane of 0 and 1.
    fn eroded(mut self, side: usize) -> Self {
        let (down, across) =
            (smoothing_radius(self.height, side), smoothing_radius(self.width, side));
        let width = self.width;
        if across > 0 {
            self.data.chunks_exact_mut(width).for_each(|row| {
                let line = row.to_vec();
                erode(&line, across, |i, v| row[i] = v);
            });
        }
        if down > 0 {
            for c in 0..width {
                let line: Vec<u8> = self.data.iter().skip(c).step_by(width).copied().collect();
                erode(&line, down, |r, v| self.data[r * width + c] = v);
            }
        }
        self
    }

    /// The nearest pixel for each of `side × side`.
    pub(super) fn stretched(&self, side: usize) -> desam_core::Result<LabelMask> {
        let mut data = Vec::with_capacity(side * side);
        for row in 0..side {
            let start = stretch_nearest(row, side, self.height) * self.width;
            let line = &self.data[start..start + self.width];
            data.extend((0..side).map(|c| line[stretch_nearest(c, side, self.width)]));
        }
        LabelMask::new(side, side, data)
    }
}

/// Keeps what has foreground for `radius` on both sides; beyond the ends there is none.
fn erode(line: &[u8], radius: usize, mut set: impl FnMut(usize, u8)) {
    let mut run = 0_usize;
    // `end` is one past the window of the pixel `end - radius - 1`.
    for end in 1..=line.len() + radius {
        run = if line.get(end - 1).is_some_and(|&v| v > 0) { run + 1 } else { 0 };
        if let Some(i) = end.checked_sub(radius + 1) {
            set(i, u8::from(run > 2 * radius));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rims_go() {
        let erode = |line: &[u8], radius| {
            let mut out = vec![9; line.len()];
            super::erode(line, radius, |i, v| out[i] = v);
            out
        };
        // By hand.
        assert_eq!(erode(&[1, 1, 1, 1, 0, 1, 1, 1], 1), [0, 1, 1, 0, 0, 0, 1, 0]);
        assert_eq!(erode(&[1, 1, 1, 1, 1, 1], 2), [0, 0, 1, 1, 0, 0]);
        assert_eq!(erode(&[1, 1], 5), [0, 0]);
        assert_eq!(erode(&[1, 0, 1], 0), [1, 0, 1]);
    }
}
