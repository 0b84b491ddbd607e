//! The same seed gives the same bits, however many threads there are; another seed does not.
//!
//! Threads are counted in two places: the pool that our own loops run in, and the number that
//! candle's matrix products read from `RAYON_NUM_THREADS`. The first is varied within this process,
//! the second in children of it.

use crate::support::{phantoms, toy_vit};
use desam::embed::{EmbedRequest, embed};
use desam::encoder::VitConfig;
use desam::model::EncoderChoice;
use desam::{Mode, Quiet};
use desam_study::train::{Preset, TrainConfig, TrainRequest, train};
use std::path::Path;
use std::process::Command;

/// What must be the same.
const FILES: [&str; 2] = ["model.safetensors", "history.csv"];

/// Where a child finds its cache and leaves its run.
const CHILD: &str = "DESAM_TEST_DETERMINISM";

/// One epoch on one of two cases, the other held out. Grid points mode: it draws the most random
/// numbers and trains both halves.
fn one_epoch(cache: &Path, out: &Path, seed: u64) -> [Vec<u8>; 2] {
    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Points).with_seed(seed);
    (config.epochs, config.batch) = (1, 4);
    let request = TrainRequest::new(cache, out, &config);
    train(&request, &Quiet).unwrap();
    FILES.map(|name| std::fs::read(out.join(name)).unwrap())
}

fn embedded(root: &Path, config: VitConfig) -> std::path::PathBuf {
    let cache = root.join("cache");
    let encoder = EncoderChoice::Random { config, seed: 2 };
    embed(&EmbedRequest::new(phantoms(root, 1), &cache, encoder), &Quiet).unwrap();
    cache
}

fn same(a: &[Vec<u8>; 2], b: &[Vec<u8>; 2], what: &str) {
    for ((a, b), file) in a.iter().zip(b).zip(FILES) {
        assert!(a == b, "{what}: {file} differs");
    }
}

#[test]
fn training_gives_the_same_bits_in_pools_of_one_two_and_three_threads() {
    let root = tempfile::tempdir().unwrap();
    // The tiny preset: grids large enough that convolutions and products are split over threads.
    let cache = embedded(root.path(), VitConfig::tiny());
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let out = root.path().join(format!("run{threads}"));
        pool.install(|| one_epoch(&cache, &out, 1))
    };
    let one = run(1);
    same(&one, &run(2), "one and two threads");
    same(&one, &run(3), "one and three threads");
}

#[test]
fn training_gives_the_same_bits_whatever_candle_takes_for_the_number_of_threads() {
    let root = tempfile::tempdir().unwrap();
    embedded(root.path(), VitConfig::tiny());
    let run = |threads: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["determinism::child", "--exact", "--ignored"])
            .env("RAYON_NUM_THREADS", threads)
            .env(CHILD, root.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        FILES.map(|name| std::fs::read(root.path().join(threads).join(name)).unwrap())
    };
    let one = run("1");
    same(&one, &run("2"), "one and two threads");
    same(&one, &run("3"), "one and three threads");
}

/// The child process of the test above, which starts it by name.
#[test]
#[ignore = "run by the test above in a separate process"]
fn child() {
    let root = std::env::var(CHILD).unwrap();
    let out = Path::new(&root).join(std::env::var("RAYON_NUM_THREADS").unwrap());
    one_epoch(&Path::new(&root).join("cache"), &out, 1);
}

#[test]
fn another_seed_gives_other_bits() {
    let root = tempfile::tempdir().unwrap();
    let cache = embedded(root.path(), toy_vit());
    let run = |name: &str, seed| one_epoch(&cache, &root.path().join(name), seed);
    let first = run("first", 1);
    same(&first, &run("again", 1), "the same seed twice");
    let other = run("other", 2);
    for ((a, b), file) in first.iter().zip(&other).zip(FILES) {
        assert!(a != b, "{file} does not depend on the seed");
    }
}
