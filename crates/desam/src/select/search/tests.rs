//! The search against the rule on all masks, bit for bit.

use super::*;
use crate::select::select;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

const SIDE: usize = 16;

/// Discs with specks and holes of a few pixels, some of them twice, some empty.
fn masks(rng: &mut ChaCha8Rng, n: usize) -> Vec<Vec<f32>> {
    let mut all: Vec<Vec<f32>> = Vec::new();
    for _ in 0..n {
        if !all.is_empty() && rng.random_bool(0.2) {
            let again = rng.random_range(0..all.len());
            all.push(all[again].clone());
            continue;
        }
        let side = SIDE as f32;
        let [x, y] = [(); 2].map(|()| rng.random_range(0.0..side));
        let r = rng.random_range(-1.0..0.6 * side);
        let specks = if rng.random_bool(0.5) { 0.0 } else { rng.random_range(0.0..0.1) };
        let value = |i: usize| r - ((i % SIDE) as f32 - x).hypot((i / SIDE) as f32 - y);
        all.push((0..SIDE * SIDE).map(value).collect());
        for v in all.last_mut().into_iter().flatten() {
            if rng.random_bool(specks) {
                *v = -*v;
            }
        }
    }
    all
}

/// Predictions of which several are equal.
fn ious(rng: &mut ChaCha8Rng, n: usize, steps: u8) -> Vec<f32> {
    let mut iou = || match rng.random_range(0..20u8) {
        0 => f32::NAN,
        1 => -0.0,
        2 => 0.0,
        _ => f32::from(rng.random_range(0..=steps)) / f32::from(steps),
    };
    (0..n).map(|_| iou()).collect()
}

struct Found {
    /// Records of the whole rule.
    records: usize,
    /// Masks that the search drew, of those that it might have.
    drawn: usize,
    worthy: usize,
}

fn compare(
    (masks, ious): (&[Vec<f32>], &[f32]),
    geometry: &Geometry,
    config: &SelectionConfig,
) -> Found {
    let point = Point::foreground(3.0, 9.0);
    let pairs = masks.iter().zip(ious);
    let candidates: Vec<MaskCandidate<'_>> = pairs
        .map(|(m, &predicted_iou)| MaskCandidate { point, predicted_iou, logits: m })
        .collect();
    let records = select(&candidates, geometry, config).unwrap();

    let prospects: Vec<ScoredPoint> =
        ious.iter().map(|&predicted_iou| ScoredPoint { point, predicted_iou }).collect();
    let mut met = BTreeSet::new();
    let mut draw = |i: usize| {
        assert!(met.insert(i), "mask {i} is drawn twice");
        Ok(masks[i].clone())
    };
    let found = select_first(&prospects, &mut draw, geometry, config).unwrap();
    assert_eq!(found.as_ref().map(|f| &f.selected), records.first());
    let drawn = found.as_ref().map_or(0, |f| f.drawn);
    assert_eq!(drawn, met.len());
    if let Some(Selected { selected: record, logits, .. }) = found {
        assert_eq!(logits, masks[record.candidate]);
    }
    Found { records: records.len(), drawn, worthy: config.above_threshold(ious).len() }
}

#[test]
fn the_search_finds_what_the_rule_puts_first() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    // Whether a grid without survivors, with one, with several, and one that had to be drawn whole
    // for a better mask than the first, have been met.
    let mut met = [0usize; 4];
    for round in 0..3000 {
        let side = [1, 2, 3, 5, 9][round % 5];
        let n = side * side;
        let (masks, ious) = (masks(&mut rng, n), ious(&mut rng, n, [4, 100][round % 2]));
        let config = SelectionConfig {
            iou_threshold: [-1.0, 0.0, 0.5, 2.0][rng.random_range(0..4)],
            nms_threshold: [0.0, 0.3, 0.7, 1.0][rng.random_range(0..4)],
            min_region_px: [0, 1, 4, 30, 1000][rng.random_range(0..5)],
            ..SelectionConfig::official()
        };
        let geometry = match round % 3 {
            0 => Geometry::square(SIDE, SIDE, SIDE),
            1 => Geometry::square(SIDE, 40, 11),
            _ => Geometry { mask_side: SIDE, input_side: 24, image_height: 18, image_width: 31 },
        };
        let found = compare((&masks, &ious), &geometry, &config);
        match found.records {
            0 => met[0] += 1,
            1 => met[1] += 1,
            _ => met[2] += 1,
        }
        met[3] += usize::from(found.drawn > 1 && found.drawn < found.worthy);
        if config.min_region_px == 0 {
            assert!(found.drawn <= 1, "with nothing to repair the best mask is the prediction");
        }
    }
    assert!(met.iter().all(|n| *n > 100), "{met:?}");
}

#[test]
fn larger_grids_too() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    for side in [11, 15, 21, 25] {
        let n = side * side;
        let (masks, ious) = (masks(&mut rng, n), ious(&mut rng, n, 9));
        for min_region_px in [0, 5, 1000] {
            for iou_threshold in [0.0, 0.5] {
                let official = SelectionConfig::official();
                let config = SelectionConfig { min_region_px, iou_threshold, ..official };
                let geometry = Geometry::square(SIDE, 64, SIDE);
                compare((&masks, &ious), &geometry, &config);
            }
        }
    }
}

/// A mask of `columns` in rows 2 to 12, and specks at the given pixels.
fn bars(columns: std::ops::RangeInclusive<usize>, specks: &[[usize; 2]]) -> Vec<f32> {
    let inside = |x: usize, y: usize| columns.contains(&x) && (2..=12).contains(&y);
    let on = |i: usize| inside(i % SIDE, i / SIDE) || specks.contains(&[i % SIDE, i / SIDE]);
    (0..SIDE * SIDE).map(|i| if on(i) { 4.0 } else { -4.0 }).collect()
}

#[test]
fn no_mask_is_drawn_after_the_first_that_needs_no_repair() {
    let geometry = Geometry::square(SIDE, SIDE, SIDE);
    let config = SelectionConfig { min_region_px: 4, ..SelectionConfig::official() };
    let count = |masks: &[Vec<f32>], ious: &[f32]| compare((masks, ious), &geometry, &config).drawn;
    let (clean, far) = (bars(1..=5, &[]), bars(10..=14, &[]));
    assert_eq!(count(&[far.clone(), clean.clone()], &[0.6, 0.9]), 1);
    // The best has a speck inside its box; its clean double is suppressed, so the far one is taken.
    let specked = bars(1..=5, &[[3, 14]]);
    let stretched = bars(1..=5, &[[3, 14], [4, 14]]);
    assert_eq!(count(&[specked.clone(), stretched, far.clone()], &[0.9, 0.8, 0.7]), 3);
    // What is suppressed is not taken even where it needs no repair.
    let all = [specked.clone(), bars(1..=5, &[])];
    assert_eq!(count(&all, &[0.9, 0.8]), 2);
    // All need repair: every mask is decoded, and the best is taken.
    let worse = bars(10..=14, &[[1, 1]]);
    assert_eq!(count(&[worse, specked], &[0.7, 0.9]), 2);
    // No point is above the threshold.
    assert_eq!(count(&[far, clean], &[0.2, 0.5]), 0);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_drawn() {
    let prospects = [ScoredPoint { point: Point::foreground(1.0, 1.0), predicted_iou: 0.9 }];
    let geometry = Geometry::square(SIDE, SIDE, SIDE);
    let official = SelectionConfig::official();
    let mut never = |_: usize| unreachable!("drawn");
    let bad = SelectionConfig { nms_threshold: 2.0, ..official };
    assert!(select_first(&prospects, &mut never, &geometry, &bad).is_err());
    let bad = Geometry { mask_side: 0, ..geometry };
    assert!(select_first(&prospects, &mut never, &bad, &official).is_err());
    let mut short = |_: usize| Ok(vec![0.0; 7]);
    let error = select_first(&prospects, &mut short, &geometry, &official).unwrap_err();
    assert!(error.to_string().contains("candidate 0 has 7 logits, expected 256"), "{error}");
    let mut failing = |_: usize| Err(desam_core::Error::external("no ink"));
    assert!(select_first(&prospects, &mut failing, &geometry, &official).is_err());
}
