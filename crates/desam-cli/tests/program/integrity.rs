//! Integrity of a feature cache: every command rejects changed, swapped or missing files by name.

use crate::common::{fixture, run};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A copy of the fixture's cache.
fn copied() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    for (name, bytes) in crate::killed::files(&fixture().cache) {
        let path = cache.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    (folder, cache)
}

fn verify(cache: &Path) -> Vec<OsString> {
    args!["info", "-q", cache, "--verify"].to_vec()
}

fn train(cache: &Path, out: &Path) -> Vec<OsString> {
    args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "box", "--out", out,
        "--epochs", "1", "--split", "last"
    ]
    .to_vec()
}

fn evaluate(cache: &Path) -> Vec<OsString> {
    let out = cache.with_extension("json");
    let csv = cache.with_extension("csv");
    args!["evaluate", "-q", "--cache", cache, "--run", fixture().run, "--json", out, "--csv", csv]
        .to_vec()
}

/// Offset of the data of the first tensor whose name starts with `prefix`, in a safetensors file.
fn data_offset(bytes: &[u8], prefix: &str) -> usize {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let tensors = header.as_object().unwrap().iter();
    let mut found = tensors.filter(|(name, _)| name.starts_with(prefix));
    let (_, tensor) = found.next().unwrap_or_else(|| panic!("no {prefix}"));
    8 + length + tensor["data_offsets"][0].as_u64().unwrap() as usize
}

/// Flips the lowest bit of a number, which stays finite and nearly equal.
fn flip(path: &Path, offset: impl FnOnce(&[u8]) -> usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let place = offset(&bytes);
    bytes[place] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn training_rejects_weights_that_do_not_match_the_features() {
    let (folder, cache) = copied();
    let weights = cache.join("model.safetensors");
    let good = std::fs::read(&weights).unwrap();
    let out = folder.path().join("run");
    let refused = |what: &str| {
        run(verify(&cache)).fails_with(&[weights.to_str().unwrap()]);
        run(train(&cache, &out)).fails_with(&[weights.to_str().unwrap()]);
        assert!(!out.exists(), "{what}");
    };
    // One bit in each part of the model.
    for part in ["image_encoder.", "prompt_encoder.", "mask_decoder."] {
        flip(&weights, |bytes| data_offset(bytes, part));
        refused(part);
        std::fs::write(&weights, &good).unwrap();
    }
    std::fs::write(&weights, &good[..good.len() - 4]).unwrap();
    refused("cut");
    // Weights of another encoder, and of the same encoder with another decoder.
    let other = folder.path().join("other");
    let data = &fixture().data;
    let random = args!["embed", "-q", "--data", data, "--out", other, "--encoder", "tiny-random"];
    run(random).expect(0);
    for file in [other.join("model.safetensors"), fixture().run.join("model.safetensors")] {
        std::fs::copy(&file, &weights).unwrap();
        refused(file.to_str().unwrap());
    }
    std::fs::remove_file(&weights).unwrap();
    refused("gone");
    let said = run(args!["info", cache]).expect(0);
    assert!(said.stdout.contains("model.safetensors is missing"), "{said:#?}");

    std::fs::write(&weights, &good).unwrap();
    let said = run(verify(&cache)).expect(0);
    assert!(said.stdout.contains("including all weights"), "{said:#?}");
    // Embedding again repairs the cache.
    flip(&weights, |bytes| data_offset(bytes, "mask_decoder."));
    let again = args![
        "embed",
        "-q",
        "--data",
        data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all"
    ];
    run(again).expect(0);
    assert!(std::fs::read(&weights).unwrap() == good);
    run(train(&cache, &out)).expect(0);
}

#[test]
fn resuming_rejects_changed_weights() {
    let (folder, cache) = copied();
    let out = folder.path().join("run");
    run(train(&cache, &out)).expect(0);
    let weights = cache.join("model.safetensors");
    flip(&weights, |bytes| data_offset(bytes, "prompt_encoder."));
    let more = |words: [&str; 3]| {
        let fixed = train(&cache, &out).into_iter();
        fixed.chain(words.map(OsString::from)).collect::<Vec<_>>()
    };
    run(more(["--resume", "--seed", "0"])).fails_with(&[weights.to_str().unwrap()]);
    run(more(["--no-cache", "--seed", "0"])).fails_with(&[weights.to_str().unwrap()]);
}

#[test]
fn a_cache_of_an_earlier_version_opens_and_verifies_its_image_encoder() {
    let (folder, cache) = copied();
    let header = cache.join("cache.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&header).unwrap()).unwrap();
    json["recipe"]["encoder"].as_object_mut().unwrap().remove("file_blake3").unwrap();
    std::fs::write(&header, serde_json::to_vec_pretty(&json).unwrap()).unwrap();
    let said = run(verify(&cache)).expect(0);
    assert!(said.stdout.contains("only the image encoder's"), "{said:#?}");
    run(train(&cache, &folder.path().join("run"))).expect(0);
    let weights = cache.join("model.safetensors");
    flip(&weights, |bytes| data_offset(bytes, "image_encoder."));
    run(verify(&cache)).fails_with(&[weights.to_str().unwrap()]);
    run(train(&cache, &folder.path().join("second"))).fails_with(&[weights.to_str().unwrap()]);
}

/// The first stored slice of site A's first case.
fn slice(cache: &Path) -> PathBuf {
    slices(cache).swap_remove(0)
}

/// The slices of site A's first case, in ascending order.
fn slices(cache: &Path) -> Vec<PathBuf> {
    let folder = cache.join("features/A/Case00");
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// A slice with ground truth of a site's first case; training and evaluation read only such slices.
fn labelled_slice(cache: &Path, site: &str) -> PathBuf {
    let header = std::fs::read(cache.join("cache.json")).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let mut cases = header["cases"].as_array().unwrap().iter();
    let case = cases.find(|c| c["site"] == site && c["id"] == "Case00").unwrap();
    let z = case["labelled"][0].as_u64().unwrap();
    cache.join(format!("features/{site}/Case00/z{z:04}.safetensors"))
}

#[test]
fn training_and_evaluation_reject_features_and_masks_with_a_flipped_bit() {
    let (folder, cache) = copied();
    let pages = |site: &str| cache.join(format!("cases/{site}/Case00.safetensors"));
    let features = labelled_slice(&cache, "A");
    let out = folder.path().join("run");
    let damaged = |path: &Path, tensor: &str, check: &dyn Fn(&str)| {
        let good = std::fs::read(path).unwrap();
        flip(path, |bytes| data_offset(bytes, tensor) + 6);
        check(path.to_str().unwrap());
        std::fs::write(path, good).unwrap();
        std::fs::remove_dir_all(&out).ok();
    };
    for (path, tensor) in [(&features, "tap0"), (&features, "embedding"), (&pages("A"), "labels")] {
        damaged(path, tensor, &|name| {
            run(verify(&cache)).fails_with(&[name, "checksum"]);
            run(train(&cache, &out)).fails_with(&[name, "checksum", "run embed again"]);
        });
    }
    // At the source site only the held-out case is scored, at the others all cases.
    for (path, tensor) in [(&labelled_slice(&cache, "B"), "tap1"), (&pages("B"), "labels")] {
        damaged(path, tensor, &|name| {
            run(evaluate(&cache)).fails_with(&[name, "checksum"]);
        });
    }
    // Bit patterns of infinity and NaN in IEEE 754.
    for (bits, word) in [(0x7c00u16, "inf"), (0x7e00, "NaN")] {
        let good = std::fs::read(&features).unwrap();
        let mut bytes = good.clone();
        let place = data_offset(&bytes, "tap0") + 2 * 5;
        bytes[place..place + 2].copy_from_slice(&bits.to_le_bytes());
        std::fs::write(&features, bytes).unwrap();
        run(train(&cache, &out)).fails_with(&[features.to_str().unwrap(), word, "element 5"]);
        std::fs::remove_dir_all(&out).ok();
        std::fs::write(&features, good).unwrap();
    }
    run(verify(&cache)).expect(0);
    run(evaluate(&cache)).expect(0);
}

#[test]
fn swapped_and_truncated_slices_are_rejected() {
    let (folder, cache) = copied();
    let path = slice(&cache);
    let good = std::fs::read(&path).unwrap();
    let refused = |words: &[&str]| {
        let words = [&[path.to_str().unwrap()][..], words].concat();
        run(verify(&cache)).fails_with(&words);
        run(train(&cache, &folder.path().join("run"))).fails_with(&words);
        run(evaluate(&cache)).fails_with(&words);
    };
    // The file of another slice, of another case, of another site.
    let same_slice = |site_and_case: &str| {
        cache.join("features").join(site_and_case).join(path.file_name().unwrap())
    };
    for other in [slices(&cache)[1].clone(), same_slice("A/Case01"), same_slice("B/Case00")] {
        std::fs::copy(&other, &path).unwrap();
        refused(&["stale", "source hash"]);
    }
    // The file of the same slice from another cache.
    let stored = folder.path().join("stored");
    let data = &fixture().data;
    run(args![
        "embed",
        "-q",
        "--data",
        data,
        "--out",
        stored,
        "--encoder",
        "tiny-random",
        "--slices",
        "all"
    ])
    .expect(0);
    std::fs::copy(slice(&stored), &path).unwrap();
    refused(&["stale", "cache key"]);
    for length in [good.len() - 1, good.len() / 2, 100, 8] {
        std::fs::write(&path, &good[..length]).unwrap();
        refused(&["truncated"]);
    }
    std::fs::write(&path, b"").unwrap();
    refused(&[]);
    std::fs::write(&path, &good).unwrap();
    run(verify(&cache)).expect(0);
}
