//! A run that is killed and continued ends with the same bits as one that was not.
//!
//! A kill is a panic out of the progress report after a step: all that the process knew is lost,
//! its files are as they were. The real program is killed by a signal in its own tests.

use crate::support::{changed, norm, numbers, phantoms, toy_vit};
use desam::adapted::AdapterChoice;
use desam::candle::Device;
use desam::data::cache::{CachedSlices, FeatureCache};
use desam::decoder::Variant;
use desam::embed::{EmbedRequest, embed};
use desam::encoder::Checkpoint;
use desam::encoder::adapter::AdapterKind;
use desam::model::{EncoderChoice, Trainable, TrainableOptions};
use desam::{Mode, Progress, Quiet};
use desam_study::Error;
use desam_study::train::{
    EpochRecord, Extension, Observer, Preset, RunDir, RunOptions, StepRecord, TrainConfig,
    TrainRequest, TrainSummary, Trainer, train_with,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// A name, and what is done to a file.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

const MINUTE: Duration = Duration::from_secs(60);

/// Keeps what is said, and kills the run after some steps.
#[derive(Default)]
struct Watched {
    said: Mutex<Vec<String>>,
    steps: Mutex<u64>,
    kill_after: Option<u64>,
}

impl Watched {
    fn said(self) -> String {
        self.said.into_inner().unwrap().join("\n")
    }
}

impl Progress for Watched {
    fn begin(&self, _task: &str, _steps: u64) {}
    fn advance(&self, steps: u64, _note: &str) {
        let mut done = self.steps.lock().unwrap();
        *done += steps;
        if Some(*done) == self.kill_after {
            drop(done);
            panic!("killed");
        }
    }
    fn finish(&self, _summary: &str) {}
    fn say(&self, message: &str) {
        self.said.lock().unwrap().push(message.to_owned());
    }
}

/// Features of two cases at site A, and folders for runs.
struct Bench {
    root: TempDir,
    cache: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = phantoms(root.path(), 1);
        let cache = root.path().join("cache");
        let encoder = EncoderChoice::Random { config: toy_vit(), seed: 2 };
        embed(&EmbedRequest::new(&data, &cache, encoder), &Watched::default()).unwrap();
        Self { root, cache }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn request<'a>(&'a self, out: &'a Path, config: &'a TrainConfig) -> TrainRequest<'a> {
        TrainRequest::new(&self.cache, out, config)
    }

    fn train(
        &self,
        out: &str,
        config: &TrainConfig,
        options: &mut RunOptions<'_>,
    ) -> (Result<TrainSummary, Error>, String) {
        let watched = Watched::default();
        let ended = train_with(&self.request(&self.out(out), config), options, &watched);
        (ended, watched.said())
    }

    /// What a run ends with: model, history, settings and the newest checkpoint.
    fn outcome(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let dir = self.out(out);
        let newest = checkpoints(&dir).pop().unwrap();
        let files = ["model.safetensors", "history.csv", "config.json"].map(|n| dir.join(n));
        let files = files.into_iter().chain([newest]);
        let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
        files.map(|p| (name(&p), std::fs::read(&p).unwrap())).collect()
    }

    /// Runs until the kill after `steps` steps.
    fn killed(&self, out: &str, config: &TrainConfig, steps: u64, options: &mut RunOptions<'_>) {
        let watched = Watched { kill_after: Some(steps), ..Watched::default() };
        let out = self.out(out);
        let request = self.request(&out, config);
        let ended = catch_unwind(AssertUnwindSafe(|| train_with(&request, options, &watched)));
        assert!(ended.is_err(), "the run ended before step {steps}");
    }
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.join("checkpoints")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Grid points mode: it draws the most random numbers and trains both halves.
fn config() -> TrainConfig {
    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Points).with_seed(3);
    (config.epochs, config.batch, config.learning_rate) = (3, 3, 1e-3);
    config
}

/// Every look at the clock is a minute after the one before.
fn ticking<'a>(resume: bool, every: u32) -> RunOptions<'a> {
    let mut now = Duration::ZERO;
    let clock = move || {
        now += MINUTE;
        now
    };
    RunOptions::default()
        .with_resume(resume)
        .with_checkpoint_every(Some(every * MINUTE))
        .with_clock(clock)
}

fn resumed<'a>() -> RunOptions<'a> {
    RunOptions::default().with_resume(true)
}

#[track_caller]
fn same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert!(a.keys().eq(b.keys()), "{what}: {:?} and {:?}", a.keys(), b.keys());
    for (name, bytes) in a {
        assert!(*bytes == b[name], "{what}: {name} differs");
    }
}

/// Kills a run after each of its steps, and continues it with another number of threads.
fn survives_a_kill_after_every_step(config: &TrainConfig) {
    let bench = Bench::new();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let pools = [pool(1), pool(2)];
    let whole = Watched::default();
    train_with(&bench.request(&bench.out("whole"), config), &mut RunOptions::default(), &whole)
        .unwrap();
    let (expected, steps) = (bench.outcome("whole"), *whole.steps.lock().unwrap());
    assert!(steps >= 3 * config.epochs as u64, "{steps} steps are too few to be cut anywhere");
    for kill in 1..=steps {
        let name = format!("kill{kill}");
        let threads = kill as usize % 2;
        pools[threads].install(|| bench.killed(&name, config, kill, &mut ticking(false, 2)));
        // With and without a clock: how often it is saved changes nothing.
        let mut options = if kill % 3 == 0 { resumed() } else { ticking(true, 3) };
        let (ended, _) = pools[1 - threads].install(|| bench.train(&name, config, &mut options));
        ended.unwrap();
        same(&bench.outcome(&name), &expected, &format!("killed after step {kill} of {steps}"));
        assert!(checkpoints(&bench.out(&name)).len() <= 2);
        std::fs::remove_dir_all(bench.out(&name)).unwrap();
    }
    // One that never got further than a step at a time.
    bench.killed("often", config, 1, &mut ticking(false, 1));
    for _ in 1..steps {
        bench.killed("often", config, 1, &mut ticking(true, 1));
    }
    bench.train("often", config, &mut resumed()).0.unwrap();
    same(&bench.outcome("often"), &expected, "killed after every step");
}

#[test]
fn a_run_survives_a_kill_after_every_step() {
    survives_a_kill_after_every_step(&config());
}

#[test]
fn a_training_of_adapters_survives_a_kill_after_every_step() {
    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Box)
        .with_seed(3)
        .with_variant(Variant::ClassDecoder)
        .with_adapter(AdapterChoice::new(AdapterKind::Dapsam).with_input_side(Some(64)));
    (config.epochs, config.batch, config.warmup_steps) = (2, 3, 2);
    config.augment = "images".parse().unwrap();
    survives_a_kill_after_every_step(&config);
}

#[test]
fn a_run_with_all_that_can_be_turned_on_survives_a_kill_after_every_step() {
    let mut config = changed(config(), |c| {
        c.clip_norm = Some(0.5);
        c.ema = Some(0.9);
        c.epochs = 2;
    });
    config.augment = "features".parse().unwrap();
    config.deep_supervision = true;
    config.adam.weight_decay = 0.1;
    survives_a_kill_after_every_step(&config);
}

/// Keeps the length of every step's gradient.
struct Lengths(Vec<Option<f64>>);

impl Observer for Lengths {
    fn step(&mut self, _trainer: &Trainer<'_>, record: &StepRecord) -> Result<(), Error> {
        self.0.push(record.gradient_norm);
        Ok(())
    }

    fn epoch(&mut self, _trainer: &Trainer<'_>, _record: &EpochRecord) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn decay_clipping_and_averaging_do_what_they_say() {
    let bench = Bench::new();
    let one = changed(config(), |c| c.epochs = 1);
    let weights = bench.cache.join("model.safetensors");
    let cache = Arc::new(FeatureCache::open(&bench.cache).unwrap());
    let slices = CachedSlices::new(cache.clone(), &cache.site_cases("A"), &Device::Cpu).unwrap();
    let lengths = |config: &TrainConfig| {
        let model = Trainable::open(&weights, &TrainableOptions::new(config.seed)).unwrap();
        let mut trainer = Trainer::new(&model, config).unwrap();
        let mut lengths = Lengths(Vec::new());
        trainer.fit_observed(&slices, &slices, &Quiet, &mut lengths).unwrap();
        let last = trainer.state();
        let parameters: Vec<(String, Vec<f64>)> =
            trainer.parameters().iter().map(|(name, t)| (name.clone(), numbers(t))).collect();
        (lengths.0, last, parameters)
    };
    let (none, _, free) = lengths(&one);
    assert!(none.iter().all(Option::is_none));
    // A limit that is never reached changes nothing; one that always is, changes every step.
    let (long, _, same) = lengths(&changed(one.clone(), |c| c.clip_norm = Some(1e9)));
    assert!(
        same == free && long.iter().all(|n| n.is_some_and(|n| n > 1e-3 && n < 1e9)),
        "{long:?}"
    );
    let (short, _, other) = lengths(&changed(one.clone(), |c| c.clip_norm = Some(1e-3)));
    assert!(short[0] == long[0] && other != free);
    // Decay makes parameters smaller than they would have been; those without a gradient stay.
    let mut decaying = one.clone();
    decaying.adam.weight_decay = 1.0;
    let (_, _, decayed) = lengths(&decaying);
    let length = |p: &[(String, Vec<f64>)]| p.iter().map(|(_, v)| norm(v).powi(2)).sum::<f64>();
    assert!(length(&decayed) < length(&free));
    // The running mean lies on the way from the start to the last step: between the two, and
    // neither. The last step's are the same as without it.
    let (_, last, mean) = lengths(&changed(one.clone(), |c| c.ema = Some(0.9)));
    let model = Trainable::open(&weights, &TrainableOptions::new(one.seed)).unwrap();
    let mut moved = 0;
    for ((name, mean), (_, free)) in mean.iter().zip(&free) {
        assert!(numbers(&last.tensors[&format!("model.{name}")]) == *free, "{name}");
        let start = numbers(model.decoder.vars[name].as_tensor());
        let way =
            |a: &[f64], b: &[f64]| norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>());
        let (whole, part) = (way(&start, free), way(&start, mean));
        assert!(part <= 1.5 * whole, "{name}: {part} of {whole}");
        moved += usize::from(mean != free && part > 0.0);
    }
    assert!(moved > mean.len() / 2, "{moved} of {}", mean.len());

    // What is validated is what is saved: the best model of a run is its mean.
    let averaged = changed(one, |c| c.ema = Some(0.9));
    bench.train("mean", &averaged, &mut RunOptions::default()).0.unwrap();
    let saved = Checkpoint::open(bench.out("mean").join("model.safetensors")).unwrap().tensors;
    let newest =
        Checkpoint::open_verbatim(checkpoints(&bench.out("mean")).pop().unwrap()).unwrap().tensors;
    let learnt = newest.iter().filter_map(|(name, t)| Some((name.strip_prefix("ema.")?, t)));
    let mut compared = 0;
    for (name, mean) in learnt {
        assert!(numbers(&saved[name]) == numbers(mean), "{name}");
        compared += 1;
    }
    assert_eq!(compared, model.decoder.vars.len());
}

#[test]
fn checkpoints_come_by_the_clock_and_the_last_ones_are_kept() {
    let bench = Bench::new();
    let config = changed(config(), |c| {
        c.epochs = 1;
        c.batch = 1;
    });
    let mut options = ticking(false, 3).with_keep_checkpoints(100);
    bench.train("all", &config, &mut options).0.unwrap();
    let steps = |out: &str| -> Vec<String> {
        let name = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().to_owned();
        checkpoints(&bench.out(out)).iter().map(name).collect()
    };
    let slices = RunDir::open(&bench.out("all")).unwrap().manifest().unwrap().train_slices;
    let last = slices;
    // The clock is looked at once before the first step, then after each: every third is due.
    let due = (1..=last).filter(|step| step % 3 == 0 || *step == last);
    let expected: Vec<String> = due.map(|step| format!("step_{step:08}.safetensors")).collect();
    assert!(expected.len() >= 3, "{expected:?}");
    assert_eq!(steps("all"), expected);
    let mut options = ticking(false, 3).with_keep_checkpoints(2);
    bench.train("two", &config, &mut options).0.unwrap();
    assert_eq!(steps("two"), expected[expected.len() - 2..]);
    let none = RunOptions::default().with_keep_checkpoints(0);
    let error = { bench.train("none", &config, &mut { none }).0.unwrap_err().to_string() };
    assert!(error.contains("at least one checkpoint"), "{error}");
    assert!(!bench.out("none").exists());
}

#[test]
fn a_changed_configuration_is_refused_with_the_difference_shown() {
    let bench = Bench::new();
    let begun = config();
    bench.killed("run", &begun, 2, &mut ticking(false, 1));
    let before = std::fs::read(bench.out("run").join("config.json")).unwrap();
    let refused = |config: &TrainConfig, words: &[&str]| {
        let error = bench.train("run", config, &mut resumed()).0.unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{words:?}: {error}");
    };
    let other = changed(begun.clone(), |c| {
        c.batch = 5;
        c.learning_rate = 2e-3;
    });
    refused(&other, &["batch: was 3, now 5", "learning_rate: was 0.001, now 0.002"]);
    let mut other = begun.clone();
    other.loss.dice = 2.0;
    refused(&other, &["loss.dice: was 1.0, now 2.0"]);
    refused(&begun.clone().with_seed(4), &["seed: was 3, now 4", "split"]);
    refused(&changed(begun.clone(), |c| c.epochs = 2), &["epochs: was 3, now 2"]);

    // Other weights, hence other features.
    let data = bench.root.path().join("data");
    let (cache, moved) = (bench.out("other_cache"), bench.out("moved_cache"));
    let encoder = EncoderChoice::Random { config: toy_vit(), seed: 9 };
    embed(&EmbedRequest::new(&data, &cache, encoder), &Watched::default()).unwrap();
    let out = bench.out("run");
    let mut request = bench.request(&out, &begun);
    request.cache = &cache;
    let error = train_with(&request, &mut resumed(), &Watched::default()).unwrap_err().to_string();
    assert!(error.contains("cache key: was ") && error.contains("weights: was "), "{error}");
    let init = bench.cache.join("model.safetensors");
    let request = bench.request(&out, &begun).with_init(Some(&init));
    assert!(train_with(&request, &mut resumed(), &Watched::default()).is_err());
    assert_eq!(std::fs::read(bench.out("run").join("config.json")).unwrap(), before);

    // The same features elsewhere are the same.
    std::fs::rename(&bench.cache, &moved).unwrap();
    let mut request = bench.request(&out, &begun);
    request.cache = &moved;
    train_with(&request, &mut resumed(), &Watched::default()).unwrap();
    std::fs::rename(&moved, &bench.cache).unwrap();
    // The features' own folder holds weights by the name that a run's model has.
    let weights = std::fs::read(&init).unwrap();
    for resume in [false, true] {
        let options = &mut RunOptions::default().with_resume(resume);
        let request = bench.request(&bench.cache, &begun);
        let error = train_with(&request, options, &Quiet).unwrap_err();
        assert!(matches!(&error, Error::ForeignModel { dir } if *dir == bench.cache), "{error}");
        assert!(error.to_string().contains("no run wrote"), "{error}");
    }
    assert!(std::fs::read(&init).unwrap() == weights);
    let encoder = EncoderChoice::Random { config: toy_vit(), seed: 9 };
    let error = embed(&EmbedRequest::new(&data, &out, encoder), &Quiet).unwrap_err().to_string();
    assert!(error.contains("holds a run"), "{error}");
    // Without being asked to continue, a run is left alone.
    let error = bench.train("run", &begun, &mut RunOptions::default()).0.unwrap_err();
    assert!(matches!(&error, Error::RunExists { dir } if *dir == bench.out("run")), "{error}");
    assert!(error.to_string().contains("already holds a run"), "{error}");
}

#[test]
fn damaged_checkpoints_are_passed_over_by_name() {
    let bench = Bench::new();
    let config = config();
    bench.train("whole", &config, &mut RunOptions::default()).0.unwrap();
    let expected = bench.outcome("whole");
    let cut = |p: &Path| {
        let bytes = std::fs::read(p).unwrap();
        std::fs::write(p, &bytes[..bytes.len() / 2]).unwrap();
    };
    let change = |p: &Path, at: &dyn Fn(&[u8]) -> usize| {
        let mut bytes = std::fs::read(p).unwrap();
        let at = at(&bytes);
        bytes[at] ^= 1;
        std::fs::write(p, bytes).unwrap();
    };
    // A bit of the last tensor, and of a digit of the state: `\"step\":4`.
    let tensor = |p: &Path| change(p, &|bytes| bytes.len() - 9);
    let state = |p: &Path| {
        let key = br#"\"step\":"#;
        change(p, &|bytes| bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len());
    };
    let empty = |p: &Path| std::fs::write(p, b"").unwrap();
    let damages: [Damage<'_>; 4] =
        [("cut", &cut), ("tensor", &tensor), ("state", &state), ("empty", &empty)];
    for (name, damage) in damages {
        bench.killed(name, &config, 5, &mut ticking(false, 1));
        let files = checkpoints(&bench.out(name));
        assert_eq!(files.len(), 2);
        damage(&files[1]);
        let (ended, said) = bench.train(name, &config, &mut resumed());
        ended.unwrap();
        let newest = files[1].file_name().unwrap().to_str().unwrap();
        assert!(said.contains(newest) && said.contains("going back to"), "{name}: {said}");
        same(&bench.outcome(name), &expected, name);
    }

    bench.killed("all", &config, 5, &mut ticking(false, 1));
    for file in checkpoints(&bench.out("all")) {
        std::fs::write(file, b"").unwrap();
    }
    let error = bench.train("all", &config, &mut resumed()).0.unwrap_err();
    let Error::CheckpointsUnusable { reasons, .. } = &error else { panic!("{error}") };
    assert!(reasons.iter().any(|r| r.contains("step_00000004")), "{error}");
    assert!(error.to_string().contains("none of the run's checkpoints can be used"), "{error}");

    // Removed ones: only before the first epoch's end is nothing lost by it.
    bench.killed("early", &config, 1, &mut RunOptions::default());
    let (ended, said) = bench.train("early", &config, &mut resumed());
    ended.unwrap();
    assert!(said.contains("from its beginning"), "{said}");
    same(&bench.outcome("early"), &expected, "without a checkpoint");
    let steps = expected.keys().find(|k| k.starts_with("step_")).unwrap();
    let steps: u64 = steps[5..13].parse().unwrap();
    bench.killed("late", &config, steps, &mut RunOptions::default());
    std::fs::remove_dir_all(bench.out("late").join("checkpoints")).unwrap();
    let error = bench.train("late", &config, &mut resumed()).0.unwrap_err().to_string();
    assert!(error.contains("checkpoints are missing"), "{error}");

    // The best model lies beside the checkpoints, not in them.
    bench.killed("modelless", &config, steps, &mut RunOptions::default());
    std::fs::remove_file(bench.out("modelless").join("model.safetensors")).unwrap();
    let error = bench.train("modelless", &config, &mut resumed()).0.unwrap_err().to_string();
    assert!(error.contains("model.safetensors") && error.contains("is missing"), "{error}");

    // Settings that were changed by hand to fit do not make its checkpoints fit.
    bench.killed("edited", &config, 2, &mut ticking(false, 1));
    let path = bench.out("edited").join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"batch\": 3", "\"batch\": 5")).unwrap();
    let config = changed(config, |c| c.batch = 5);
    let error = bench.train("edited", &config, &mut resumed()).0.unwrap_err().to_string();
    assert!(error.contains("another configuration"), "{error}");
}

#[test]
fn a_finished_run_is_left_alone_and_one_that_does_not_exist_is_begun() {
    let bench = Bench::new();
    let config = changed(config(), |c| c.epochs = 1);
    let (ended, said) = bench.train("run", &config, &mut resumed());
    let first = ended.unwrap();
    assert!(said.contains("holds no run yet"), "{said}");
    let before = bench.outcome("run");
    std::fs::remove_dir_all(bench.out("run").join("checkpoints")).unwrap();
    let (ended, said) = bench.train("run", &config, &mut resumed());
    assert_eq!(ended.unwrap(), first);
    assert!(said.contains("finished: 1 of 1"), "{said}");
    let after = std::fs::read(bench.out("run").join("model.safetensors")).unwrap();
    assert!(after == before["model.safetensors"]);
    assert!(!bench.out("run").join("checkpoints").exists());
    std::fs::remove_file(bench.out("run").join("model.safetensors")).unwrap();
    let error = bench.train("run", &config, &mut resumed()).0.unwrap_err().to_string();
    assert!(error.contains("model.safetensors") && error.contains("is missing"), "{error}");
}

#[test]
fn a_model_that_its_last_step_broke_is_not_kept() {
    let bench = Bench::new();
    // One step an epoch: its loss is computed before it, and is a number.
    let config = changed(config(), |c| {
        c.epochs = 1;
        c.batch = 64;
        c.learning_rate = 1e30;
    });
    let error = bench.train("run", &config, &mut RunOptions::default()).0.unwrap_err();
    assert!(matches!(error, Error::NotFinite { epoch: 1, step: 1, .. }), "{error}");
    assert!(!bench.out("run").join("model.safetensors").exists());
}

#[test]
fn an_extended_run_keeps_its_past_and_is_exact_too() {
    let bench = Bench::new();
    let (two, four) = (changed(config(), |c| c.epochs = 2), changed(config(), |c| c.epochs = 4));
    let extended = |out: &str| {
        let summary = bench.train(out, &two, &mut RunOptions::default()).0.unwrap();
        (summary, checkpoints(&bench.out(out)).len())
    };
    let (short, _) = extended("whole");
    let (ended, said) = bench.train("whole", &four, &mut resumed());
    let long = ended.unwrap();
    assert!(said.contains("extended from 2 to 4 epochs"), "{said}");
    assert_eq!(long.history[..2], short.history);
    // (1 - 2/4)^0.9 and (1 - 3/4)^0.9 of 1e-3 from there; the third row of a run of four.
    let rates: Vec<f64> = long.history.iter().map(|row| row.learning_rate).collect();
    let expected = [1.0, 0.5, 0.5, 0.25].map(|left: f64| 1e-3 * left.powf(0.9));
    assert_eq!(rates, expected);
    let run = RunDir::open(&bench.out("whole")).unwrap();
    assert_eq!(run.config().unwrap().train.extended, [Extension { at: 2, epochs: 2 }]);
    let manifest = run.manifest().unwrap();
    assert_eq!((manifest.epochs_done, manifest.finished), (4, true));
    bench.train("from the start", &four, &mut RunOptions::default()).0.unwrap();
    let whole = bench.outcome("whole");
    assert!(bench.outcome("from the start")["history.csv"] != whole["history.csv"]);

    // Killed at the first step after the extension, and again where its newest checkpoint is lost.
    extended("broken");
    bench.killed("broken", &four, 1, &mut ticking(true, 1));
    let newest = checkpoints(&bench.out("broken")).pop().unwrap();
    std::fs::write(newest, b"").unwrap();
    bench.train("broken", &four, &mut resumed()).0.unwrap();
    same(&bench.outcome("broken"), &whole, "killed after its extension");

    // In the middle of an epoch: that epoch keeps its rate.
    bench.killed("midway", &two, 1, &mut ticking(false, 1));
    let summary = bench.train("midway", &four, &mut resumed()).0.unwrap();
    let rates: Vec<f64> = summary.history.iter().map(|row| row.learning_rate).collect();
    assert_eq!(rates, [1.0, 0.75, 0.5, 0.25].map(|left: f64| 1e-3 * left.powf(0.9)));
    let run = RunDir::open(&bench.out("midway")).unwrap();
    assert_eq!(run.config().unwrap().train.extended, [Extension { at: 1, epochs: 2 }]);
    // A run may grow more than once.
    let five = changed(config(), |c| c.epochs = 5);
    let summary = bench.train("midway", &five, &mut resumed()).0.unwrap();
    assert_eq!(summary.history.len(), 5);
    assert_eq!(run.config().unwrap().train.extended.len(), 2);
}
