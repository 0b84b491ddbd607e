//! Running the program, and the fixture: phantoms, features and a model at toy size.

use desam::Quiet;
use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::types::{Grid, LabelVolume, Volume};
use desam::volume::nifti::{read_labels, read_volume, write_labels, write_volume};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program, without environment variables that could change what it does.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_desam"));
    for name in ["HF_HOME", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"] {
        command.env_remove(name);
    }
    command.env_remove("DESAM_DEVICE");
    for name in ["SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID", "JOB_COMPLETION_INDEX"] {
        command.env_remove(name);
    }
    command
}

/// Exit code and output of a finished program.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Fails the test unless the exit code is `code` and there was no panic.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// The JSON on stdout, which must contain nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// Fails the test unless the program failed with an error that contains all of `words`.
    #[track_caller]
    pub(crate) fn fails_with(self, words: &[&str]) -> Self {
        self.error(1, words)
    }

    /// The same for a usage error, found before any file is read.
    #[track_caller]
    pub(crate) fn usage_error_with(self, words: &[&str]) -> Self {
        self.error(2, words)
    }

    #[track_caller]
    fn error(self, code: i32, words: &[&str]) -> Self {
        let ended = self.expect(code);
        assert!(ended.stderr.lines().any(|l| l.starts_with("error: ")), "{ended:#?}");
        assert!(words.iter().all(|w| ended.stderr.contains(w)), "{words:?}: {ended:#?}");
        ended
    }
}

/// Runs the program until it exits.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    program().args(arguments).output().unwrap().into()
}

/// Arguments from anything path-like or string-like.
macro_rules! args {
    ($($a:expr),* $(,)?) => { [$(std::ffi::OsStr::new(&$a).to_owned()),*] };
}

/// Phantoms of three sites, their features and a model, made once and shared by all tests.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) data: PathBuf,
    /// Features of all slices.
    pub(crate) cache: PathBuf,
    /// Duration of the embedding.
    pub(crate) embedding: Duration,
    /// A run in box mode on site A.
    pub(crate) run: PathBuf,
}

pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let [data, cache, out] = ["data", "cache", "run"].map(|n| dir.path().join(n));
        phantoms(&data);
        let started = Instant::now();
        let embed = args![
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
        ];
        run(embed).expect(0);
        let embedding = started.elapsed();
        let train = args![
            "train", "-q", "--cache", cache, "--source", "A", "--mode", "box", "--out", out,
            "--epochs", "2", "--lr", "1e-3", "--split", "last",
        ];
        run(train).expect(0);
        Fixture { data, cache, embedding, run: out, dir }
    })
}

/// A private copy of the fixture's run, without scores.
pub(crate) fn run_copy(dir: &Path, name: &str) -> PathBuf {
    let copy = dir.join(name);
    std::fs::create_dir(&copy).unwrap();
    for file in ["config.json", "manifest.json", "history.csv", "model.safetensors"] {
        std::fs::copy(fixture().run.join(file), copy.join(file)).unwrap();
    }
    copy
}

/// Two cases at each of sites A, B and C, cropped to five slices from outside the gland to its middle.
fn phantoms(dir: &Path) {
    let sites = SiteStyle::six_sites().into_iter().take(3).collect();
    let config = PhantomConfig { cases_per_site: 2, sites, ..PhantomConfig::default() };
    for case in write_phantoms(dir, &config, &Quiet).unwrap() {
        let label = case.label.unwrap();
        let (image, labels) = (read_volume(&case.image).unwrap(), read_labels(&label).unwrap());
        let [width, height, slices] = image.grid().dims;
        let kept = 5.min(slices);
        let grid = Grid { dims: [width, height, kept], ..*image.grid() };
        let start = (slices / 2).saturating_sub(kept) + 1;
        let voxels = start * width * height..(start + kept) * width * height;
        let image = Volume::new(grid, image.data()[voxels.clone()].to_vec()).unwrap();
        let labels = LabelVolume::new(grid, labels.data()[voxels].to_vec()).unwrap();
        write_volume(&case.image, &image).unwrap();
        write_labels(&label, &labels).unwrap();
    }
}
