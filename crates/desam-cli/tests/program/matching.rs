//! `--match-source` of `predict` and `evaluate`.

use crate::common::{fixture, run, run_copy};
use desam::ModelRecord;
use desam::data::cache::FeatureCache;
use desam::data::preprocess::IntensityHistogram;
use std::path::Path;

fn predict(model: &Path, input: &Path, mask: &Path, more: &[&str]) -> crate::common::Ended {
    let fixed = args!["predict", "-q", "--json", "--model", model, "--input", input];
    let output = args!["--output", mask];
    run(fixed.into_iter().chain(output).chain(more.iter().map(Into::into)))
}

#[test]
fn a_trained_model_keeps_the_histogram_of_its_training_cases() {
    let fixture = fixture();
    let record = ModelRecord::of_file(&fixture.run.join("model.safetensors")).unwrap().unwrap();
    let cache = FeatureCache::open(&fixture.cache).unwrap();
    // `--split last` holds out the second of the two cases of site A.
    let first = cache.cases().iter().position(|c| c.site == "A" && c.id == "Case00").unwrap();
    let slices = cache.processed_slices(first).unwrap();
    let expected = IntensityHistogram::of(slices.iter().map(|s| cache.image(s))).unwrap();
    assert_eq!(record.source_histogram().unwrap(), &expected);
}

#[test]
fn a_training_volume_stays_and_another_sites_is_matched() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes = |name: &str| std::fs::read(at(name)).unwrap();
    let [own, other] = ["A", "B"].map(|site| fixture.data.join(site).join("Case00.nii.gz"));
    let save = "--save-probability";
    let plain = predict(&fixture.run, &own, &at("a.nii.gz"), &[save]).expect(0).json();
    assert_eq!(plain["options"]["match_source"], false);
    let flags = ["--match-source", "--save-json", save];
    let matched = predict(&fixture.run, &own, &at("a-matched.nii.gz"), &flags).expect(0).json();
    assert_eq!(matched["options"]["match_source"], true);
    let report: serde_json::Value = serde_json::from_slice(&bytes("a-matched.json")).unwrap();
    assert_eq!(report["settings"]["options"]["match_source"], true);
    for ending in ["nii.gz", "probability.nii.gz"] {
        assert_eq!(bytes(&format!("a.{ending}")), bytes(&format!("a-matched.{ending}")));
    }
    predict(&fixture.run, &other, &at("b.nii.gz"), &[save]).expect(0);
    predict(&fixture.run, &other, &at("b-matched.nii.gz"), &flags).expect(0);
    assert_ne!(bytes("b.probability.nii.gz"), bytes("b-matched.probability.nii.gz"));
}

#[test]
fn a_model_without_a_histogram_is_refused_with_a_hint() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let old = run_copy(folder.path(), "old");
    let model = old.join("model.safetensors");
    let record = ModelRecord::of_file(&model).unwrap().unwrap();
    ModelRecord { source_statistics: None, ..record }.replace_in_file(&model).unwrap();
    let (input, mask) = (fixture.data.join("A/Case00.nii.gz"), folder.path().join("m.nii.gz"));
    predict(&old, &input, &mask, &[]).expect(0);
    let words = ["no histogram of its training volumes", "leave --match-source out"];
    predict(&old, &input, &mask, &["--match-source", "--force"]).fails_with(&words);
    let evaluate = args!["evaluate", "--cache", fixture.cache, "--run", old, "--match-source"];
    run(evaluate).fails_with(&words);
}

#[test]
fn scores_of_matched_volumes_need_no_features_and_are_named_so() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let (copy, images) = (run_copy(folder.path(), "run"), folder.path().join("images"));
    let embed = args![
        "embed",
        "-q",
        "--data",
        fixture.data,
        "--out",
        images,
        "--encoder",
        "tiny",
        "--slices",
        "none",
    ];
    run(embed).expect(0);
    let evaluate = |cache: &Path, more: &[&str]| {
        let fixed = args!["evaluate", "-q", "--json", "--cache", cache, "--run", copy];
        run(fixed.into_iter().chain(more.iter().map(Into::into))).expect(0).json()
    };
    let plain = evaluate(&fixture.cache, &["--protocol", "full"]);
    assert_eq!(plain["match_source"], false);
    let matched = evaluate(&images, &["--protocol", "full", "--match-source"]);
    assert_eq!(matched["match_source"], true);
    assert!(copy.join("evaluation_full_matching-source_cache-images.json").is_file());
    let voxels = |scores: &serde_json::Value, key: &str| -> Vec<u64> {
        let cases = scores["cases"].as_array().unwrap();
        cases.iter().map(|case| case[key].as_u64().unwrap()).collect()
    };
    assert_eq!(voxels(&plain, "truth_voxels"), voxels(&matched, "truth_voxels"));
    // The same volume as `predict` segments it, features in f32 in both.
    let mask = folder.path().join("b.nii.gz");
    let input = fixture.data.join("B/Case00.nii.gz");
    let predicted = predict(&copy, &input, &mask, &["--match-source", "--save-json"]).expect(0);
    assert_eq!(predicted.json()["failed"], serde_json::json!([]));
    let report = std::fs::read(mask.with_file_name("b.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let cases = matched["cases"].as_array().unwrap();
    let case = cases.iter().find(|c| c["site"] == "B" && c["case"] == "Case00").unwrap();
    assert_eq!(report["voxels"], case["predicted_voxels"]);
}
