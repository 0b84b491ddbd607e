//! A cache made by several parts is the cache that one run makes, whichever is killed and whichever
//! comes last.

// A helper that cannot set a test up should end it.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the tests of the cache")]
mod toy;

use candle_core::Device;
use desam_core::Quiet;
use desam_data::Error;
use desam_data::cache::{FeatureCache, SlicePolicy};
use desam_data::embed::{
    CacheWriter, EmbedOptions, Part, PartSummary, PartWriter, embed, embed_part, finish_parts,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toy::{Bench, ToyEncoder, changed};

/// All files under a folder, with their bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().into(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn part(options: &EmbedOptions, index: usize, of: usize) -> PartSummary {
    let (encoder, part) = (ToyEncoder::new(), Part::new(index, of).unwrap());
    let done = embed_part(options, part, &encoder, &Device::Cpu, &Quiet).unwrap();
    assert_eq!(done.own.computed, encoder.calls());
    done
}

fn finish(options: &EmbedOptions, of: usize) -> desam_data::Result<()> {
    finish_parts(options, of, &ToyEncoder::new(), &Device::Cpu, &Quiet)
}

fn unbroken(bench: &Bench) -> (EmbedOptions, BTreeMap<PathBuf, Vec<u8>>) {
    let options = bench.options("whole");
    embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    let expected = files(&options.dir);
    (options, expected)
}

#[test]
fn parts_in_any_order_leave_the_bytes_of_one_run() {
    let bench = Bench::new();
    let (_, expected) = unbroken(&bench);
    for order in [vec![0], vec![1, 0], vec![2, 0, 1], vec![0, 5, 3, 1, 4, 2]] {
        let of = order.len();
        let options = bench.options(&format!("parts-{of}"));
        let mut computed = 0;
        for (n, &index) in order.iter().enumerate() {
            let done = part(&options, index, of);
            computed += done.own.computed;
            let mut left = order[n + 1..].to_vec();
            left.sort_unstable();
            assert_eq!(done.waiting_for, left);
            assert_eq!(FeatureCache::open(&options.dir).is_ok(), left.is_empty());
        }
        assert!(files(&options.dir) == expected, "{of} parts differ from one run");
        assert_eq!(computed, FeatureCache::open(&options.dir).unwrap().slices().len());
        // Run again, as a scheduler may: nothing is computed, nothing is spoilt.
        let again = part(&options, 0, of);
        assert_eq!((again.own.computed, again.waiting_for.len()), (0, 0));
        finish(&options, of).unwrap();
        assert!(files(&options.dir) == expected, "{of} parts, one of them twice, differ");
    }
}

#[test]
fn parts_at_once_leave_the_bytes_of_one_run() {
    let bench = Bench::new();
    let (_, expected) = unbroken(&bench);
    for round in 0..4 {
        let options = bench.options(&format!("at-once-{round}"));
        let done: Vec<PartSummary> = std::thread::scope(|scope| {
            let options = &options;
            let started: Vec<_> =
                (0..3).map(|k| scope.spawn(move || part(options, k, 3))).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(done.iter().any(|d| d.waiting_for.is_empty()), "{done:?}");
        assert!(files(&options.dir) == expected);
    }
}

#[test]
fn a_folder_is_written_by_one_run_or_by_parts_that_agree() {
    let bench = Bench::new();
    let options = bench.options("cache");
    let other = changed(options.clone(), |c| c.slices = SlicePolicy::All);
    let encoder = ToyEncoder::new();
    let of_two = |index| Part::new(index, 2).unwrap();
    let refused = |tried: desam_data::Result<()>, words: &[&str]| {
        let error = tried.unwrap_err();
        assert!(matches!(error, Error::InUse { .. } | Error::InUseOtherwise { .. }), "{error}");
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let whole = |options: &EmbedOptions| {
        CacheWriter::new(options, &encoder, &Device::Cpu, &Quiet).map(drop)
    };
    let one = |options: &EmbedOptions, part| {
        PartWriter::new(options, part, &encoder, &Device::Cpu, &Quiet).map(drop)
    };

    let writer = CacheWriter::new(&options, &encoder, &Device::Cpu, &Quiet).unwrap();
    refused(whole(&options), &["in use"]);
    refused(one(&options, of_two(0)), &["in use"]);
    drop(writer);
    let writer = PartWriter::new(&options, of_two(0), &encoder, &Device::Cpu, &Quiet).unwrap();
    refused(whole(&options), &["in use"]);
    refused(one(&options, of_two(0)), &["part 0 of 2"]);
    refused(one(&other, of_two(1)), &["slices: existing labelled, requested all"]);
    refused(one(&options, Part::new(1, 3).unwrap()), &["number of parts: existing 2, requested 3"]);
    let fewer = changed(options.clone(), |c| c.cases = options.cases[1..].to_vec());
    refused(one(&fewer, of_two(1)), &["cases: existing 4"]);
    one(&options, of_two(1)).unwrap();
    drop(writer);
    one(&other, of_two(1)).unwrap();
    whole(&options).unwrap();
    // Nothing was written, and the folder that was made for the locks is gone.
    assert!(!options.dir.exists());
}

#[test]
fn a_part_that_fails_halfway_is_missed_by_name_and_continues() {
    let bench = Bench::new();
    let (_, expected) = unbroken(&bench);
    let options = bench.options("broken");
    part(&options, 0, 2);
    let encoder = ToyEncoder::failing_after(1);
    let half = Part::new(1, 2).unwrap();
    embed_part(&options, half, &encoder, &Device::Cpu, &Quiet).unwrap_err();
    match finish(&options, 2) {
        Err(Error::PartsMissing { missing, of: 2, .. }) => assert_eq!(missing, [1]),
        other => panic!("{other:?}"),
    }
    assert!(matches!(FeatureCache::open(&options.dir), Err(Error::CacheNotFound { .. })));
    let done = part(&options, 1, 2);
    assert_eq!((done.own.reused, done.waiting_for.len()), (1, 0));
    assert!(files(&options.dir) == expected);
}

#[test]
fn one_run_takes_over_from_parts_and_parts_from_one_run() {
    let bench = Bench::new();
    let (whole, expected) = unbroken(&bench);
    let options = bench.options("parts");
    let first = part(&options, 1, 2);
    let rest = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert_eq!(rest.reused, first.own.computed);
    FeatureCache::open(&options.dir).unwrap();

    // A run that was interrupted has its header already: a part must not take it for whole.
    for path in expected.keys().filter(|p| p.starts_with("features/north")) {
        std::fs::remove_file(whole.dir.join(path)).unwrap();
    }
    assert_eq!(part(&whole, 1, 2).waiting_for, [0]);
    assert!(part(&whole, 0, 2).waiting_for.is_empty());
    assert!(files(&whole.dir) == expected);
}

#[test]
fn new_labels_reach_the_cache_whichever_part_has_them() {
    let bench = Bench::new();
    let options = bench.options("cache");
    for index in [0, 1] {
        part(&options, index, 2);
    }
    let before = FeatureCache::open(&options.dir).unwrap().header().clone();
    // A correction that only the file's bytes show is one: seals go by bytes.
    let theirs = Part::new(1, 2).unwrap().cases(&options.cases, &options.read).unwrap()[0]
        .label
        .clone()
        .unwrap();
    let labels = desam_volume::nifti::read_labels(&theirs).unwrap();
    let mut voxels = labels.data().to_vec();
    let corner = voxels.len() - 1;
    voxels[corner] ^= 1;
    let changed = desam_core::LabelVolume::new(*labels.grid(), voxels).unwrap();
    desam_volume::nifti::write_labels(&theirs, &changed).unwrap();
    part(&options, 0, 2);
    assert!(part(&options, 1, 2).waiting_for.is_empty());
    let after = FeatureCache::open(&options.dir).unwrap().header().clone();
    let differing = before.cases.iter().zip(&after.cases).filter(|(b, a)| b != a).count();
    assert_eq!(differing, 1);
    assert!(!options.dir.join("parts").exists());
}

#[test]
fn notes_that_do_not_fit_are_refused_by_name() {
    let bench = Bench::new();
    let options = bench.options("cache");
    part(&options, 0, 2);
    let note = options.dir.join("parts/0-of-2.json");
    let text = std::fs::read_to_string(&note).unwrap();
    let second = || part_summary(&options, 1);
    for broken in ["", "{}", &text[..text.len() / 2], &text.replace("\"south\"", "\"../x\"")] {
        std::fs::write(&note, broken).unwrap();
        let message = second().unwrap_err().to_string();
        assert!(message.contains("0-of-2.json"), "{message}");
    }
    std::fs::write(&note, &text).unwrap();

    // Another encoder's part: the weights decide.
    let mut other = options.clone();
    other.encoder.weights_blake3 = "other weights".into();
    let message = part_summary(&other, 1).unwrap_err().to_string();
    assert!(message.contains("encoder weights") && message.contains("part 0 of 2"), "{message}");

    // Cases that came while the parts worked, and fell to the part that was done.
    let mut fewer = options.clone();
    fewer.dir = bench.path("fewer");
    fewer.cases.retain(|c| c.site == "north");
    part_summary(&fewer, 0).unwrap();
    fewer.cases.clone_from(&options.cases);
    let message = part_summary(&fewer, 1).unwrap_err().to_string();
    assert!(message.contains("south/"), "{message}");
    assert!(part_summary(&fewer, 0).unwrap().waiting_for.is_empty());
    FeatureCache::open(&fewer.dir).unwrap();
}

fn part_summary(options: &EmbedOptions, index: usize) -> desam_data::Result<PartSummary> {
    let part = Part::new(index, 2).unwrap();
    embed_part(options, part, &ToyEncoder::new(), &Device::Cpu, &Quiet)
}
