//! Stages of grid points mode: points kept, selected masks, prediction.

use super::compare::Comparison;
use super::official_model::OfficialModel;
use super::reference_vectors::ReferenceVectors;
use super::report::Stage;
use crate::Result;
use candle_core::{Device, Tensor};
use desam::predict::SlicePredictor;
use desam::select::{Geometry, MaskCandidate, SelectedMask, SelectionConfig, select};
use desam::{Mode, PromptingConfig};
use desam_core::{BinaryMask, MaskDecoder, PromptEncoder, Prompts};
use desam_prompt::grid_points;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Largest number of differing pixels of a mask.
const PIXELS: f64 = 2.0;

/// Largest error of a predicted IoU.
const IOU: f64 = 1e-4;

/// Largest 1 − Dice of two masks in bf16; it is 0.0014 in PyTorch's autocast, whichever point wins.
const OVERLAP: f64 = 0.01;

/// Rounding of a point's coordinates, f32 here and f64 in the reference, as a share of the mask's side.
const COORDINATE: f64 = 1e-6;

/// One image on one grid in `grid.json`.
#[derive(Debug, Deserialize)]
pub(super) struct GridCase {
    side: usize,
    image: u32,
    anns: Vec<ExpectedMask>,
}

#[derive(Debug, Deserialize)]
struct ExpectedMask {
    area: f64,
    bbox: [f64; 4],
    predicted_iou: f64,
    point: [f64; 2],
    stability: f64,
}

/// Comparisons for one grid size, over all images.
#[derive(Debug, Default)]
struct GridComparisons {
    points: Comparison,
    kept_iou: Comparison,
    count: Comparison,
    record_points: Comparison,
    record_iou: Comparison,
    area: Comparison,
    boxes: Comparison,
    stability: Comparison,
    mask: Comparison,
    predictor: Comparison,
}

/// Compares all grids of the file.
pub(super) fn grid(
    model: &OfficialModel,
    file: &ReferenceVectors,
    train: &ReferenceVectors,
    cases: &[GridCase],
) -> Result<Vec<Stage>> {
    if !model.precision.is_f32() {
        return overlaps(model, file, train, cases);
    }
    let mut sides: BTreeMap<usize, GridComparisons> = BTreeMap::new();
    for case in cases {
        compare_case(model, file, train, case, sides.entry(case.side).or_default())?;
    }
    let coordinate = COORDINATE * model.spec.mask_side() as f64;
    let stages = sides.into_iter().flat_map(|(n, rows)| {
        let name = |what: &str| format!("grid {n}×{n} {what}");
        [
            rows.points.absolute(name("points kept"), coordinate),
            rows.kept_iou.absolute(name("IoU of points kept"), IOU),
            rows.count.absolute(name("number of records"), 0.0),
            rows.record_points.absolute(name("records' points, in order"), coordinate),
            rows.record_iou.absolute(name("records' IoU"), IOU),
            rows.area.absolute(name("records' area"), PIXELS),
            // Two differing pixels move an edge by at most one.
            rows.boxes.absolute(name("records' boxes"), 1.0),
            // Pixel counts at two thresholds, each off by at most two; in units of that.
            rows.stability.absolute(name("records' stability, ×area/4"), 1.0),
            rows.mask.absolute(name("first mask, pixels off"), PIXELS),
            rows.predictor.absolute(name("prediction, pixels off"), PIXELS),
        ]
    });
    // A grid that keeps no point has no records to compare.
    Ok(stages.filter(|s| s.elements > 0 || !s.note.is_empty()).collect())
}

/// Compares only the predicted masks, for bf16: with 8 significant bits, either of two equally good points
/// may win, and a box may or may not be suppressed, but the resulting mask shows the same object.
fn overlaps(
    model: &OfficialModel,
    file: &ReferenceVectors,
    train: &ReferenceVectors,
    cases: &[GridCase],
) -> Result<Vec<Stage>> {
    let mut sides: BTreeMap<usize, Comparison> = BTreeMap::new();
    let side = model.spec.mask_side();
    let predictor = SlicePredictor::new(&model.prompt, &model.decoder.module, &model.spec)
        .with_precision(model.precision);
    for case in cases {
        let index = Tensor::new(&[case.image], &Device::Cpu)?;
        let features = model.features(train, &index)?;
        let found =
            predictor.predict(&features, &PromptingConfig::new(Mode::Points, case.side, side))?;
        let expected = first_mask(file, case, side)?;
        let row = sides.entry(case.side).or_default();
        if found.mask.data().len() != expected.len() {
            row.fail(format!("{} pixels, expected {}", found.mask.data().len(), expected.len()));
            continue;
        }
        let pairs = found.mask.data().iter().zip(&expected);
        let both = pairs.filter(|(a, b)| **a == 1 && **b == 1).count();
        let sum = found.mask.area() + expected.iter().map(|v| usize::from(*v)).sum::<usize>();
        let dice = if sum == 0 { 1.0 } else { 2.0 * both as f64 / sum as f64 };
        row.elements += expected.len();
        row.largest = row.largest.max(1.0 - dice);
        row.include_relative(1.0 - dice);
    }
    let name = |n: usize| format!("grid {n}×{n} prediction, 1 - Dice");
    Ok(sides.into_iter().map(|(n, row)| row.absolute(name(n), OVERLAP)).collect())
}

/// The mask of the first record; empty without records.
fn first_mask(file: &ReferenceVectors, case: &GridCase, side: usize) -> Result<Vec<u8>> {
    let name = format!("side{}.image{}.first_mask", case.side, case.image);
    if case.anns.is_empty() && !file.has(&name) {
        return Ok(vec![0; side * side]);
    }
    let mask = file.bytes(&name)?;
    if mask.iter().any(|v| *v > 1) {
        return Err(file.wrong(format!("{name} is no mask: it holds more than 0 and 1")));
    }
    Ok(mask)
}

fn compare_case(
    model: &OfficialModel,
    file: &ReferenceVectors,
    train: &ReferenceVectors,
    case: &GridCase,
    rows: &mut GridComparisons,
) -> Result<()> {
    let key = format!("side{}.image{}", case.side, case.image);
    let wrong = |e: candle_core::Error| file.wrong(format!("{key}: {e}"));
    let index = Tensor::new(&[case.image], &Device::Cpu)?;
    let features = model.features(train, &index)?;
    let decoder = &model.decoder.module;
    let context = decoder.context(&features, model.prompt.dense_pe()).map_err(wrong)?;
    let points = grid_points(case.side, model.spec.input_side as f32)?;
    let prompts = model.prompt.encode(&Prompts::points(&points)?)?;
    let reading = decoder.encode_prompts(&context, &prompts).map_err(wrong)?;
    let ious: Vec<f32> = reading.ious(1)?.flatten_all()?.to_vec1()?;
    let logits = decoder.decode_masks(&context, &reading).map_err(wrong)?.flatten_from(1)?;
    let logits: Vec<Vec<f32>> = logits.to_vec2()?;

    let side = model.spec.mask_side();
    let config = SelectionConfig::for_side(side);
    let scale = side as f64 / model.spec.input_side as f64;
    let (mut candidates, mut found) = (Vec::new(), Vec::new());
    for ((point, iou), logits) in points.iter().zip(&ious).zip(&logits) {
        if config.keeps(*iou) {
            candidates.push(MaskCandidate { point: *point, predicted_iou: *iou, logits });
            found.extend([f64::from(point.x) * scale, f64::from(point.y) * scale]);
        }
    }
    rows.points.values(&found, &file.numbers(&format!("{key}.points"))?);
    let found: Vec<f64> = candidates.iter().map(|c| f64::from(c.predicted_iou)).collect();
    rows.kept_iou.values(&found, &file.numbers(&format!("{key}.iou_preds"))?);

    let geometry = Geometry::square(side, model.spec.input_side, side);
    let records = select(&candidates, &geometry, &config)?;
    rows.count.values(&[records.len() as f64], &[case.anns.len() as f64]);
    for (found, expected) in records.iter().zip(&case.anns) {
        record(found, expected, rows);
    }
    // The public predictor works in chunks and decodes only masks that can win; the mask is the same.
    let predictor = SlicePredictor::new(&model.prompt, decoder, &model.spec);
    let predicted =
        predictor.predict(&features, &PromptingConfig::new(Mode::Points, case.side, side))?;
    let expected = first_mask(file, case, side)?;
    let empty = BinaryMask::empty(side, side);
    mask(records.first().map_or(&empty, |r| &r.mask), &expected, &mut rows.mask);
    mask(&predicted.mask, &expected, &mut rows.predictor);
    if predicted.point != records.first().map(|r| r.point) {
        rows.predictor.fail(format!("{key}: the prediction is of another point"));
    }
    Ok(())
}

fn record(found: &SelectedMask, expected: &ExpectedMask, rows: &mut GridComparisons) {
    rows.record_points.values(&found.point, &expected.point);
    rows.record_iou.values(&[f64::from(found.predicted_iou)], &[expected.predicted_iou]);
    rows.area.values(&[found.area as f64], &[expected.area]);
    rows.boxes.values(&found.bbox_xywh.map(f64::from), &expected.bbox);
    let unit = expected.area / (2.0 * PIXELS);
    rows.stability.values(&[f64::from(found.stability) * unit], &[expected.stability * unit]);
}

/// Counts the differing pixels of two masks; the limit applies to the worst image.
fn mask(found: &BinaryMask, expected: &[u8], row: &mut Comparison) {
    if found.data().len() != expected.len() {
        row.fail(format!("{} pixels, expected {}", found.data().len(), expected.len()));
        return;
    }
    let differ = found.data().iter().zip(expected).filter(|(a, b)| a != b).count();
    let area = expected.iter().map(|v| usize::from(*v)).sum::<usize>();
    row.elements += expected.len();
    row.largest = row.largest.max(differ as f64);
    row.include_relative((differ as f64 / area.max(1) as f64).sqrt());
}
