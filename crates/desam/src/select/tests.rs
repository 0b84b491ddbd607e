//! The rule as a whole, on masks small enough to follow by hand.

use super::*;
use desam_core::Point;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::path::PathBuf;

const SIDE: usize = 12;

/// Input and image as large as the logits, so that resizing changes nothing.
fn plain() -> Geometry {
    Geometry::square(SIDE, SIDE, SIDE)
}

fn config(min_region_px: usize) -> SelectionConfig {
    SelectionConfig { min_region_px, ..SelectionConfig::official() }
}

/// Logits of +4 in the rectangles (columns, then rows, ends included), −4 elsewhere.
fn rectangles(parts: &[([usize; 2], [usize; 2])]) -> Vec<f32> {
    let inside = |x: usize, y: usize| {
        parts
            .iter()
            .any(|([x0, x1], [y0, y1])| (*x0..=*x1).contains(&x) && (*y0..=*y1).contains(&y))
    };
    (0..SIDE * SIDE).map(|i| if inside(i % SIDE, i / SIDE) { 4.0 } else { -4.0 }).collect()
}

fn candidates<'a>(masks: &'a [Vec<f32>], ious: &[f32]) -> Vec<MaskCandidate<'a>> {
    let point = Point::foreground(3.0, 9.0);
    let pairs = masks.iter().zip(ious);
    pairs.map(|(m, &predicted_iou)| MaskCandidate { point, predicted_iou, logits: m }).collect()
}

fn order(masks: &[Vec<f32>], ious: &[f32], config: &SelectionConfig) -> Vec<usize> {
    let records = select(&candidates(masks, ious), &plain(), config).unwrap();
    records.iter().map(|r| r.candidate).collect()
}

#[test]
fn the_filter_is_strict_and_deaf_to_no_number() {
    let masks = vec![rectangles(&[([2, 5], [2, 5])]); 4];
    let ious = [0.5, f32::NAN, 0.500_01, -1.0];
    assert_eq!(order(&masks, &ious, &config(0)), [2]);
    assert_eq!(config(0).above_threshold(&ious), [2]);
    assert_eq!(order(&masks, &[0.5, 0.4, 0.3, 0.2], &config(0)), [0usize; 0]);
    // At 0 the official program does not filter at all.
    let open = SelectionConfig { iou_threshold: 0.0, ..config(0) };
    assert_eq!(open.above_threshold(&ious), [0, 2, 3]);
}

#[test]
fn a_record_says_what_the_mask_is() {
    let masks = [rectangles(&[([2, 5], [1, 8])])];
    let geometry = Geometry { input_side: SIDE, ..plain() };
    let records = select(&candidates(&masks, &[0.9]), &geometry, &config(0)).unwrap();
    let [record] = &records[..] else { panic!("{records:?}") };
    // Arithmetic: 4 × 8 pixels from (2, 1) to (5, 8); ±4 is beyond ±1 everywhere.
    assert_eq!(record.area, 32);
    assert_eq!(record.bbox_xywh, [2.0, 1.0, 3.0, 7.0]);
    assert_eq!(record.stability, 1.0);
    assert_eq!(record.point, [3.0, 9.0]);
    assert_eq!(record.mask.area(), 32);
    assert_eq!(prediction(&records, &geometry), record.mask);
    assert_eq!(prediction(&[], &geometry), BinaryMask::empty(SIDE, SIDE));
}

#[test]
fn stability_by_hand() {
    // Above +1: 1 (2.0); above −1: 3 (2.0, 0.5, −0.5). Thresholds themselves are not above.
    assert_eq!(stability(&[2.0, 0.5, -0.5, -1.0, -3.0], 1.0), 1.0 / 3.0);
    assert_eq!(stability(&[1.0, 0.0], 1.0), 0.0);
    assert_eq!(stability(&[-2.0, -3.0], 1.0), 0.0);
}

#[test]
fn the_better_of_two_alike_stays_and_the_rest_follow_by_iou() {
    let gland = rectangles(&[([2, 7], [2, 7])]);
    let other = rectangles(&[([9, 11], [9, 11])]);
    let masks = [gland.clone(), other, gland];
    assert_eq!(order(&masks, &[0.8, 0.6, 0.9], &config(0)), [2, 1]);
    assert_eq!(order(&masks, &[0.9, 0.95, 0.9], &config(0)), [1, 0]);
}

#[test]
fn an_unrepaired_mask_comes_before_a_repaired_one_that_prim_preferred() {
    // The first has a speck of one pixel besides its 16; the second needs no repair.
    let masks =
        [rectangles(&[([0, 3], [0, 3]), ([11, 11], [0, 0])]), rectangles(&[([6, 10], [6, 10])])];
    assert_eq!(order(&masks, &[0.9, 0.6], &config(0)), [0, 1]);
    let records = select(&candidates(&masks, &[0.9, 0.6]), &plain(), &config(4)).unwrap();
    assert_eq!(records.iter().map(|r| r.candidate).collect::<Vec<_>>(), [1, 0]);
    // Area and box are those of the mask after repair.
    assert_eq!((records[1].area, records[1].bbox_xywh), (16, [0.0, 0.0, 3.0, 3.0]));
    // Stability was taken before: it is that of the logits.
    assert_eq!(records[1].stability, 1.0);
}

#[test]
fn masks_that_repair_makes_alike_are_suppressed_in_favour_of_the_unrepaired() {
    // A speck extends the first one's box: 11 × 5 = 55 against 5 × 5 = 25, IoU 0.45, so both
    // pass the first round. Without the speck they are the same, and the unrepaired one stays.
    let gland = ([0, 5], [0, 5]);
    let masks = [rectangles(&[gland, ([11, 11], [2, 2])]), rectangles(&[gland])];
    assert_eq!(order(&masks, &[0.9, 0.6], &config(0)), [0, 1]);
    assert_eq!(order(&masks, &[0.9, 0.6], &config(4)), [1]);
}

#[test]
fn an_empty_mask_is_carried_as_the_official_program_does() {
    let masks = [vec![-4.0; SIDE * SIDE], rectangles(&[([2, 7], [2, 7])])];
    let records = select(&candidates(&masks, &[0.9, 0.8]), &plain(), &config(4)).unwrap();
    let [first, second] = &records[..] else { panic!("{records:?}") };
    assert_eq!((first.area, first.bbox_xywh, first.stability), (0, [0.0; 4], 0.0));
    assert_eq!(second.candidate, 1);
}

#[test]
fn points_and_masks_reach_a_larger_oblong_image() {
    // Input 24 wide; the image's long side (48 columns) fills it, its 24 rows cover 12.
    let geometry = Geometry { mask_side: SIDE, input_side: 24, image_height: 24, image_width: 48 };
    assert_eq!(geometry.covered(), (12, 24));
    let masks = [vec![4.0; SIDE * SIDE]];
    let records = select(&candidates(&masks, &[0.9]), &geometry, &config(4)).unwrap();
    assert_eq!((records[0].mask.height(), records[0].mask.width()), (24, 48));
    assert_eq!(records[0].area, 24 * 48);
    assert_eq!(records[0].point, [6.0, 18.0]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let good = candidates(&[], &[]);
    for bad in [
        SelectionConfig { iou_threshold: f32::NAN, ..config(0) },
        SelectionConfig { nms_threshold: 1.5, ..config(0) },
        SelectionConfig { nms_threshold: f64::NAN, ..config(0) },
        SelectionConfig { stability_offset: -1.0, ..config(0) },
    ] {
        assert!(select(&good, &plain(), &bad).is_err(), "{bad:?}");
    }
    for bad in [
        Geometry { mask_side: 0, ..plain() },
        Geometry { input_side: 0, ..plain() },
        Geometry { image_height: 0, ..plain() },
        Geometry { image_width: usize::MAX, ..plain() },
        Geometry { image_height: 1, image_width: 1000, ..plain() },
    ] {
        assert!(select(&good, &bad, &config(0)).is_err(), "{bad:?}");
    }
    let short = [vec![0.0; 7]];
    let error = select(&candidates(&short, &[0.1]), &plain(), &config(0)).unwrap_err();
    assert!(error.to_string().contains("candidate 0 has 7 logits, expected 144"), "{error}");
}

#[test]
fn small_regions_scale_with_the_image() {
    // Arithmetic: 1000 · 64² / 256² = 62.5; the reference vectors were made with 62.
    assert_eq!(SelectionConfig::for_side(64).min_region_px, 62);
    assert_eq!(SelectionConfig::for_side(256), SelectionConfig::official());
    assert_eq!(SelectionConfig::for_side(512).min_region_px, 4000);
}

#[test]
fn the_configuration_survives_json_and_refuses_unknown_fields() {
    let text = serde_json::to_string(&SelectionConfig::official()).unwrap();
    let back: SelectionConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(back, SelectionConfig::official());
    let strange = text.replace("iou_threshold", "iou_treshold");
    assert!(serde_json::from_str::<SelectionConfig>(&strange).is_err());
}

/// Smooth random blobs, some alike.
fn blobs(rng: &mut ChaCha8Rng, n: usize) -> Vec<Vec<f32>> {
    let mut number = |most: f32| rng.random_range(0.0..most);
    let circles: Vec<[f32; 3]> =
        (0..n).map(|_| [number(11.0), number(11.0), number(5.0)]).collect();
    let value =
        |i: usize, [x, y, r]: [f32; 3]| r - ((i % SIDE) as f32 - x).hypot((i / SIDE) as f32 - y);
    circles.into_iter().map(|c| (0..SIDE * SIDE).map(|i| value(i, c)).collect()).collect()
}

#[test]
fn records_are_consistent_and_do_not_depend_on_candidates_that_are_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let geometry = Geometry::square(SIDE, 48, 30);
    for _ in 0..40 {
        let masks = blobs(&mut rng, 15);
        let ious: Vec<f32> = (0..15).map(|_| rng.random_range(0.0..1.0)).collect();
        let all = candidates(&masks, &ious);
        let config = config(rng.random_range(0..40));
        let records = select(&all, &geometry, &config).unwrap();
        for record in &records {
            assert!(record.predicted_iou > 0.5 && record.predicted_iou == ious[record.candidate]);
            assert_eq!(record.area, record.mask.area());
            assert_eq!(record.bbox_xywh, xywh(bounding_box(&record.mask)));
            assert!((0.0..=1.0).contains(&record.stability));
        }
        // Decoding only candidates above the threshold changes nothing but the numbering.
        let worth = config.above_threshold(&ious);
        let few: Vec<MaskCandidate<'_>> = worth.iter().map(|&i| all[i]).collect();
        let again = select(&few, &geometry, &config).unwrap();
        let renumbered: Vec<SelectedMask> = again
            .into_iter()
            .map(|r| SelectedMask { candidate: worth[r.candidate], ..r })
            .collect();
        assert_eq!(renumbered, records);
        // With distinct scores and no repair, neither does the order of the candidates.
        let plain = SelectionConfig { min_region_px: 0, ..config };
        let mut shuffled: Vec<usize> = (0..15).collect();
        shuffled.shuffle(&mut rng);
        let mixed: Vec<MaskCandidate<'_>> = shuffled.iter().map(|&i| all[i]).collect();
        let key = |r: &SelectedMask| (r.predicted_iou.to_bits(), r.area);
        let before = select(&all, &geometry, &plain).unwrap();
        let after = select(&mixed, &geometry, &plain).unwrap();
        assert!(before.iter().map(key).eq(after.iter().map(key)));
    }
}

#[test]
fn threads_change_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let masks = blobs(&mut rng, 20);
    let ious: Vec<f32> = (0..20).map(|_| rng.random_range(0.4..1.0)).collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let geometry = Geometry::square(SIDE, 48, 30);
        pool.install(|| select(&candidates(&masks, &ious), &geometry, &config(20)).unwrap())
    };
    assert_eq!(run(1), run(4));
}

/// The official program's records: our area and box of its first masks are its own.
#[test]
fn areas_and_boxes_of_the_reference() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if !folder.is_dir() {
        println!("skipped: no reference vectors at {}", folder.display());
        return;
    }
    let tensors: HashMap<String, candle_core::Tensor> =
        candle_core::safetensors::load(folder.join("grid.safetensors"), &candle_core::Device::Cpu)
            .unwrap();
    let text = std::fs::read_to_string(folder.join("grid.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        let key = format!("side{}.image{}.first_mask", case["side"], case["image"]);
        let tensor = &tensors[&key];
        let (height, width) = tensor.dims2().unwrap();
        let pixels: Vec<u8> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        let mask = BinaryMask::new(height, width, pixels).unwrap();
        let first = &case["anns"][0];
        assert_eq!(mask.area() as u64, first["area"].as_u64().unwrap(), "{key}");
        let bbox: Vec<f32> = serde_json::from_value(first["bbox"].clone()).unwrap();
        assert_eq!(xywh(bounding_box(&mask))[..], bbox[..], "{key}");
        // It has been cleaned at 62 pixels already, so cleaning finds nothing more.
        assert!(!clean(mask, 62).unwrap().changed, "{key}");
    }
}
