//! Coordinate mapping of one axis between the volume and the processed frame.

/// Coordinate mapping between voxels and frame pixels along one axis: first resampling about the
/// middle (by `step` voxels a pixel), then cropping or padding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AxisMapping {
    /// Voxels of the volume.
    pub(super) source: usize,
    /// Pixels after resampling, before cropping.
    resampled: usize,
    /// Pixels of the frame.
    pub(super) frame: usize,
    /// Voxels a pixel.
    step: f64,
    /// Resampled pixel that the frame's first one is; below zero where the frame is padded.
    start: i64,
}

impl AxisMapping {
    /// The axis as it is.
    pub(super) fn identity(source: usize) -> Self {
        Self { source, resampled: source, frame: source, step: 1.0, start: 0 }
    }

    /// Resampled from one spacing to another; the middle stays where it is.
    pub(super) fn resampled(source: usize, from_mm: f64, to_mm: f64) -> Self {
        let pixels = ((source as f64 * from_mm / to_mm).round() as usize).max(1);
        Self { source, resampled: pixels, frame: pixels, step: to_mm / from_mm, start: 0 }
    }

    /// The middle `side` pixels, or all of them with padding on both ends.
    pub(super) fn cropped(self, side: usize) -> Self {
        let start = (self.resampled as i64 - side as i64).div_euclid(2);
        Self { frame: side, start, ..self }
    }

    /// Whether frame and volume are one and the same along this axis.
    pub(super) fn is_identity(&self) -> bool {
        *self == Self::identity(self.source)
    }

    fn middles(&self) -> (f64, f64) {
        ((self.source as f64 - 1.0) / 2.0, (self.resampled as f64 - 1.0) / 2.0)
    }

    /// Voxels a pixel.
    pub(super) fn step(&self) -> f64 {
        self.step
    }

    /// Voxel coordinate of frame pixel `f`, also beyond the ends of the volume.
    pub(super) fn place(&self, f: usize) -> f64 {
        let (source, resampled) = self.middles();
        ((f as i64 + self.start) as f64 - resampled) * self.step + source
    }

    /// Frame coordinate of voxel coordinate `s`, in pixels, also beyond the ends of either; the inverse
    /// of [`place`](Self::place).
    pub(super) fn frame_coordinate(&self, s: f64) -> f64 {
        (s - self.place(0)) / self.step
    }

    /// The same from voxel edges to pixel edges: 0 is the outer edge of the first.
    pub(super) fn frame_edge(&self, edge: f64) -> f64 {
        self.frame_coordinate(edge - 0.5) + 0.5
    }

    /// Voxel coordinate of frame pixel `f`, clamped to the volume's extent; `None` in the padding.
    pub(super) fn to_source(self, f: usize) -> Option<f64> {
        let pixel = f as i64 + self.start;
        if pixel < 0 || pixel >= self.resampled as i64 {
            return None;
        }
        let last = self.source as f64 - 1.0;
        Some(self.place(f).clamp(0.0, last.max(0.0)))
    }

    /// The voxel nearest to pixel `f` of the frame.
    pub(super) fn nearest(self, f: usize) -> Option<usize> {
        let last = self.source.checked_sub(1)?;
        self.to_source(f).map(|x| ((x + 0.5).floor() as usize).min(last))
    }

    /// Frame coordinate of voxel `s`, in pixels; `None` outside the crop.
    pub(super) fn to_frame(self, s: usize) -> Option<f64> {
        self.to_frame_at(s as f64)
    }

    /// The same for a position between voxels.
    pub(super) fn to_frame_at(self, s: f64) -> Option<f64> {
        let (source, resampled) = self.middles();
        let last = self.resampled as f64 - 1.0;
        let pixel = ((s - source) / self.step + resampled).clamp(0.0, last.max(0.0));
        let place = pixel - self.start as f64;
        (place >= -0.5 && place < self.frame as f64 - 0.5).then_some(place)
    }
}

/// The pixel of `from` that is nearest to pixel `i` of `to`, both spanning the same length.
pub(super) fn stretch_nearest(i: usize, to: usize, from: usize) -> usize {
    let place = (i as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
    ((place + 0.5).floor().max(0.0) as usize).min(from.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identity_is_identity() {
        let axis = AxisMapping::identity(7);
        for i in 0..7 {
            assert_eq!(axis.nearest(i), Some(i));
            assert_eq!(axis.to_frame(i), Some(i as f64));
        }
        assert!(axis.is_identity() && !axis.cropped(6).is_identity());
    }

    #[test]
    fn crops_and_pads_about_the_middle() {
        // By hand: 10 pixels to 4 keep 3..7; 4 to 7 pad 2 before and 1 after.
        let crop = AxisMapping::identity(10).cropped(4);
        assert_eq!([0, 3].map(|f| crop.nearest(f)), [Some(3), Some(6)]);
        assert_eq!([2, 3, 6, 7].map(|s| crop.to_frame(s)), [None, Some(0.0), Some(3.0), None]);
        let pad = AxisMapping::identity(4).cropped(7);
        assert_eq!([0, 1, 2, 5, 6].map(|f| pad.nearest(f)), [None, None, Some(0), Some(3), None]);
    }

    #[test]
    fn one_voxel_stays() {
        let axis = AxisMapping::resampled(1, 3.0, 3.6);
        assert_eq!((axis.frame, axis.nearest(0), axis.to_frame(0)), (1, Some(0), Some(0.0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn there_and_back(n in 1_usize..200, from in 0.2_f64..5.0, to in 0.2_f64..5.0, side in 1_usize..300) {
            let axis = AxisMapping::resampled(n, from, to).cropped(side);
            for s in 0..n {
                if let Some(place) = axis.to_frame(s) {
                    // The nearest pixel lies at most half a pixel off, and never in the padding.
                    let f = (place + 0.5).floor() as usize;
                    let back = axis.to_source(f);
                    prop_assert!(back.is_some());
                    let off = (back.unwrap_or(f64::NAN) - s as f64).abs();
                    // Beyond the outermost pixel centres a voxel is held to the extent.
                    prop_assert!(off <= 0.5 * to / from + 0.5 * (to / from).max(1.0) + 1e-9, "{off}");
                }
            }
        }

        #[test]
        fn stretching_stays_inside(to in 1_usize..300, from in 1_usize..300) {
            for i in 0..to {
                prop_assert!(stretch_nearest(i, to, from) < from);
            }
            prop_assert!(to != from || (0..to).all(|i| stretch_nearest(i, to, from) == i));
        }
    }
}
