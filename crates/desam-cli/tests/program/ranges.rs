//! Warnings about volumes unlike the training cases.

use crate::common::{fixture, run, run_copy};
use desam::ModelRecord;
use desam::data::cache::FeatureCache;
use desam::model::{SourceStatistics, ValueRange, VolumeMeasurements};
use desam::volume::nifti::read_labels;

#[test]
fn a_trained_model_keeps_the_ranges_of_its_training_cases() {
    let fixture = fixture();
    let record = ModelRecord::of_file(&fixture.run.join("model.safetensors")).unwrap().unwrap();
    let found = record.source_statistics.unwrap();
    // `--split last` trains on the first of the two cases of site A.
    let cache = FeatureCache::open(&fixture.cache).unwrap();
    let first = cache.cases().iter().position(|c| c.site == "A" && c.id == "Case00").unwrap();
    let labels = read_labels(&cache.label_path(first).unwrap()).unwrap();
    let voxels = labels.data().iter().filter(|v| **v > 0).count() as f64;
    let ml = voxels * labels.grid().spacing().iter().product::<f64>() / 1000.0;
    let near = |range: Option<ValueRange>, value: f64| {
        range.is_some_and(|r| (r.min - value).abs() < 1e-6 && (r.max - value).abs() < 1e-6)
    };
    let [column, row, slice] = labels.grid().spacing();
    assert!(near(found.structure_ml, ml), "{ml}: {found:?}");
    assert!(near(found.slice_mm, slice), "{slice}: {found:?}");
    assert_eq!(column, row);
    assert!(near(found.pixel_mm, column), "{column}: {found:?}");
}

#[test]
fn volumes_unlike_the_training_cases_are_warned_of() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let tiny = run_copy(folder.path(), "tiny");
    let model = tiny.join("model.safetensors");
    let record = ModelRecord::of_file(&model).unwrap().unwrap();
    // Structures of a few microlitres in pixels of 5 mm.
    let case = VolumeMeasurements { structure_ml: 1e-6, spacing_mm: [5.0, 5.0, 3.0] };
    let statistics = SourceStatistics::default().with_ranges(&[case]);
    ModelRecord { source_statistics: Some(statistics), ..record }.replace_in_file(&model).unwrap();

    let (input, mask) = (fixture.data.join("B/Case00.nii.gz"), folder.path().join("b.nii.gz"));
    let predict = args![
        "predict",
        "--json",
        "--save-json",
        "--model",
        tiny,
        "--input",
        input,
        "--output",
        mask,
    ];
    let ended = run(predict).expect(0);
    let words = ["the structure had 0.0 ml", "mm wide; in the training cases they were 5.00 mm"];
    assert!(words.iter().all(|w| ended.stderr.contains(w)), "{}", ended.stderr);
    let report = std::fs::read(folder.path().join("b.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    for warnings in [&ended.json()["done"][0]["warnings"], &report["warnings"]] {
        assert!(words.iter().all(|w| warnings.to_string().contains(w)), "{warnings}");
    }

    let evaluate =
        args!["evaluate", "--json", "--cache", fixture.cache, "--run", tiny, "--protocol", "full"];
    let ended = run(evaluate).expect(0);
    let summary = "the prediction or the spacing is unlike the training cases, such as";
    assert!(ended.stderr.contains(summary), "{}", ended.stderr);
    for case in ended.json()["cases"].as_array().unwrap() {
        assert!(case["warnings"].to_string().contains(words[1]), "{case}");
    }
}

#[test]
fn agreement_is_printed_on_request() {
    let fixture = fixture();
    let mask = fixture.dir.path().join("agreement/mask.nii.gz");
    let input = fixture.data.join("A/Case00.nii.gz");
    let predict = args![
        "predict",
        "--model",
        fixture.run,
        "--input",
        input,
        "--output",
        mask,
        "--agreement",
        "--mode",
        "points",
        "--grid",
        "3",
        "--presence-threshold",
        "-1000",
    ];
    let ended = run(predict).expect(0);
    assert!(ended.stdout.contains(", agreement "), "{ended:?}");
}
