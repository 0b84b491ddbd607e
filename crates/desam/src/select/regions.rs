//! Holes and islands too small to be anatomy.

use desam_core::{BinaryMask, Result};

/// A mask without small regions, and whether there were any.
#[derive(Debug)]
pub(super) struct Cleaned {
    pub(super) mask: BinaryMask,
    /// Small regions were found. True even where the mask is the same afterwards: a lone island
    /// is small, yet stays (the official program's bookkeeping, which its second suppression
    /// goes by).
    pub(super) changed: bool,
}

/// Fills holes of fewer than `least` pixels, then drops islands of fewer (SAM's
/// `remove_small_regions`, both modes in its order). Regions are 8-connected, background too; a
/// background that touches the edge counts as a hole like any other. Where all islands are small
/// the largest stays.
///
/// # Errors
/// None in practice: the mask keeps its size.
pub(super) fn clean(mask: BinaryMask, least: usize) -> Result<Cleaned> {
    let (height, width) = (mask.height(), mask.width());
    let mut pixels = mask.into_data();

    let background = Regions::of(&pixels, height, width, 0);
    let holes = background.sizes.iter().any(|r| r.area < least);
    if holes {
        background.paint(&mut pixels, 1, |r| r.area < least);
    }

    let foreground = Regions::of(&pixels, height, width, 1);
    let islands = foreground.sizes.iter().any(|r| r.area < least);
    if islands {
        let largest = foreground.largest();
        if foreground.sizes.iter().all(|r| r.area < least) {
            foreground.paint(&mut pixels, 0, |r| Some(r) != largest);
        } else {
            foreground.paint(&mut pixels, 0, |r| r.area < least);
        }
    }
    Ok(Cleaned { mask: BinaryMask::new(height, width, pixels)?, changed: holes || islands })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    area: usize,
    /// The first 2 × 2 block with a pixel of it, as (block row, block column): OpenCV numbers
    /// regions by such blocks, and of equally large islands the official program takes the one
    /// with the lowest number. No two regions share a block, so this also tells them apart.
    block: (usize, usize),
}

/// The 8-connected regions of one value.
struct Regions {
    /// For each pixel its region's number plus one, or 0 where the pixel has another value.
    labels: Vec<u32>,
    sizes: Vec<Region>,
}

impl Regions {
    /// `pixels` has `height × width` values, both below 2¹⁶.
    fn of(pixels: &[u8], height: usize, width: usize, value: u8) -> Self {
        let mut labels = vec![0u32; pixels.len()];
        let mut sizes = Vec::new();
        let mut pending = Vec::new();
        for start in 0..pixels.len() {
            if pixels[start] != value || labels[start] != 0 {
                continue;
            }
            let label = sizes.len() as u32 + 1;
            let mut region = Region { area: 0, block: (usize::MAX, usize::MAX) };
            labels[start] = label;
            pending.push(start);
            while let Some(at) = pending.pop() {
                let (row, column) = (at / width, at % width);
                region.area += 1;
                region.block = region.block.min((row / 2, column / 2));
                for r in row.saturating_sub(1)..(row + 2).min(height) {
                    for c in column.saturating_sub(1)..(column + 2).min(width) {
                        let next = r * width + c;
                        if pixels[next] == value && labels[next] == 0 {
                            labels[next] = label;
                            pending.push(next);
                        }
                    }
                }
            }
            sizes.push(region);
        }
        Self { labels, sizes }
    }

    fn largest(&self) -> Option<Region> {
        self.sizes.iter().copied().min_by_key(|r| (std::cmp::Reverse(r.area), r.block))
    }

    /// Sets the pixels of the chosen regions to `value`.
    fn paint(&self, pixels: &mut [u8], value: u8, chosen: impl Fn(Region) -> bool) {
        let chosen: Vec<bool> = self.sizes.iter().map(|r| chosen(*r)).collect();
        for (pixel, label) in pixels.iter_mut().zip(&self.labels) {
            let number = (*label as usize).checked_sub(1);
            if number.and_then(|n| chosen.get(n)).is_some_and(|c| *c) {
                *pixel = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// `#` is foreground.
    fn drawn(rows: &[&str]) -> BinaryMask {
        let data = rows.iter().flat_map(|r| r.bytes()).map(|b| u8::from(b == b'#')).collect();
        BinaryMask::new(rows.len(), rows[0].len(), data).unwrap()
    }

    /// Cleans and draws again; all expectations below are drawn by hand from the definition.
    fn cleaned(rows: &[&str], least: usize) -> (Vec<String>, bool) {
        let mask = drawn(rows);
        let width = mask.width();
        let Cleaned { mask, changed } = clean(mask, least).unwrap();
        let draw = |r: &[u8]| r.iter().map(|&v| if v == 1 { '#' } else { '.' }).collect();
        (mask.data().chunks(width).map(draw).collect(), changed)
    }

    #[test]
    fn holes_are_filled_before_islands_are_dropped() {
        let ring = ["#####....", "#...#....", "#...#....", "#####...#", "........."];
        let (rows, changed) = cleaned(&ring, 7);
        // The hole of 6 is filled; the island of 1 goes; the outside (25) stays.
        assert_eq!(rows, ["#####....", "#####....", "#####....", "#####....", "........."]);
        assert!(changed);
        // A ring of 14 pixels alone is small at 15, but no longer once its hole is filled: 20.
        let (rows, _) = cleaned(&ring, 15);
        assert_eq!(rows[1], "#####....");
    }

    #[test]
    fn diagonal_neighbours_are_one_region() {
        let stairs = ["#....", ".#...", "..#..", ".....", "....."];
        assert_eq!(cleaned(&stairs, 3), (stairs.map(String::from).to_vec(), false));
        // The background leaks through the diagonal too: no hole here.
        let leak = [".##..", "#.#..", "##...", ".....", "....."];
        assert!(!cleaned(&leak, 2).1);
    }

    #[test]
    fn the_largest_small_island_stays_and_counts_as_changed() {
        let (rows, changed) = cleaned(&["##.....", ".......", "...###.", ".......", "......#"], 10);
        assert_eq!(rows, [".......", ".......", "...###.", ".......", "......."]);
        assert!(changed);
        let alone = ["##.....", "......."];
        assert_eq!(cleaned(&alone, 10), (alone.map(String::from).to_vec(), true));
    }

    #[test]
    fn equal_islands_go_by_opencv_s_blocks() {
        // Scanned by pixels the right one comes first (row 0); by 2 × 2 blocks the left one does.
        // OpenCV 5.0's `connectedComponentsWithStats` numbers the left one 1.
        let (rows, _) = cleaned(&["......#.", "#.......", "........", "........"], 2);
        assert_eq!(rows, ["........", "#.......", "........", "........"]);
    }

    #[test]
    fn an_outside_that_is_small_is_filled() {
        // SAM's rule knows no edge: 2 background pixels in the corner are a hole.
        let (rows, changed) = cleaned(&["..##", "####"], 3);
        assert_eq!(rows, ["####", "####"]);
        assert!(changed);
    }

    #[test]
    fn empty_and_full_masks_are_left_alone() {
        for rows in [["....", "...."], ["####", "####"]] {
            assert_eq!(cleaned(&rows, 5), (rows.map(String::from).to_vec(), false));
        }
    }

    #[test]
    fn cleaning_twice_changes_no_more() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for _ in 0..200 {
            let (height, width) = (rng.random_range(1..20), rng.random_range(1..20));
            let density = rng.random_range(0.1..0.9);
            let data = (0..height * width).map(|_| u8::from(rng.random_bool(density))).collect();
            let mask = BinaryMask::new(height, width, data).unwrap();
            let least = rng.random_range(0..15);
            let once = clean(mask.clone(), least).unwrap();
            if !once.changed {
                assert_eq!(once.mask, mask);
            }
            // Dropping islands may leave pits smaller than a hole, never islands.
            let islands = Regions::of(once.mask.data(), height, width, 1).sizes;
            assert!(islands.len() == 1 || islands.iter().all(|r| r.area >= least));
            assert_eq!(once.mask.is_empty(), clean(once.mask, least).unwrap().mask.is_empty());
        }
    }
}
