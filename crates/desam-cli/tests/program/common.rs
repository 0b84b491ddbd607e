//! The real program, run on phantoms at toy size.

use desam::Quiet;
use desam::data::nifti::{read_labels, read_volume, write_labels, write_volume};
use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::types::{Grid, LabelVolume, Volume};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program, with nothing of the caller's environment that could change what it does.
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

/// What a finished program left.
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
    /// Fails the test unless the program ended with `code`, without a panic.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// The JSON on stdout, which must hold nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// Fails the test unless the program failed with an error that holds all of `words`.
    #[track_caller]
    pub(crate) fn fails_with(self, words: &[&str]) -> Self {
        let ended = self.expect(1);
        assert!(ended.stderr.lines().any(|l| l.starts_with("error: ")), "{ended:#?}");
        assert!(words.iter().all(|w| ended.stderr.contains(w)), "{words:?}: {ended:#?}");
        ended
    }
}

/// Runs the program to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    program().args(arguments).output().unwrap().into()
}

/// Arguments from anything path-like or string-like.
macro_rules! args {
    ($($a:expr),* $(,)?) => { [$(std::ffi::OsStr::new(&$a).to_owned()),*] };
}

/// Phantoms of three sites, their features, and a model: made once.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) data: PathBuf,
    /// Features of all slices.
    pub(crate) cache: PathBuf,
    /// How long they took.
    pub(crate) embedding: Duration,
    /// A run in whole box mode on site A.
    pub(crate) run: PathBuf,
}

pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
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
        World { data, cache, embedding, run: out, dir }
    })
}

/// A copy of the world's run, without scores, which no other test writes to.
pub(crate) fn run_copy(dir: &Path, name: &str) -> PathBuf {
    let copy = dir.join(name);
    std::fs::create_dir(&copy).unwrap();
    for file in ["config.json", "manifest.json", "history.csv", "model.safetensors"] {
        std::fs::copy(world().run.join(file), copy.join(file)).unwrap();
    }
    copy
}

/// Two cases at sites A, B and C, each cut down to slices from outside the gland to its middle.
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
