//! Grid points mode against what the official program selected. Source of every number:
//! `grid.safetensors` and `grid.json`, made on `trained.pth` with an IoU threshold of 0.5 and a
//! smallest region of 62 pixels.

use crate::support::{Official, features, numbers, reference, vectors};
use desam::candle::Tensor;
use desam::core::{BinaryMask, MaskDecoder, PromptEncoder, Prompts};
use desam::nn::params::{LoadOptions, Tensors};
use desam::predict::SlicePredictor;
use desam::prompt::grid_points;
use desam::select::{Candidate, Geometry, Record, SelectionConfig, select};
use desam::{Automatic, Mode};
use serde_json::Value;

/// Pixels in which a mask may differ (issue's limit).
const PIXELS: usize = 2;
/// How far a predicted IoU may be off (issue's limit).
const IOU: f64 = 1e-4;
/// Rounding of a point's coordinates, which are f32 here and f64 there, in mask pixels.
const COORDINATE: f64 = 1e-5;

fn list(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: {found:?} and {expected:?}");
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off <= tolerance, "{what}: {found:?} and {expected:?}, off by {off}");
}

fn record_agrees(found: &Record, expected: &Value, what: &str) {
    let number = |name: &str| expected[name].as_f64().unwrap();
    let area = found.area.abs_diff(number("area") as usize);
    assert!(area <= PIXELS, "{what}: area {} and {}", found.area, expected["area"]);
    // Two pixels of the mask can move each edge by no more than one here.
    close(&found.bbox_xywh.map(f64::from), &list(&expected["bbox"]), 1.0, what);
    close(&[f64::from(found.predicted_iou)], &[number("predicted_iou")], IOU, what);
    close(&found.point, &list(&expected["point"]), COORDINATE, what);
    // Counts of pixels at two thresholds, each off by two at most.
    let slack = 2.0 * PIXELS as f64 / number("area");
    close(&[f64::from(found.stability)], &[number("stability")], slack, what);
}

fn mask_agrees(found: &BinaryMask, expected: &Tensor, what: &str) {
    let expected: Vec<u8> = expected.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.data().len(), expected.len(), "{what}");
    let differ = found.data().iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert!(differ <= PIXELS, "{what}: {differ} pixels differ");
}

/// One image, one grid.
fn case(model: &Official, (train, grid): (&Tensors, &Tensors), expected: &Value) {
    let (side, image) = (&expected["side"], &expected["image"]);
    let key = format!("side{side}.image{image}");
    let index = Tensor::new(&[image.as_i64().unwrap()], &desam::candle::Device::Cpu).unwrap();
    let features = features(train, &index);
    let decoder = &model.decoder.module;
    let n = side.as_u64().unwrap() as usize;

    let context = decoder.context(&features, model.prompt.dense_pe()).unwrap();
    let points = grid_points(n, model.spec.input_side as f32).unwrap();
    let prompts = model.prompt.encode(&Prompts::points(&points).unwrap()).unwrap();
    let reading = decoder.read(&context, &prompts).unwrap();
    let ious: Vec<f32> = reading.iou().unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let logits = decoder.draw(&context, &reading).unwrap().flatten_from(1).unwrap();
    let logits: Vec<Vec<f32>> = logits.to_vec2().unwrap();

    let mask_side = model.spec.mask_side();
    let config = SelectionConfig::for_side(mask_side);
    assert_eq!((config.iou_threshold, config.min_region_px), (0.5, 62));
    let kept = config.worth_drawing(&ious);
    let scale = mask_side as f64 / model.spec.input_side as f64;
    let on_image = |i: &usize| [f64::from(points[*i].x) * scale, f64::from(points[*i].y) * scale];
    let found: Vec<f64> = kept.iter().flat_map(on_image).collect();
    close(
        &found,
        &numbers(&grid[&format!("{key}.points")]),
        COORDINATE,
        &format!("{key}: points kept"),
    );
    let found: Vec<f64> = kept.iter().map(|i| f64::from(ious[*i])).collect();
    close(&found, &numbers(&grid[&format!("{key}.iou_preds")]), IOU, &format!("{key}: IoU"));

    let candidates: Vec<Candidate<'_>> = kept
        .iter()
        .map(|&i| Candidate { point: points[i], predicted_iou: ious[i], logits: &logits[i] })
        .collect();
    let geometry = Geometry::square(mask_side, model.spec.input_side, mask_side);
    let records = select(&candidates, &geometry, &config).unwrap();
    let expected = expected["anns"].as_array().unwrap();
    assert_eq!(records.len(), expected.len(), "{key}: records");
    for (i, (found, expected)) in records.iter().zip(expected).enumerate() {
        record_agrees(found, expected, &format!("{key}, record {i}"));
    }
    let first = &grid[&format!("{key}.first_mask")];
    mask_agrees(&records[0].mask, first, &key);

    // What users call reads in chunks and draws only what can win: the same mask.
    let predictor = SlicePredictor::new(&model.prompt, decoder, &model.spec);
    let predicted = predictor.predict(&features, &Automatic::new(Mode::Points, n, mask_side));
    let predicted = predicted.unwrap();
    mask_agrees(&predicted.mask, first, &format!("{key}, predictor"));
    assert_eq!(predicted.point, Some(records[0].point), "{key}, predictor");
}

#[test]
fn the_grid_selects_what_the_official_program_selects() {
    let Some(folder) = reference("official grid") else {
        return;
    };
    let train = vectors(&folder.join("train.safetensors"));
    let grid = vectors(&folder.join("grid.safetensors"));
    let text = std::fs::read_to_string(folder.join("grid.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let model = Official::open(&folder.join("trained.pth"), &LoadOptions::frozen());
    // Images 0..3 on grids of 1, 5 and 9 a side (README of the vectors).
    assert_eq!(cases.len(), 12);
    for expected in &cases {
        case(&model, (&train, &grid), expected);
    }
}
