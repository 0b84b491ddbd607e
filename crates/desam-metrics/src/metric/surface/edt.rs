//! Exact Euclidean distance transform (EDT) on an anisotropic grid, in time linear in its size.
//!
//! Separable (Felzenszwalb and Huttenlocher 2012): along `z` by a forward and a backward sweep, along
//! `y` and `x` as the lower envelope of parabolas. Squares are added in the order z, y, x, so that a
//! distance has the same bits as the plain formula for its nearest point.

use super::envelope::{Envelope, squares};

/// Marked points on a grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// Marks of each point, as bits; `x` fastest.
    pub(super) marks: &'a [u8],
    /// Points along `[z, y, x]`.
    pub(super) dims: [usize; 3],
    /// Spacing of the points, mm.
    pub(super) spacing: [f64; 3],
}

/// Side of a block of points along `y` and `x`, in points.
const BLOCK: usize = 8;

/// No mark in this column. Steps are added to it without an overflow.
const NONE: u32 = u32::MAX / 2;

impl Field<'_> {
    /// Distance, in mm, of every point with the mark `from`, in storage order, to the nearest one with
    /// the mark `to`; infinite where there is none.
    pub(super) fn nearest(&self, from: u8, to: u8) -> Vec<f64> {
        self.within(from, to, &self.bounds(from, to))
    }

    /// [`nearest`](Self::nearest), given an upper bound on the distances in each plane, mm.
    fn within(&self, from: u8, to: u8, bounds: &[f64]) -> Vec<f64> {
        let [depth, height, width] = self.dims;
        let plane = height * width;
        let mut found = Vec::new();
        if plane == 0 {
            return found;
        }
        let steps = self.steps_along_z(to);
        let squares = squares(depth, self.spacing[0]);
        let mut along_y = Envelope::new(height, self.spacing[1]);
        let mut along_x = Envelope::new(width, self.spacing[2]);
        let mut in_plane = vec![f64::INFINITY; plane];
        for ((marks, steps), bound) in self.marks.chunks(plane).zip(steps.chunks(plane)).zip(bounds)
        {
            let wanted: Vec<usize> = (0..height)
                .filter(|y| marks[y * width..][..width].iter().any(|m| m & from > 0))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let bound = bound * bound;
            let near = &squares[..squares.partition_point(|square| *square <= bound)];
            in_plane.fill(f64::INFINITY);
            for x in 0..width {
                along_y.clear();
                for y in 0..height {
                    if let Some(square) = near.get(steps[y * width + x] as usize) {
                        along_y.push(y, *square);
                    }
                }
                along_y.read(&wanted, |y, square| in_plane[y * width + x] = square);
            }
            let mut here = Vec::new();
            for y in &wanted {
                let row = &in_plane[y * width..][..width];
                here.clear();
                let marks = marks[y * width..][..width].iter().enumerate();
                here.extend(marks.filter(|(_, m)| *m & from > 0).map(|(x, _)| x));
                // The distance within the plane along x is an upper bound; parabolas above its maximum
                // cannot be part of the result.
                let bound = here.iter().map(|x| row[*x]).fold(0.0, f64::max).min(bound);
                along_x.clear();
                for (x, square) in row.iter().enumerate() {
                    if *square <= bound && square.is_finite() {
                        along_x.push(x, *square);
                    }
                }
                let first = found.len();
                found.resize(first + here.len(), f64::INFINITY);
                let mut distances = found[first..].iter_mut();
                along_x.read(&here, |_, square| {
                    if let Some(distance) = distances.next() {
                        *distance = square.sqrt();
                    }
                });
            }
        }
        found
    }

    /// Upper bound, in mm, on the distances of the points with the mark `from` in each plane to the
    /// nearest one with the mark `to`, to prune most of the work.
    ///
    /// It is the distance on a coarser grid of blocks, plus the maximum difference between the distance
    /// of two points and that of their blocks' centres.
    fn bounds(&self, from: u8, to: u8) -> Vec<f64> {
        let [depth, height, width] = self.dims;
        let [z, y, x] = self.spacing;
        let dims = [depth, height.div_ceil(BLOCK), width.div_ceil(BLOCK)];
        let mut marks = vec![0; dims.iter().product()];
        for (i, row) in self.marks.chunks(width.max(1)).enumerate() {
            let above = (i / height * dims[1] + i % height / BLOCK) * dims[2];
            for (block, voxels) in marks[above..].iter_mut().zip(row.chunks(BLOCK)) {
                *block = voxels.iter().fold(*block, |all, v| all | v);
            }
        }
        let side = BLOCK as f64;
        let blocks = Field { marks: &marks, dims, spacing: [z, side * y, side * x] };
        let mut distances = blocks.within(from, to, &vec![f64::INFINITY; depth]).into_iter();
        let margin = (side - 1.0) * y.hypot(x);
        let furthest = |plane: &[u8]| {
            let count = plane.iter().filter(|m| *m & from > 0).count();
            distances.by_ref().take(count).fold(0.0, f64::max)
        };
        let planes = marks.chunks((dims[1] * dims[2]).max(1)).map(furthest);
        // Rounded up a little, so that rounding errors exclude nothing.
        planes.map(|distance| (distance + margin) * (1.0 + 1e-9)).collect()
    }

    /// Steps along `z` to the nearest mark in the same column; at least [`NONE`] where it has none.
    fn steps_along_z(&self, to: u8) -> Vec<u32> {
        let [depth, height, width] = self.dims;
        let plane = height * width;
        let mut steps: Vec<u32> =
            self.marks.iter().map(|m| if m & to > 0 { 0 } else { NONE }).collect();
        for z in 1..depth {
            let (before, here) = steps.split_at_mut(z * plane);
            nearer(&mut here[..plane], &before[(z - 1) * plane..]);
        }
        for z in (1..depth).rev() {
            let (here, after) = steps.split_at_mut(z * plane);
            nearer(&mut here[(z - 1) * plane..], &after[..plane]);
        }
        steps
    }
}

/// Relaxes the steps by those of the neighbouring plane plus one.
fn nearer(here: &mut [u32], neighbour: &[u32]) {
    for (here, neighbour) in here.iter_mut().zip(neighbour) {
        *here = (*here).min((*neighbour).min(NONE) + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The reference: the minimum over all pairs of points.
    fn brute_force(field: &Field<'_>, from: u8, to: u8) -> Vec<f64> {
        let [_, height, width] = field.dims;
        let place = |i: usize| [i / (height * width), i / width % height, i % width];
        let marked = |bit: u8| (0..field.marks.len()).filter(move |i| field.marks[*i] & bit > 0);
        let distance = |i: usize, j: usize| {
            let (a, b) = (place(i), place(j));
            let axis = |k: usize| (a[k].abs_diff(b[k]) as f64 * field.spacing[k]).powi(2);
            (axis(0) + axis(1) + axis(2)).sqrt()
        };
        let nearest = |i| marked(to).map(|j| distance(i, j)).fold(f64::INFINITY, f64::min);
        marked(from).map(nearest).collect()
    }

    #[test]
    fn by_hand() {
        // Marks at the ends of a line of 5 points, 2 mm apart.
        let field = Field { marks: &[2, 1, 1, 1, 2], dims: [1, 1, 5], spacing: [1.0, 1.0, 2.0] };
        assert_eq!(field.nearest(1, 2), [2.0, 4.0, 2.0]);
        // A point is no distance from itself, and infinitely far from nothing.
        assert_eq!(field.nearest(2, 2), [0.0, 0.0]);
        assert_eq!(field.nearest(1, 4), [f64::INFINITY; 3]);
        // From one corner of a box to the other: √(3² + 4² + 12²) = 13.
        let mut marks = vec![0; 8];
        (marks[0], marks[7]) = (1, 2);
        let field = Field { marks: &marks, dims: [2; 3], spacing: [3.0, 4.0, 12.0] };
        assert_eq!(field.nearest(1, 2), [13.0]);
        let nothing = Field { marks: &[], dims: [0; 3], spacing: [1.0; 3] };
        assert!(nothing.nearest(1, 2).is_empty());
    }

    fn volumes() -> impl Strategy<Value = ([usize; 3], Vec<u8>, [f64; 3])> {
        let dims = [1usize..7, 1usize..20, 1usize..28];
        let spacing = [0.05..4.0f64, 0.05..4.0f64, 0.05..4.0f64];
        // From a mark in nearly every point to one in sixty, over several blocks.
        (dims, 1u32..60, spacing).prop_flat_map(|(dims, rare, spacing)| {
            let marks = (0u32..2 * rare).prop_map(|v| if v < 4 { v as u8 } else { 0 });
            let marks = proptest::collection::vec(marks, dims.iter().product::<usize>());
            (Just(dims), marks, Just(spacing))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn equals_every_pair_of_points((dims, marks, spacing) in volumes()) {
            let field = Field { marks: &marks, dims, spacing };
            for (from, to) in [(1, 2), (2, 1), (3, 1)] {
                let (found, expected) = (field.nearest(from, to), brute_force(&field, from, to));
                prop_assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(&expected) {
                    prop_assert!(a == b || (a - b).abs() < 1e-12 * b, "{} and not {}", a, b);
                }
            }
        }

        #[test]
        fn whole_steps_are_exact((dims, marks, _) in volumes(), spacing in [1u8..5, 1u8..5, 1u8..5]) {
            // Sums of squares of whole numbers have no rounding, whichever of two nearest is taken.
            let field = Field { marks: &marks, dims, spacing: spacing.map(f64::from) };
            prop_assert_eq!(field.nearest(1, 2), brute_force(&field, 1, 2));
        }
    }
}
