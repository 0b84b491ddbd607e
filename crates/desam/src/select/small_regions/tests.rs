//! Regions against flooding, and cleaning as drawn by hand.

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
        let islands = ConnectedComponents::label(once.mask.data(), height, width, 1).sizes;
        assert!(islands.len() == 1 || islands.iter().all(|r| r.area >= least));
        assert_eq!(once.mask.is_empty(), clean(once.mask, least).unwrap().mask.is_empty());
    }
}

/// Every pixel's region by flooding, as the definition has it.
fn flooded(pixels: &[u8], height: usize, width: usize, value: u8) -> Vec<(Component, Vec<usize>)> {
    let mut seen = vec![false; pixels.len()];
    let mut found = Vec::new();
    for start in 0..pixels.len() {
        if pixels[start] != value || seen[start] {
            continue;
        }
        seen[start] = true;
        let (mut members, mut next) = (vec![start], 0);
        while next < members.len() {
            let (row, column) = (members[next] / width, members[next] % width);
            next += 1;
            for r in row.saturating_sub(1)..(row + 2).min(height) {
                for c in column.saturating_sub(1)..(column + 2).min(width) {
                    if pixels[r * width + c] == value && !seen[r * width + c] {
                        seen[r * width + c] = true;
                        members.push(r * width + c);
                    }
                }
            }
        }
        let block = members.iter().map(|m| (m / width / 2, m % width / 2)).min().unwrap();
        members.sort_unstable();
        found.push((Component { area: members.len(), block }, members));
    }
    found
}

#[test]
fn runs_find_what_flooding_finds() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for _ in 0..500 {
        let (height, width) = (rng.random_range(1..30), rng.random_range(1..30));
        let density = rng.random_range(0.05..0.95);
        let pixels: Vec<u8> =
            (0..height * width).map(|_| u8::from(rng.random_bool(density))).collect();
        for value in [0, 1] {
            let expected = flooded(&pixels, height, width, value);
            let regions = ConnectedComponents::label(&pixels, height, width, value);
            let sizes: Vec<Component> = expected.iter().map(|(region, _)| *region).collect();
            assert_eq!(regions.sizes, sizes);
            for (region, members) in expected {
                let mut painted = vec![0; pixels.len()];
                regions.fill(&mut painted, 1, |r| r == region);
                let found: Vec<usize> = (0..pixels.len()).filter(|i| painted[*i] == 1).collect();
                assert_eq!(found, members);
            }
        }
    }
    let nothing = ConnectedComponents::label(&[], 0, 0, 1);
    assert!(nothing.sizes.is_empty() && nothing.largest().is_none());
}
