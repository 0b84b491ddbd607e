//! The fuzz targets on a stable toolchain: a deterministic mutation loop over files that the test
//! makes itself. No input may panic, hang or take much more memory than its bytes.
//!
//! `DESAM_MUTATIONS` sets the number of inputs of each target, `DESAM_MUTATIONS_SEED` the seed; the
//! same two numbers give the same inputs. An input that fails is kept in the folder for temporary
//! files of the target directory, and named.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

#[path = "../../crates/desam-volume/tests/heap/counting.rs"]
mod counting;
#[path = "../../fuzz/lib.rs"]
#[allow(dead_code, unreachable_pub, reason = "a separate library, of which the loop needs less")]
mod fuzz;
#[path = "../../crates/desam-volume/tests/mutate/mod.rs"]
mod mutate;
mod seeds;
mod watchdog;

use counting::CountingHeap;
use fuzz::{TARGETS, Target};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use watchdog::Watchdog;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

/// Inputs of each target unless `DESAM_MUTATIONS` says otherwise.
const INPUTS: u64 = 400;
/// Longest time that one input may take.
const LONGEST: Duration = Duration::from_secs(10);
/// Bytes of memory for each byte that an input holds or unpacks to, and beside them; as
/// `docs/decisions/untrusted-files.md` says.
const MULTIPLE: usize = 12;
const BUFFERS: usize = 1 << 20;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// One target's loop.
struct Loop {
    target: Target,
    seed: u64,
    folder: PathBuf,
}

impl Loop {
    fn new(name: &str) -> Self {
        let target = *TARGETS.iter().find(|t| t.name == name).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations").join(name);
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).unwrap();
        Self { target, seed: number("DESAM_MUTATIONS_SEED", 2026), folder }
    }

    /// Examines every seed file as it is, then `inputs` mutations of them in turn.
    fn run(&self, inputs: u64) {
        let seeds = seeds::of(self.target.name, &self.folder);
        let (name, started) = (self.target.name, Instant::now());
        let watchdog = Watchdog::start(LONGEST);
        for seed in &seeds {
            self.examine(&seed.bytes, seed, "unchanged", &watchdog);
        }
        for index in 0..inputs {
            let seed = &seeds[index as usize % seeds.len()];
            // A separate stream, so that any input can be made again without those before it.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(index);
            let bytes = mutate::broken(&seed.bytes, &mut rng);
            self.examine(&bytes, seed, &index.to_string(), &watchdog);
        }
        let (files, seconds) = (seeds.len(), started.elapsed().as_secs_f64());
        println!("{name}: {inputs} mutations of {files} files, seed {}, {seconds:.1} s", self.seed);
        // What is left there was not examined when the process died, if it did.
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    /// Examines one input, which lies in the folder while that is done.
    fn examine(&self, bytes: &[u8], seed: &seeds::Seed, which: &str, watchdog: &Watchdog) {
        let path = self.folder.join(self.target.file);
        let content = (seed.wrap)(bytes);
        std::fs::write(&path, &content).unwrap();
        let what = format!(
            "target {}, input {which} of {}, seed {}: {}",
            self.target.name,
            seed.name,
            self.seed,
            path.display()
        );
        let most = MULTIPLE * (seed.content + bytes.len() + content.len()) + BUFFERS;
        drop(content);
        watchdog.begin(&what);
        HEAP.start();
        let ended = catch_unwind(AssertUnwindSafe(|| (self.target.examine)(&path)));
        let peak = HEAP.peak();
        watchdog.end();
        assert!(ended.is_ok(), "panicked: {what}");
        assert!(peak <= most, "took {peak} bytes of memory, {most} are allowed: {what}");
    }
}

#[test]
fn nifti() {
    Loop::new("nifti").run(number("DESAM_MUTATIONS", INPUTS));
}

#[test]
fn metaimage() {
    Loop::new("metaimage").run(number("DESAM_MUTATIONS", INPUTS));
}

#[test]
fn nrrd() {
    Loop::new("nrrd").run(number("DESAM_MUTATIONS", INPUTS));
}

#[test]
fn dicom() {
    Loop::new("dicom").run(number("DESAM_MUTATIONS", INPUTS));
}

#[test]
fn segmentation() {
    Loop::new("segmentation").run(number("DESAM_MUTATIONS", INPUTS));
}

#[test]
fn image() {
    Loop::new("image").run(number("DESAM_MUTATIONS", INPUTS));
}

#[test]
fn checkpoint() {
    Loop::new("checkpoint").run(number("DESAM_MUTATIONS", INPUTS));
}

/// No target is without a test.
#[test]
fn every_target_has_a_loop() {
    let names = TARGETS.map(|t| t.name);
    assert_eq!(
        names,
        ["nifti", "metaimage", "nrrd", "dicom", "segmentation", "image", "checkpoint"]
    );
}
