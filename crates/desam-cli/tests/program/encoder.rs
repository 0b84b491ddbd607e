//! The built-in encoder `tiny`, and `tiny-random`.

use crate::common::{fixture, run};
use desam::data::cache::FeatureCache;
use std::ffi::OsString;
use std::path::Path;

fn embed(cache: &Path, more: &[&str]) -> Vec<OsString> {
    let all = args!["embed", "-q", "--data", fixture().data, "--out", cache, "--encoder"];
    all.into_iter().chain(more.iter().map(OsString::from)).collect()
}

#[test]
fn built_in_and_random_weights_do_not_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let [trained, random] = ["trained", "random"].map(|name| folder.path().join(name));
    run(embed(&trained, &["tiny"])).expect(0);
    run(embed(&random, &["tiny-random", "--encoder-seed", "3"])).expect(0);
    let recipe = |cache: &Path| FeatureCache::open(cache).unwrap().header().recipe.clone();
    let (a, b) = (recipe(&trained), recipe(&random));
    assert_eq!((a.encoder.name.as_str(), b.encoder.name.as_str()), ("tiny", "random, seed 3"));
    assert_ne!(a.encoder.weights_blake3, b.encoder.weights_blake3);
    assert_eq!(a.spec, b.spec);
    // A cache is continued only with the same weights, including the seed.
    run(embed(&random, &["tiny"])).fails_with(&["random"]);
    run(embed(&trained, &["tiny-random"])).fails_with(&["trained"]);
    run(embed(&random, &["tiny-random"])).fails_with(&["random"]);
    run(embed(&random, &["tiny-random", "--encoder-seed", "3"])).expect(0);

    // The trained checkpoint contains a mask decoder, from which PRIM is initialised.
    for (cache, parts) in [(&trained, true), (&random, false)] {
        let said = run(args!["info", cache.join("model.safetensors")]).expect(0).stdout;
        assert_eq!(said.contains("and mask decoder"), parts, "{said}");
    }
}

#[test]
fn a_seed_is_rejected_for_trained_weights() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    run(embed(&cache, &["tiny", "--encoder-seed", "1"])).usage_error_with(&["tiny-random"]);
    assert!(!cache.exists());
}

#[test]
fn the_built_in_encoder_trains_and_predicts() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let [cache, out, masks] = ["cache", "run", "masks"].map(|name| folder.path().join(name));
    run(embed(&cache, &["tiny"])).expect(0);
    let train = args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "points", "--out", out,
        "--epochs", "1", "--lr", "1e-3", "--split", "last",
    ];
    run(train).expect(0);
    let input = fixture.data.join("A");
    let input = std::fs::read_dir(input).unwrap().map(|e| e.unwrap().path());
    let mut volumes = input.filter(|p| !p.to_string_lossy().contains("_segmentation"));
    let volume = volumes.next().unwrap();
    std::fs::create_dir(&masks).unwrap();
    let mask = masks.join("mask.nii.gz");
    run(args!["predict", "-q", "--model", out, "--input", volume, "--output", mask]).expect(0);
    assert!(mask.is_file());
}
