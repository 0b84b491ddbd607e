//! Restoring masks to the volume's own grid from their logits: interpolated first, thresholded and
//! compared between classes then.

use super::linear::{LinearWeights, bilinear};
use super::prepared::PreparedVolume;
use super::restore::Interpolation;
use super::slice_geometry::SliceGeometry;
use crate::{Error, Result};
use desam_core::{BinaryMask, Error as CoreError, LabelVolume};
use desam_volume::fallible;

/// Fractions of a slice that count as none: the last digits of a spacing must not decide between two
/// slices.
const EPS: f32 = 1e-5;

/// The smallest magnitude of a logit whose sign the mask has overruled.
const LEAST_LOGIT: f32 = 1e-3;

/// What was predicted of one class on a processed slice: its mask, `M × M`, and the logits it was
/// thresholded from, row by row. Where the two disagree the mask is right: a small region was removed, a
/// border cleared. A mask without logits (an empty list) counts as logits of 1 and −1.
#[derive(Debug, Clone, Copy)]
pub struct ClassPlane<'a> {
    /// The mask. Those of different classes may overlap.
    pub mask: &'a BinaryMask,
    /// The logits.
    pub logits: &'a [f32],
}

/// A mask on the volume's own grid, made of the logits of processed slices: linear between pixel
/// centres and between slices, positive is foreground, and of several classes the one with the largest
/// logit. Its outline is smooth where that of [`PreparedVolume::restore`] has the steps of the mask's
/// pixels.
///
/// Slices go in one by one, and two of them are in memory. Between a slice with a mask and one without,
/// the nearer of the two decides: an empty slice has no logits that could be trusted.
#[derive(Debug)]
pub struct SmoothMask<'a> {
    geometry: &'a SliceGeometry,
    /// Of each column and each row.
    sampling: [Vec<Option<LinearWeights>>; 2],
    /// In the order in which slices are cut.
    data: Vec<u8>,
    /// Slices of the volume that are done.
    done: usize,
    /// Processed slices that went in, and the planes of the last one: one a class, `None` without a mask.
    planes: usize,
    last: Planes,
    classes: usize,
}

/// The logits of one slice by class.
type Planes = Vec<Option<Vec<f32>>>;

impl PreparedVolume {
    /// An empty mask of `classes` classes, to be filled from logits, slice by slice.
    ///
    /// # Errors
    /// [`Allocation`](desam_volume::Error::Allocation) when there is no memory for it.
    pub fn smooth_mask(&self, classes: usize) -> Result<SmoothMask<'_>> {
        let data = fallible::with_capacity(self.grid().len())?;
        let geometry = self.geometry();
        let sampling = geometry.sampling(geometry.mask_side(), Interpolation::Linear);
        let last = vec![None; classes];
        Ok(SmoothMask { geometry, sampling, data, done: 0, planes: 0, last, classes })
    }
}

impl SmoothMask<'_> {
    /// Adds the next processed slice, one plane a class.
    ///
    /// # Errors
    /// When the sizes are not those of the model's masks, there are more or fewer classes, or no more
    /// slices.
    pub fn push(&mut self, classes: &[ClassPlane<'_>]) -> Result<()> {
        let (side, len) = (self.geometry.mask_side(), self.geometry.len());
        if classes.len() != self.classes {
            return Err(CoreError::shape("classes", self.classes, classes.len()).into());
        }
        for ClassPlane { mask, logits } in classes {
            let found = (mask.height(), mask.width());
            if found != (side, side) {
                return Err(CoreError::shape("mask to restore", (side, side), found).into());
            }
            if !logits.is_empty() && logits.len() != side * side {
                return Err(CoreError::shape("logits to restore", side * side, logits.len()).into());
            }
        }
        if self.planes >= len {
            return Err(Error::SliceIndex { index: self.planes, len });
        }
        let claimed = claimed(classes);
        let plane = |class: &ClassPlane<'_>| {
            (!class.mask.is_empty()).then(|| agreeing(class.mask, class.logits, &claimed))
        };
        let planes: Planes = classes.iter().map(plane).collect();
        self.planes += 1;
        self.fill(&planes);
        self.last = planes;
        Ok(())
    }

    /// The mask on the volume's own grid: the class of each voxel, from 1, and 0 for background.
    ///
    /// # Errors
    /// When not every processed slice went in.
    pub fn finish(self) -> Result<LabelVolume> {
        let len = self.geometry.len();
        if self.planes != len {
            return Err(CoreError::shape("masks to restore", len, self.planes).into());
        }
        let grid = *self.geometry.grid();
        Ok(LabelVolume::new(grid, self.geometry.order().undo(grid.dims, self.data)?)?)
    }

    /// Computes the slices of the volume that lie up to the newest planes, and after the last ones those
    /// beyond them.
    fn fill(&mut self, newest: &[Option<Vec<f32>>]) {
        let (z, last) = (self.planes - 1, self.geometry.len() - 1);
        let side = self.geometry.mask_side();
        let depth = self.geometry.dims()[2];
        while self.done < depth {
            let position = self.geometry.axes()[2].to_frame(self.done);
            let at = position.map(|p| LinearWeights::new(p, last));
            // The end of a pair is needed only where it has a weight.
            let needed = at.map_or(0, |at| if at.t > EPS { at.second } else { at.first });
            if needed > z {
                return;
            }
            let mut pairs = Vec::with_capacity(self.classes);
            if let Some(at) = at {
                for (last, newest) in self.last.iter().zip(newest) {
                    pairs.push(Pair::new(at, z, last.as_deref(), newest.as_deref()));
                }
            }
            let [columns, rows] = &self.sampling;
            for row in rows {
                for column in columns {
                    self.data.push(match row.zip(*column) {
                        Some((y, x)) => largest(pairs.iter().map(|pair| pair.sample(side, x, y))),
                        None => 0,
                    });
                }
            }
            self.done += 1;
        }
    }
}

/// The class with the largest logit, from 1, the first of equals; 0 where none is above 0.
fn largest(logits: impl Iterator<Item = f32>) -> u8 {
    let mut best = (0.0, 0);
    for (logit, class) in logits.zip(1..) {
        if logit > best.0 {
            best = (logit, class);
        }
    }
    best.1
}

/// The planes of a class to either side of a slice of the volume.
enum Pair<'p> {
    Nothing,
    One(&'p [f32]),
    Between(&'p [f32], &'p [f32], LinearWeights),
}

impl<'p> Pair<'p> {
    /// `newest` is the plane of processed slice `z`, `last` the one before.
    fn new(
        at: LinearWeights,
        z: usize,
        last: Option<&'p [f32]>,
        newest: Option<&'p [f32]>,
    ) -> Self {
        let plane = |index: usize| if index == z { newest } else { last };
        let (first, second) = (plane(at.first), plane(at.second));
        match (first, second) {
            (Some(first), Some(second)) if (EPS..=1.0 - EPS).contains(&at.t) => {
                Self::Between(first, second, at)
            }
            // Halfway the later slice decides, as for masks by the nearest slice.
            _ if at.t + EPS >= 0.5 => second.map_or(Self::Nothing, Self::One),
            _ => first.map_or(Self::Nothing, Self::One),
        }
    }

    fn sample(&self, side: usize, x: LinearWeights, y: LinearWeights) -> f32 {
        match self {
            Self::Nothing => 0.0,
            Self::One(plane) => bilinear(plane, side, x, y),
            Self::Between(first, second, at) => {
                at.mix(bilinear(first, side, x, y), bilinear(second, side, x, y))
            }
        }
    }
}

/// Pixels that a class covers with a positive logit, where there are several classes.
fn claimed(classes: &[ClassPlane<'_>]) -> Vec<bool> {
    let [first, _, ..] = classes else { return Vec::new() };
    let claims = |class: &ClassPlane<'_>, n: usize| {
        class.mask.data()[n] > 0 && class.logits.get(n).copied().unwrap_or(1.0) > 0.0
    };
    let pixels = 0..first.mask.data().len();
    pixels.map(|n| classes.iter().any(|class| claims(class, n))).collect()
}

/// Logits whose signs agree with the mask: those that do not are flipped.
/// A filled hole that a class has `claimed` is that one's.
fn agreeing(mask: &BinaryMask, logits: &[f32], claimed: &[bool]) -> Vec<f32> {
    let logit = |n: usize| {
        let own = logits.get(n).copied().unwrap_or(1.0);
        let is_taken = own <= 0.0 && mask.data()[n] > 0 && claimed.get(n).is_some_and(|c| *c);
        if is_taken { LEAST_LOGIT } else { own.abs().max(LEAST_LOGIT) }
    };
    let signed = |(n, value): (usize, &u8)| if *value > 0 { logit(n) } else { -logit(n) };
    mask.data().iter().enumerate().map(signed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{Frame, PreprocessConfig};
    use desam_core::{Affine, EncoderSpec, Grid, LabelMask, Volume};
    use proptest::prelude::*;

    /// A volume of `dims` voxels of `spacing` mm, prepared for masks of 4 × 4 pixels.
    fn prepared(dims: [usize; 3], spacing: [f64; 3], to: Option<[f64; 3]>) -> PreparedVolume {
        let spec = EncoderSpec {
            input_side: 16,
            patch: 16,
            tap_channels: vec![8; 3],
            embedding_channels: 8,
        };
        let grid = Grid { dims, affine: Affine::from_spacing(spacing) };
        let volume = Volume::new(grid, (0..grid.len()).map(|n| n as f32).collect()).unwrap();
        let frame = match to {
            Some(_) => Frame::Crop { side: 8 },
            None => Frame::MaskSide,
        };
        let stored = PreprocessConfig::official().stored();
        let config = PreprocessConfig { spacing_mm: to, frame, ..stored };
        config.prepare(&volume, &spec).unwrap()
    }

    /// Restores planes of logits, whose signs are their masks.
    fn restored(prepared: &PreparedVolume, planes: &[Vec<f32>]) -> LabelVolume {
        let mut smooth = prepared.smooth_mask(1).unwrap();
        for logits in planes {
            push(&mut smooth, &mask(logits), logits).unwrap();
        }
        smooth.finish().unwrap()
    }

    /// Adds a slice of one class.
    fn push(smooth: &mut SmoothMask<'_>, mask: &BinaryMask, logits: &[f32]) -> Result<()> {
        smooth.push(&[ClassPlane { mask, logits }])
    }

    fn mask(logits: &[f32]) -> BinaryMask {
        BinaryMask::new(4, 4, logits.iter().map(|l| u8::from(*l > 0.0)).collect()).unwrap()
    }

    /// A plane with logit `inside` in the left half of its columns, `outside` in the right half.
    fn halves(inside: f32, outside: f32) -> Vec<f32> {
        (0..16).map(|n| if n % 4 < 2 { inside } else { outside }).collect()
    }

    #[test]
    fn an_outline_lies_where_the_interpolated_logit_is_0() {
        // By hand: 4 mask pixels over 16 voxels; voxel i is at (i + 0.5) / 4 - 0.5 in pixels. Between
        // pixels 1 and 2 the logit falls from 3 to -1 and is 0 at 1.75: i = 8 is at 1.625, 9 at 1.875.
        let prepared = prepared([16, 16, 1], [1.0; 3], None);
        let smooth = restored(&prepared, &[halves(3.0, -1.0)]);
        let row: Vec<u8> = smooth.data()[..16].to_vec();
        assert_eq!(row, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
        // By the nearest pixel it is i < 8, whatever the logits.
        let nearest = prepared.restore(&[LabelMask::from(mask(&halves(3.0, -1.0)))]).unwrap();
        assert_eq!(nearest.data()[..16].iter().map(|v| usize::from(*v)).sum::<usize>(), 8);
    }

    #[test]
    fn slices_are_interpolated_where_both_have_a_mask() {
        // Slices of 1 mm resampled to 2 mm about the middle: 4 become 2, at 0.5 and 2.5. By hand, slice
        // 1 lies a quarter of the way, slice 2 three quarters.
        let prepared = prepared([8, 8, 4], [1.0; 3], Some([1.0, 1.0, 2.0]));
        assert_eq!(prepared.len(), 2);
        let (strong, weak) = (halves(3.0, -2.0), halves(1.0, -2.0));
        let fading = restored(&prepared, &[strong.clone(), weak.clone()]);
        let area = |mask: &LabelVolume, k: usize| -> usize {
            mask.data()[64 * k..64 * (k + 1)].iter().map(|v| usize::from(*v)).sum()
        };
        let areas: Vec<usize> = (0..4).map(|k| area(&fading, k)).collect();
        assert!(areas.windows(2).all(|pair| pair[0] >= pair[1]), "{areas:?}");
        // Next to an empty slice the nearer one decides.
        let ending = restored(&prepared, &[strong, vec![-1.0; 16]]);
        let areas: Vec<usize> = (0..4).map(|k| area(&ending, k)).collect();
        assert_eq!((areas[0], areas[2], areas[3]), (areas[1], 0, 0));
        assert!(areas[0] > 0);
    }

    #[test]
    fn the_mask_overrules_the_sign_of_its_logits() {
        let prepared = prepared([4, 4, 1], [1.0; 3], None);
        let mut cleaned = mask(&halves(5.0, -5.0)).data().to_vec();
        // A hole that was filled, and an island that was removed.
        (cleaned[3], cleaned[4]) = (1, 0);
        let cleaned = BinaryMask::new(4, 4, cleaned).unwrap();
        let mut smooth = prepared.smooth_mask(1).unwrap();
        push(&mut smooth, &cleaned, &halves(5.0, -5.0)).unwrap();
        assert_eq!(smooth.finish().unwrap().data(), cleaned.data());
        // Without logits, and where they are 0, the mask alone counts.
        for logits in [vec![], vec![0.0; 16]] {
            let mut smooth = prepared.smooth_mask(1).unwrap();
            push(&mut smooth, &cleaned, &logits).unwrap();
            assert_eq!(smooth.finish().unwrap().data(), cleaned.data());
        }
    }

    #[test]
    fn classes_meet_where_their_logits_are_equal() {
        let prepared = prepared([16, 16, 1], [1.0; 3], None);
        // By hand: 4 mask pixels over 16 voxels, logits 3, 1.5, 1, −1 from left to right, and the reverse. Interpolated,
        // they are equal in the middle, between voxels 7 and 8: the classes overlap and no gap is left.
        let plane = |row: [f32; 4]| [row; 4].concat();
        let (left, right) = (plane([3.0, 1.5, 1.0, -1.0]), plane([-1.0, 1.0, 1.5, 3.0]));
        let masks = [mask(&left), mask(&right)];
        let mut smooth = prepared.smooth_mask(2).unwrap();
        let planes = [(&masks[0], &left), (&masks[1], &right)]
            .map(|(mask, logits)| ClassPlane { mask, logits });
        smooth.push(&planes).unwrap();
        let found = smooth.finish().unwrap();
        assert_eq!(found.data()[..16], [[1; 8], [2; 8]].concat());
        // A hole that was filled is left to the class that is in it.
        let (full, hole) =
            (BinaryMask::new(4, 4, vec![1; 16]).unwrap(), plane([5.0, -4.0, -4.0, 5.0]));
        let (core, inside) = (mask(&plane([-9.0, 1.0, 1.0, -9.0])), plane([-9.0, 1.0, 1.0, -9.0]));
        let mut smooth = prepared.smooth_mask(2).unwrap();
        let ring = ClassPlane { mask: &full, logits: &hole };
        smooth.push(&[ring, ClassPlane { mask: &core, logits: &inside }]).unwrap();
        let found = smooth.finish().unwrap();
        assert_eq!((found.data()[0], found.data()[7], found.data()[15]), (1, 2, 1));
        // A class whose mask was rejected leaves its place to the other.
        let none = BinaryMask::empty(4, 4);
        let mut smooth = prepared.smooth_mask(2).unwrap();
        smooth.push(&[ClassPlane { mask: &none, logits: &[] }, planes[1]]).unwrap();
        let rejected = smooth.finish().unwrap();
        assert!(rejected.data().iter().all(|class| *class != 1));
        assert_eq!(rejected.data()[8..16], [2; 8]);
        assert!(prepared.smooth_mask(2).unwrap().push(&planes[..1]).is_err());
    }

    #[test]
    fn wrong_sizes_and_numbers_of_slices_are_refused() {
        let prepared = prepared([8, 8, 2], [1.0; 3], None);
        let mut smooth = prepared.smooth_mask(1).unwrap();
        assert!(push(&mut smooth, &BinaryMask::empty(3, 4), &[]).is_err());
        assert!(push(&mut smooth, &BinaryMask::empty(4, 4), &[1.0; 15]).is_err());
        push(&mut smooth, &BinaryMask::empty(4, 4), &[]).unwrap();
        let early = prepared.smooth_mask(1).unwrap();
        assert!(early.finish().is_err());
        push(&mut smooth, &BinaryMask::empty(4, 4), &[]).unwrap();
        assert!(push(&mut smooth, &BinaryMask::empty(4, 4), &[]).is_err());
        assert!(smooth.finish().unwrap().data().iter().all(|v| *v == 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn slices_that_are_full_or_empty_go_where_the_nearest_one_does(
            depth in 1_usize..9,
            thickness in 0.6_f64..4.0,
            resample in prop::bool::ANY,
            full in prop::collection::vec(prop::bool::ANY, 40),
        ) {
            let to = resample.then_some([1.0, 1.0, 1.7]);
            let prepared = prepared([8, 8, depth], [1.0, 1.0, thickness], to);
            let planes: Vec<Vec<f32>> =
                full.iter().take(prepared.len()).map(|f| vec![if *f { 2.0 } else { -2.0 }; 16]).collect();
            prop_assume!(planes.len() == prepared.len());
            let masks: Vec<LabelMask> = planes.iter().map(|p| mask(p).into()).collect();
            let (smooth, nearest) = (restored(&prepared, &planes), prepared.restore(&masks).unwrap());
            prop_assert_eq!(smooth.data(), nearest.data());
        }
    }
}
