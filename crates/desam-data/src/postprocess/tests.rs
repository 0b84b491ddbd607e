use super::*;
use desam_core::{Affine, Grid};
use proptest::prelude::*;

fn volume(dims: [usize; 3], data: Vec<u8>) -> LabelVolume {
    let grid = Grid { dims, affine: Affine::from_spacing([0.5, 0.5, 3.0]) };
    LabelVolume::new(grid, data).unwrap()
}

/// Slices of rows; `#` is foreground.
fn drawn(slices: &[&[&str]]) -> LabelVolume {
    let dims = [slices[0][0].len(), slices[0].len(), slices.len()];
    let pixels = slices.iter().flat_map(|s| s.iter()).flat_map(|r| r.bytes());
    volume(dims, pixels.map(|b| u8::from(b == b'#')).collect())
}

const LARGEST: PostprocessConfig = PostprocessConfig { largest_component: true, fill_holes: None };
const fn filling(holes: Holes) -> PostprocessConfig {
    PostprocessConfig { largest_component: false, fill_holes: Some(holes) }
}

#[test]
fn nothing_is_done_by_default() {
    let config = PostprocessConfig::default();
    let mask = volume([2, 2, 1], vec![0, 1, 2, 0]);
    assert!(config.is_off());
    assert_eq!(config.apply(mask, 2).unwrap().data(), [0, 1, 2, 0]);
    assert!(filling(Holes::Slices).apply(volume([1, 1, 1], vec![1]), 3).is_err());
}

#[test]
fn the_largest_part_stays() {
    // By hand: 4 voxels that touch by corners only, from slice to slice, and 3 in a row.
    let mask = drawn(&[
        &["#....", ".....", "..###"],
        &[".#...", "#....", "....."],
        &[".....", ".#...", "....."],
    ]);
    let kept = drawn(&[
        &["#....", ".....", "....."],
        &[".#...", "#....", "....."],
        &[".....", ".#...", "....."],
    ]);
    assert_eq!(LARGEST.apply(mask, 2).unwrap(), kept);
    // Of equals the first; nothing of nothing.
    let twice = drawn(&[&["##.##"]]);
    assert_eq!(LARGEST.apply(twice, 2).unwrap(), drawn(&[&["##..."]]));
    let none = drawn(&[&["....."]]);
    assert_eq!(LARGEST.apply(none.clone(), 2).unwrap(), none);
}

#[test]
fn cavities_and_tunnels() {
    let ring: &[&str] = &["####", "#..#", "####"];
    let solid: &[&str] = &["####", "####", "####"];
    // A tunnel through all slices is open at both ends, a hole within each slice.
    let tunnel = drawn(&[ring, ring, ring]);
    assert_eq!(filling(Holes::Volume).apply(tunnel.clone(), 2).unwrap(), tunnel);
    assert_eq!(filling(Holes::Slices).apply(tunnel, 2).unwrap(), drawn(&[solid; 3]));
    // A cavity is both.
    let cavity = drawn(&[solid, ring, solid]);
    for holes in [Holes::Volume, Holes::Slices] {
        assert_eq!(filling(holes).apply(cavity.clone(), 2).unwrap(), drawn(&[solid; 3]));
    }
    // One slice has no border above and below.
    assert_eq!(filling(Holes::Volume).apply(drawn(&[ring]), 2).unwrap(), drawn(&[solid]));
    // Background does not leak through a corner.
    let corner: &[&str] = &[".##", "#.#", "##."];
    let filled: &[&str] = &[".##", "###", "##."];
    assert_eq!(filling(Holes::Volume).apply(drawn(&[corner]), 2).unwrap(), drawn(&[filled]));
}

#[test]
fn slices_are_cut_along_the_axis_that_is_named() {
    // A ring in the plane of the first and third axis, in the middle one of three rows.
    let (full, ring): (&[&str], &[&str]) = (&["...", "###", "..."], &["...", "#.#", "..."]);
    let mask = drawn(&[full, ring, full]);
    let filled = filling(Holes::Slices).apply(mask.clone(), 1).unwrap();
    assert_eq!(filled, drawn(&[full; 3]));
    assert_eq!(filling(Holes::Slices).apply(mask.clone(), 2).unwrap(), mask);
    assert_eq!(filling(Holes::Slices).apply(mask.clone(), 0).unwrap(), mask);
}

#[test]
fn the_largest_part_is_kept_before_holes_are_filled() {
    let mask = drawn(&[&["#####.", "#...##", "#.#.#.", "#...#.", "#####.", "......"]]);
    let config = PostprocessConfig { fill_holes: Some(Holes::Volume), ..LARGEST };
    let solid = drawn(&[&["#####.", "######", "#####.", "#####.", "#####.", "......"]]);
    assert_eq!(config.apply(mask, 2).unwrap(), solid);
}

#[test]
fn configs_read_as_written() {
    let config = PostprocessConfig { fill_holes: Some(Holes::Slices), ..LARGEST };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(text, r#"{"largest_component":true,"fill_holes":"slices"}"#);
    assert_eq!(serde_json::from_str::<PostprocessConfig>(&text).unwrap(), config);
    assert!(serde_json::from_str::<PostprocessConfig>(r#"{"largest":true}"#).is_err());
    assert!("3d".parse::<Holes>().unwrap_err().to_string().contains("slices"));
}

/// Numbers every voxel of `value` by the first voxel that it hangs together with: flooding, one
/// voxel after the other, as the definition reads.
fn flooded(data: &[u8], dims: [usize; 3], value: u8, corners: bool) -> Vec<Option<usize>> {
    let place = |[i, j, k]: [usize; 3]| (k * dims[1] + j) * dims[0] + i;
    let mut part = vec![None; data.len()];
    for start in 0..data.len() {
        if data[start] != value || part[start].is_some() {
            continue;
        }
        part[start] = Some(start);
        let mut pending = vec![start];
        while let Some(at) = pending.pop() {
            let here = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
            for step in 0..27_usize {
                let by = [step % 3, step / 3 % 3, step / 9];
                let faces = by.iter().filter(|s| **s != 1).count();
                let there = [0, 1, 2].map(|a| (here[a] + by[a]).wrapping_sub(1));
                if faces > if corners { 3 } else { 1 } || (0..3).any(|a| there[a] >= dims[a]) {
                    continue;
                }
                let next = place(there);
                if data[next] == value && part[next].is_none() {
                    part[next] = Some(start);
                    pending.push(next);
                }
            }
        }
    }
    part
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn as_flooding_does(
        dims in prop::array::uniform3(1_usize..9),
        seed in any::<u64>(),
        share in 10_u64..90,
    ) {
        let mut state = seed | 1;
        let noise = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::from((state >> 33) % 100 < share)
        };
        let data: Vec<u8> = (0..dims.iter().product::<usize>()).map(noise).collect();
        let part = flooded(&data, dims, 1, true);
        let count = |p: usize| part.iter().filter(|q| **q == Some(p)).count();
        let largest = part.iter().flatten().copied().max_by_key(|&p| (count(p), usize::MAX - p));
        let expected: Vec<u8> =
            part.iter().map(|p| u8::from(p.is_some() && *p == largest)).collect();
        let found = LARGEST.apply(volume(dims, data.clone()), 2).unwrap();
        prop_assert_eq!(found.data(), expected);

        let part = flooded(&data, dims, 0, false);
        let edge = |at: usize| {
            let here = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
            (0..3).any(|a| dims[a] > 1 && (here[a] == 0 || here[a] + 1 == dims[a]))
        };
        let open = |p: usize| part.iter().enumerate().any(|(at, q)| *q == Some(p) && edge(at));
        let any = data.contains(&1);
        let expected: Vec<u8> = part
            .iter()
            .map(|p| u8::from(p.is_none_or(|p| any && !open(p))))
            .collect();
        let found = filling(Holes::Volume).apply(volume(dims, data), 2).unwrap();
        prop_assert_eq!(found.data(), expected);
    }
}

#[test]
fn labels_are_processed_one_by_one() {
    // By hand: label 2 loses its smaller part; the hole in label 1 is filled but for what label 2 has of it.
    let mask = volume([5, 3, 1], vec![1, 1, 1, 1, 2, 1, 2, 0, 1, 0, 1, 1, 1, 1, 0]);
    let config = PostprocessConfig { largest_component: true, fill_holes: Some(Holes::Slices) };
    let found = config.apply(mask, 2).unwrap();
    assert_eq!(found.data(), [1, 1, 1, 1, 2, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0]);
}
