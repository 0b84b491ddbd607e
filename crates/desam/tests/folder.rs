//! Many volumes through one model, and what is written beside their masks.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod toy;

use desam::data::cache::hash_file;
use desam::data::postprocess::{Holes, PostprocessConfig};
use desam::predict::{PredictOptions, SliceChoice, segment_folder};
use desam::prompt::grid_points;
use desam::types::{Affine, Grid, LabelVolume, Progress, Prompt, Volume};
use desam::volume::nifti::{read_labels, read_volume, write_volume};
use desam::{Mode, PromptingConfig, Quiet};
use std::path::Path;
use std::sync::Mutex;

const SIZES: [[usize; 3]; 4] = [[40, 32, 6], [24, 24, 3], [32, 40, 5], [33, 31, 4]];

fn everything() -> PredictOptions {
    let postprocess =
        PostprocessConfig { largest_component: true, fill_holes: Some(Holes::Slices) };
    PredictOptions::default()
        .with_postprocess(postprocess)
        .with_probability(true)
        .with_iou_map(true)
        .with_overlay(Some(SliceChoice::All))
        .with_json(true)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_is_its_volumes_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let segmenter = segmenter.with_options(everything()).unwrap();
    let inputs = toy::volumes(folder.path(), &SIZES);
    let [together, alone] = ["together", "alone"].map(|n| folder.path().join(n));
    let summary = segment_folder(&segmenter, &inputs, &together, &Quiet).unwrap();
    let order: Vec<_> = summary.done.iter().map(|d| d.input.clone()).collect();
    assert_eq!(order, inputs);
    std::fs::create_dir(&alone).unwrap();
    for input in &inputs {
        let output = alone.join(input.file_name().unwrap());
        segmenter.segment_file(input, &output, &Quiet).unwrap();
    }
    // A mask, two maps, a JSON file, and a picture a slice.
    assert_eq!(names(&together).len(), 4 * 4 + (6 + 3 + 5 + 4));
    assert_eq!(names(&together), names(&alone));
    for name in names(&together) {
        let [a, b] = [&together, &alone].map(|f| std::fs::read(f.join(&name)).unwrap());
        // The JSON files name their folders.
        assert!(a == b || name.ends_with(".json"), "{name}");
    }
}

#[derive(Default)]
struct Messages(Mutex<Vec<String>>);

impl Progress for Messages {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn finish(&self, summary: &str) {
        self.say(summary);
    }
    fn say(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn what_fails_is_reported_in_order_and_the_rest_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let third = Some(SliceChoice::Listed(vec![3]));
    let options = PredictOptions::default().with_overlay(third).with_json(true);
    let segmenter = segmenter.with_options(options).unwrap();
    let mut inputs = toy::volumes(folder.path(), &SIZES);
    std::fs::write(&inputs[0], "no volume").unwrap();
    // The same name in another folder: its files would go where those of the first went.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    inputs.push(other.join("v2.nii.gz"));
    std::fs::copy(&inputs[2], &inputs[4]).unwrap();
    inputs.push(folder.path().join("missing.nii.gz"));
    let (out, messages) = (folder.path().join("out"), Messages::default());
    let summary = segment_folder(&segmenter, &inputs, &out, &messages).unwrap();
    let done: Vec<_> = summary.done.iter().map(|d| d.input.clone()).collect();
    assert_eq!(done, [inputs[2].clone(), inputs[3].clone()]);
    let failed: Vec<_> = summary.failed.iter().map(|f| f.input.clone()).collect();
    assert_eq!(failed, [0, 1, 4, 5].map(|n| inputs[n].clone()));
    let messages = messages.0.into_inner().unwrap();
    // What an untrained model draws may well be doubtful.
    let messages: Vec<_> = messages.iter().filter(|line| !line.starts_with("warning: ")).collect();
    assert_eq!(messages.len(), 5, "{messages:?}");
    // The second volume has slices 0 to 2.
    for (line, words) in
        messages.iter().zip(["v0", "0 to 2", "v2.nii.gz and again", "missing", "4 f"])
    {
        assert!(line.contains(words), "{words}: {line}");
    }
    let expected = ["v2.json", "v2.nii.gz", "v2.slice003.png", "v3.json", "v3.nii.gz"];
    assert_eq!(names(&out)[..5], expected);
    assert_eq!(names(&out).len(), 6);
}

#[test]
fn nothing_is_done_and_no_folder_made_in_vain() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let summary = segment_folder(&segmenter, &[], &folder.path().join("out"), &Quiet).unwrap();
    assert!(summary.done.is_empty() && summary.failed.is_empty());
    let file = folder.path().join("model.safetensors");
    assert!(segment_folder(&segmenter, &[], &file, &Quiet).is_err());
}

struct Written {
    mask: LabelVolume,
    probability: Volume,
    iou: Volume,
    report: serde_json::Value,
}

fn written(folder: &Path, options: PredictOptions) -> (Written, desam::predict::Segmentation) {
    let model = toy::model(folder);
    let segmenter = toy::segmenter(&model).with_options(options).unwrap();
    let input = toy::volumes(folder, &[[40, 32, 6]]).remove(0);
    let mask = folder.join("mask.nii.gz");
    let summary = segmenter.segment_file(&input, &mask, &Quiet).unwrap();
    let beside = |ending: &str| folder.join(format!("mask.{ending}"));
    assert_eq!(summary.files.last(), Some(&beside("json")));
    assert!(summary.files.iter().all(|f| f.is_file()));
    let text = std::fs::read_to_string(beside("json")).unwrap();
    let written = Written {
        mask: read_labels(&mask).unwrap(),
        probability: read_volume(&beside("probability.nii.gz")).unwrap(),
        iou: read_volume(&beside("iou.nii.gz")).unwrap(),
        report: serde_json::from_str(&text).unwrap(),
    };
    assert_eq!(written.report["model"]["blake3"], hash_file(&model).unwrap());
    assert_eq!(summary.size.volume_ml(), written.report["volume_ml"].as_f64());
    assert_eq!((summary.slices, summary.dims), (6, [40, 32, 6]));
    let slices = written.report["slices_with_mask"].as_array().unwrap();
    assert_eq!(slices.len(), summary.slices_with_mask);
    let segmentation = segmenter.segment(&read_volume(&input).unwrap(), &Quiet).unwrap();
    (written, segmentation)
}

#[test]
fn maps_lie_where_the_mask_lies() {
    let folder = tempfile::tempdir().unwrap();
    let options = everything().with_postprocess(PostprocessConfig::default()).with_overlay(None);
    let (written, segmentation) = written(folder.path(), options);
    let Written { mask, probability, iou, report } = written;
    assert_eq!(segmentation.mask, mask);
    for map in [&probability, &iou] {
        assert_eq!(map.grid(), mask.grid());
    }
    let found = mask.data().iter().filter(|v| **v > 0).count();
    assert_eq!(report["voxels"], found);
    assert!(found > 100, "an untrained model that finds nothing shows nothing");
    assert!(probability.data().iter().all(|p| (0.0..=1.0).contains(p)));
    // A mask pixel is 2.5 × 2 voxels: mask and map agree but for the rim between pixels, and for
    // regions that were removed as too small. Across the mask their values do not coincide by chance.
    let mean = |inside: bool| {
        let at = mask.data().iter().zip(probability.data()).filter(|(m, _)| (**m > 0) == inside);
        let (sum, n) = at.fold((0.0, 0), |(s, n), (_, p)| (s + f64::from(*p), n + 1));
        sum / f64::from(n)
    };
    assert!(mean(true) > 0.5 && mean(false) < 0.5, "{} {}", mean(true), mean(false));
    // One of nine values in each cell of each slice; 40 / 3 and 32 / 3 voxels a cell.
    for k in 0..6 {
        for (j, i) in (0..32).flat_map(|j| (0..40).map(move |i| (j, i))) {
            let middle = |v: usize, n: usize| {
                let cell = (v as f64 + 0.5) * 3.0 / n as f64;
                ((cell.floor() + 0.5) * n as f64 / 3.0) as usize
            };
            let at = |i: usize, j: usize| iou.data()[(k * 32 + j) * 40 + i];
            assert_eq!(at(i, j), at(middle(i, 40), middle(j, 32)), "{i} {j} {k}");
        }
    }
    // The best of them is that of the mask that was taken, unless cleaning had its say.
    let best = iou.data().iter().copied().fold(f32::MIN, f32::max);
    let taken = segmentation.classes[0]
        .slices
        .iter()
        .filter_map(|s| s.predicted_iou)
        .fold(f32::MIN, f32::max);
    assert!(taken <= best && taken > f32::MIN, "{taken} {best}");
    let most = report["predicted_iou"]["max"].as_f64().unwrap();
    assert_eq!(most as f32, taken);
}

#[test]
fn what_is_written_is_tidied_up_and_measured_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (written, _) = written(folder.path(), everything());
    let plain = toy::segmenter(&folder.path().join("model.safetensors"));
    let volume = read_volume(&folder.path().join("v0.nii.gz")).unwrap();
    let before = plain.segment(&volume, &Quiet).unwrap();
    assert!(before.classes[0].probability.is_none() && before.classes[0].iou_map.is_none());
    let after = everything().postprocess.apply(before.mask.clone(), 2).unwrap();
    assert!(after != before.mask, "nothing to tidy up shows nothing");
    assert_eq!(written.mask, after);
    let report = &written.report;
    assert_eq!(report["settings"]["options"]["postprocess"]["fill_holes"], "slices");
    assert_eq!(report["settings"]["prompts"]["grid"], 3);
    assert_eq!(report["files"].as_array().unwrap().len(), 2 + 6);
    let voxels = after.data().iter().filter(|v| **v > 0).count();
    // 0.5 × 0.5 × 3 mm are 0.75 mm³.
    let ml = report["volume_ml"].as_f64().unwrap();
    assert!((ml - voxels as f64 * 0.75e-3).abs() < 1e-6, "{ml}");
    let corner = |which: &str| -> Vec<usize> {
        serde_json::from_value(report["bounding_box"][which].clone()).unwrap()
    };
    let (first, last) = (corner("first_voxel"), corner("last_voxel"));
    let dims = after.grid().dims;
    for (at, _) in after.data().iter().enumerate().filter(|(_, v)| **v > 0) {
        let here = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
        assert!((0..3).all(|a| (first[a]..=last[a]).contains(&here[a])), "{here:?}");
    }
}

#[test]
fn a_volume_is_not_written_over_by_its_own_map() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let options = PredictOptions::default().with_probability(true);
    let segmenter = segmenter.with_options(options).unwrap();
    let input = toy::volumes(folder.path(), &[[16, 16, 2]]).remove(0);
    let odd = folder.path().join("a.probability.nii.gz");
    std::fs::rename(&input, &odd).unwrap();
    let before = std::fs::read(&odd).unwrap();
    let refused = segmenter.segment_file(&odd, folder.path().join("a.nii.gz"), &Quiet);
    let reason = refused.unwrap_err().to_string();
    assert!(reason.contains("a.probability.nii.gz") && reason.contains("another name"), "{reason}");
    assert!(std::fs::read(&odd).unwrap() == before);
}

#[test]
fn a_volume_is_not_written_over_by_its_own_mask() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let input = toy::volumes(folder.path(), &[[16, 16, 2]]).remove(0);
    let before = std::fs::read(&input).unwrap();
    let refused = segmenter.segment_file(&input, &input, &Quiet).unwrap_err().to_string();
    assert!(refused.contains("v0.nii.gz: is the volume itself"), "{refused}");
    let inputs = [input.clone()];
    let summary = segment_folder(&segmenter, &inputs, folder.path(), &Quiet).unwrap();
    assert_eq!((summary.done.len(), summary.failed.len()), (0, 1));
    assert!(std::fs::read(&input).unwrap() == before);
}

/// A volume of one value, stored as [`toy::volume`] stores them.
fn constant(value: f32) -> Volume {
    let grid = *toy::volume([24, 20, 3], 0).grid();
    Volume::new(grid, vec![value; grid.len()]).unwrap()
}

#[test]
fn a_segmentation_reports_its_begin_and_end() {
    #[derive(Default)]
    struct All(Mutex<Vec<String>>);
    impl Progress for All {
        fn begin(&self, task: &str, steps: u64) {
            self.say(&format!("begin {task} {steps}"));
        }
        fn advance(&self, steps: u64, _: &str) {
            self.say(&format!("advance {steps}"));
        }
        fn finish(&self, summary: &str) {
            self.say(&format!("finish {summary}"));
        }
        fn say(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let messages = All::default();
    let found = segmenter.segment(&toy::volume([24, 20, 3], 0), &messages).unwrap();
    let lines = messages.0.into_inner().unwrap();
    let expected = [
        "begin segmenting 3".to_owned(),
        "advance 1".to_owned(),
        "advance 1".to_owned(),
        "advance 1".to_owned(),
        format!("finish {:.1} ml", found.volume_ml()),
    ];
    assert_eq!(lines[..5], expected);
    // What is doubtful comes behind.
    let messages = All::default();
    segmenter.segment(&constant(7.0), &messages).unwrap();
    let lines = messages.0.into_inner().unwrap();
    assert_eq!(lines[5], "warning: the image is constant: all its voxels are 7");
}

#[test]
fn warnings_about_a_volume_are_reported_and_in_its_json() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let options = PredictOptions::default().with_json(true);
    let segmenter = segmenter.with_options(options).unwrap();
    let mut inputs = toy::volumes(folder.path(), &SIZES[..1]);
    inputs.push(folder.path().join("black.nii.gz"));
    write_volume(&inputs[1], &constant(0.0)).unwrap();
    let (out, messages) = (folder.path().join("out"), Messages::default());
    let summary = segment_folder(&segmenter, &inputs, &out, &messages).unwrap();
    assert!(summary.failed.is_empty(), "{:?}", summary.failed);
    let constant = format!("{}: the image is constant: all its voxels are 0", inputs[1].display());
    assert!(summary.done[1].warnings.contains(&constant), "{:?}", summary.done[1].warnings);
    let messages = messages.0.into_inner().unwrap();
    assert!(messages.contains(&format!("warning: {constant}")), "{messages:?}");
    let report = std::fs::read_to_string(out.join("black.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["warnings"], serde_json::json!(summary.done[1].warnings));
    let report = std::fs::read_to_string(out.join("v0.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["warnings"], serde_json::json!(summary.done[0].warnings));
    // One by one it is the same.
    let alone = segmenter.segment_file(&inputs[1], folder.path().join("m.nii.gz"), &Quiet).unwrap();
    assert_eq!(alone.warnings, summary.done[1].warnings);
}

#[test]
fn what_cannot_be_an_image_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let nothing = folder.path().join("nothing.nii.gz");
    write_volume(&nothing, &constant(f32::NAN)).unwrap();
    let line = folder.path().join("line.nii.gz");
    let grid = Grid { dims: [1, 24, 3], affine: Affine::from_spacing([1.0, 1.0, 3.0]) };
    write_volume(&line, &Volume::new(grid, (0..72).map(|v| v as f32).collect()).unwrap()).unwrap();
    for (input, word) in
        [(&nothing, "1440 of 1440 voxels are not finite"), (&line, "1 × 24 pixels")]
    {
        let mask = folder.path().join("mask.nii.gz");
        let error = segmenter.segment_file(input, &mask, &Quiet).unwrap_err().to_string();
        assert!(error.starts_with(&input.display().to_string()) && error.contains(word), "{error}");
        assert!(!mask.exists());
    }
}

#[test]
fn agreement_is_that_of_the_best_other_points() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let options = PredictOptions::default().with_agreement(true).with_json(true);
    let sure = segmenter.clone().with_options(options).unwrap();
    let volume = toy::volume([40, 32, 3], 1);
    let (plain, found) =
        (segmenter.segment(&volume, &Quiet).unwrap(), sure.segment(&volume, &Quiet).unwrap());
    assert_eq!((&found.mask, plain.agreement()), (&plain.mask, None));

    // By hand: every point is prompted alone; all nine pass, since the threshold is off.
    let (model, selection) = (segmenter.model(), segmenter.prompting().selection);
    let (predictor, side) = (model.predictor(), model.spec().input_side as f32);
    let points = grid_points(3, side).unwrap();
    let prepared = model.record().preprocess.prepare(&volume, model.spec()).unwrap();
    let (mut sum, mut area) = (0.0, 0.0);
    for (z, slice) in found.classes[0].slices.iter().enumerate() {
        let features =
            model.encoder().encode(&prepared.pixels(z, model.device()).unwrap()).unwrap();
        let (_, evidence) =
            predictor.predict_with_evidence(&features, segmenter.prompting()).unwrap();
        let context = predictor.context(&features).unwrap();
        let chosen = slice.point.unwrap().map(|at| at * 4.0);
        let mut others: Vec<usize> = (0..points.len()).collect();
        others.sort_by(|a, b| evidence.ious[*b].total_cmp(&evidence.ious[*a]));
        others.retain(|n| [points[*n].x, points[*n].y].map(f64::from) != chosen);
        assert_eq!(others.len(), 8);
        let dice = |n: &usize| {
            let prompt = Prompt { points: vec![points[*n]], bbox: None };
            let others = predictor.predict_prompt(&context, prompt, &selection).unwrap();
            let (_, other) = &others[0];
            let other: Vec<u8> = other.logits.iter().map(|v| u8::from(*v > 0.0)).collect();
            let count = |mask: &[u8]| mask.iter().filter(|v| **v > 0).count() as f64;
            let mine = slice.mask.data();
            let both = mine.iter().zip(&other).filter(|(a, b)| **a > 0 && **b > 0).count() as f64;
            2.0 * both / (count(mine) + count(&other))
        };
        let expected = others[..5].iter().map(dice).sum::<f64>() / 5.0;
        let agreement = f64::from(slice.agreement.unwrap());
        // A logit at 0 may round to either side: one pixel of a mask of 16 × 16.
        assert!((agreement - expected).abs() < 0.02, "slice {z}: {agreement} {expected}");
        sum += agreement * slice.mask.area() as f64;
        area += slice.mask.area() as f64;
    }
    let agreement = found.agreement().unwrap();
    assert!((agreement - sum / area).abs() < 1e-9 && area > 0.0, "{agreement}");

    let [input, mask] = ["t2.nii.gz", "mask.nii.gz"].map(|name| folder.path().join(name));
    write_volume(&input, &volume).unwrap();
    let summary = sure.segment_file(&input, &mask, &Quiet).unwrap();
    assert_eq!((summary.agreement, summary.confidence), (Some(agreement), None));
    let report = std::fs::read(folder.path().join("mask.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    // The last digit may get lost in the text.
    assert!((report["agreement"].as_f64().unwrap() - agreement).abs() < 1e-12);
    let slices = report["slices"].as_array().unwrap();
    assert_eq!(slices.len(), found.classes[0].slices.iter().filter(|s| !s.mask.is_empty()).count());
    assert!(slices.iter().all(|s| s["agreement"].is_f64() && s["predicted_iou"].is_f64()));

    let boxed = PromptingConfig::new(Mode::Box, 3, model.spec().mask_side());
    let boxed = sure.with_prompting(boxed).unwrap();
    assert!(boxed.warnings().iter().any(|w| w.contains("no agreement is measured")));
    assert_eq!(boxed.segment(&volume, &Quiet).unwrap().agreement(), None);
}
