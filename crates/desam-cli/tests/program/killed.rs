//! Killing the program (SIGKILL) at any moment leaves no incomplete file that passes for a complete one.

use crate::common::{fixture, program, run};
use desam::types::{Grid, LabelVolume, Volume};
use desam::volume::nifti::{read_labels, read_volume, write_labels, write_volume};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// When to kill the program.
pub(crate) enum Moment<'a> {
    /// After a delay, which falls anywhere in the work; on a busy machine perhaps before it.
    After(Duration),
    /// When this path exists: some work is done and some is left, on a machine of any speed.
    Seen(&'a Path),
}

/// Starts the program and kills it; returns whether it was still running.
pub(crate) fn kill(moment: &Moment<'_>, arguments: &[OsString]) -> bool {
    let mut child =
        program().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let is_now = || match moment {
        Moment::After(delay) => started.elapsed() >= *delay,
        Moment::Seen(path) => path.exists(),
    };
    while !is_now() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// The files in a folder with their contents, recursively. Temporary files, whose names start with a
/// dot, are skipped.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if path.is_dir() {
                folders.push(path);
            } else if !hidden {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A data set, its features, and the duration of their embedding.
#[derive(Clone, Copy)]
struct Embedded<'a> {
    data: &'a Path,
    cache: &'a Path,
    took: Duration,
}

/// The fixture's data set.
fn shared() -> Embedded<'static> {
    let fixture = fixture();
    Embedded { data: &fixture.data, cache: &fixture.cache, took: fixture.embedding }
}

/// Kills `embed` once after it has started and at `kills` moments spread over its duration, then lets
/// it finish.
fn embed_survives(kills: u32, whole: Embedded<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let embed = args![
        "embed",
        "-q",
        "--data",
        whole.data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
    ];
    // The cache is complete or rejected, never anything in between.
    let is_sound = || {
        let seen = run(args!["info", "-q", cache, "--verify"]);
        match seen.code {
            Some(0) => {}
            _ => drop(seen.fails_with(&[cache.to_str().unwrap()])),
        }
    };
    for moment in 0..kills {
        // Every third kill starts from an empty folder. The three together take a little more than an
        // uninterrupted run, so kills fall on its start, its middle and its end.
        let part = [0.2, 0.35, 0.45][moment as usize % 3];
        if moment % 3 == 0 && cache.exists() {
            std::fs::remove_dir_all(&cache).unwrap();
        }
        let delay = whole.took.mul_f64(part + 0.2 * f64::from(moment) / f64::from(kills));
        if kill(&Moment::After(delay), &embed) {
            is_sound();
        }
    }
    std::fs::remove_dir_all(&cache).ok();
    let begun = cache.join("features");
    assert!(kill(&Moment::Seen(&begun), &embed), "it was done before it had begun");
    is_sound();
    run(embed.clone()).expect(0);
    run(args!["info", "-q", cache, "--verify"]).expect(0);
    let (expected, found) = (files(whole.cache), files(&cache));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{} differs from an unbroken run's", name.display());
    }
    // Once more: everything is present, nothing is computed.
    let again = run(embed.into_iter().chain(args!["--json"])).expect(0).json();
    assert_eq!(again["computed"], 0, "{again}");
}

fn train(cache: &Path, out: &Path, more: &[&str]) -> Vec<OsString> {
    let fixed = args![
        "train", "-q", "--cache", cache, "--source", "A", "--mode", "points", "--out", out, "--lr",
        "1e-3", "--batch", "2"
    ];
    fixed.into_iter().chain(more.iter().map(OsString::from)).collect()
}

/// Kills `train` at `kills` moments and right after it has saved its first model. Any model file must
/// be complete, and the resumed run must end with the same bits as an uninterrupted one.
fn train_survives(kills: u32, on: Embedded<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let started = Instant::now();
    run(train(on.cache, &whole, &OFTEN)).expect(0);
    let trained = Trained { on, took: started.elapsed(), files: files(&whole) };
    for moment in 1..=kills {
        let out = folder.path().join(format!("run{moment}"));
        let delay = trained.took.mul_f64(f64::from(moment) / f64::from(kills + 1));
        kill(&Moment::After(delay), &train(on.cache, &out, &OFTEN));
        trained.is_reached_from(&out);
    }
    let out = folder.path().join("saved");
    let model = out.join("model.safetensors");
    let running = kill(&Moment::Seen(&model), &train(on.cache, &out, &OFTEN));
    assert!(running && model.is_file(), "it was done before it had saved a model");
    trained.is_reached_from(&out);
}

/// A checkpoint after every step, so that some kills interrupt the writing of one.
const OFTEN: [&str; 4] = ["--epochs", "3", "--checkpoint-minutes", "0.00001"];

/// An uninterrupted run.
struct Trained<'a> {
    on: Embedded<'a>,
    took: Duration,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Trained<'_> {
    /// Checks that a killed run in `out` is complete, cannot be mixed with another run, and resumes to
    /// the same files.
    fn is_reached_from(&self, out: &Path) {
        let train = |more: &[&str]| train(self.on.cache, out, more);
        let input = self.on.data.join("A/Case00.nii.gz");
        let mask = out.with_extension("nii.gz");
        let predict = args!["predict", "-q", "--model", out, "--input", input, "--output", mask];
        if out.join("model.safetensors").is_file() {
            run(predict).expect(0);
            run(args!["info", out, "--json"]).expect(0);
        } else {
            run(predict).fails_with(&[out.to_str().unwrap()]);
            assert!(!mask.exists());
        }
        if out.join("config.json").is_file() {
            run(train(&OFTEN)).fails_with(&["already holds a run", "--resume"]);
            run(train(&["--epochs", "3", "--resume", "--seed", "5"]))
                .fails_with(&["seed: was 0, now 5"]);
        }
        // Killed once more, then run to the end.
        let resume: Vec<&str> = OFTEN.into_iter().chain(["--resume"]).collect();
        kill(&Moment::After(self.took / 2), &train(&resume));
        // Resuming needs no --epochs: the run stores it.
        let known = if out.join("config.json").is_file() { 2 } else { 0 };
        run(train(&resume[known..])).expect(0);
        let found = files(out);
        assert_eq!(found.keys().collect::<Vec<_>>(), self.files.keys().collect::<Vec<_>>());
        for (name, bytes) in &self.files {
            assert!(found[name] == *bytes, "{} differs from an unbroken run's", name.display());
        }
        let facts = run(args!["info", out, "--json"]).expect(0).json();
        assert_eq!(facts["manifest"]["finished"], true, "{facts}");
    }
}

/// Three cases of two slices at one site, and their features: small enough to kill runs within a
/// fraction of a second.
fn with_a_small_data_set(test: impl FnOnce(Embedded<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let [data, cache] = ["data", "cache"].map(|name| folder.path().join(name));
    std::fs::create_dir_all(data.join("A")).unwrap();
    for (index, source) in ["A/Case00", "A/Case01", "B/Case00"].into_iter().enumerate() {
        let path = |root: &Path, case: &str, end: &str| root.join(format!("{case}{end}.nii.gz"));
        let (from, to) = (&fixture().data, format!("A/Case{index:02}"));
        let image = read_volume(&path(from, source, "")).unwrap();
        let labels = read_labels(&path(from, source, "_segmentation")).unwrap();
        let [width, height, slices] = image.grid().dims;
        let grid = Grid { dims: [width, height, 2], ..*image.grid() };
        // The last two slices are the ones closest to the middle of the gland.
        let voxels = (slices - 2) * width * height..;
        let image = Volume::new(grid, image.data()[voxels.clone()].to_vec()).unwrap();
        let labels = LabelVolume::new(grid, labels.data()[voxels].to_vec()).unwrap();
        write_volume(&path(&data, &to, ""), &image).unwrap();
        write_labels(&path(&data, &to, "_segmentation"), &labels).unwrap();
    }
    let started = Instant::now();
    run(args![
        "embed",
        "-q",
        "--data",
        data,
        "--out",
        cache,
        "--encoder",
        "tiny",
        "--slices",
        "all",
    ])
    .expect(0);
    test(Embedded { data: &data, cache: &cache, took: started.elapsed() });
}

#[test]
fn embed_continues_after_kills() {
    embed_survives(3, shared());
}

#[test]
fn train_leaves_complete_models_after_kills_and_resumes() {
    train_survives(3, shared());
}

#[test]
#[ignore = "half a minute; .ci/run does it"]
fn many_kills_of_a_small_run() {
    with_a_small_data_set(|small| {
        embed_survives(20, small);
        train_survives(5, small);
    });
}

#[test]
#[ignore = "takes minutes; run by hand: cargo test --release -p desam-cli twenty_kills -- --ignored"]
fn twenty_kills_each() {
    embed_survives(20, shared());
    train_survives(20, shared());
}
