//! How features come to a training changes none of its bits: read when they are wanted, read ahead by
//! a thread, or kept in memory.

use crate::support::{changed, numbers, phantoms, toy_vit};
use desam::candle::Device;
use desam::data::augment::FeatureAugment;
use desam::data::cache::{CachedSlices, FeatureCache, PreloadedSlices};
use desam::embed::{EmbedRequest, embed};
use desam::model::{EncoderChoice, Trainable, TrainableOptions};
use desam::{Mode, Precision, Progress, Quiet};
use desam_study::Error;
use desam_study::train::{
    Augment, FeatureResidency, Preset, ResidencyRefusal, RunOptions, SliceDataset, TrainConfig,
    TrainRequest, Trainer, train_with,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Features of two cases at site A.
fn embedded(root: &Path) -> PathBuf {
    let cache = root.join("cache");
    let encoder = EncoderChoice::Random { config: toy_vit(), seed: 2 };
    embed(&EmbedRequest::new(phantoms(root, 1), &cache, encoder), &Quiet).unwrap();
    cache
}

fn config() -> TrainConfig {
    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Points).with_seed(3);
    (config.epochs, config.batch, config.learning_rate) = (2, 3, 1e-3);
    config
}

/// Kills a run after some steps.
struct Kill(AtomicU64);

impl Progress for Kill {
    fn begin(&self, _task: &str, _steps: u64) {}
    fn advance(&self, steps: u64, _note: &str) {
        assert!(self.0.fetch_sub(steps, Ordering::SeqCst) > steps, "killed");
    }
    fn finish(&self, _summary: &str) {}
    fn say(&self, _message: &str) {}
}

#[test]
fn a_run_that_reads_ahead_has_the_same_bits_also_when_it_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let cache = embedded(root.path());
    let augment = Augment::Features(FeatureAugment::regular());
    let config = changed(config(), |c| c.augment = augment);
    let run = |name: &str, ahead: usize, progress: &dyn Progress| {
        let out = root.path().join(name);
        let request = TrainRequest::new(&cache, &out, &config);
        let options = RunOptions::default().with_resume(true).with_prefetch(Some(ahead));
        train_with(&request, &mut { options }, progress).unwrap();
        ["model.safetensors", "history.csv"].map(|file| std::fs::read(out.join(file)).unwrap())
    };
    let expected = run("one", 0, &Quiet);
    assert!(run("ahead", 1, &Quiet) == expected);
    let killed = || run("killed", 3, &Kill(AtomicU64::new(4)));
    assert!(catch_unwind(AssertUnwindSafe(killed)).is_err());
    assert!(run("killed", 2, &Quiet) == expected);
}

#[test]
fn kept_features_train_to_the_same_bits() {
    let root = tempfile::tempdir().unwrap();
    let cache = embedded(root.path());
    let weights = cache.join("model.safetensors");
    let cache = Arc::new(FeatureCache::open(&cache).unwrap());
    let cases = cache.site_cases("A");
    let read = CachedSlices::new(cache, &cases, &Device::Cpu).unwrap();
    let stored = read.clone().as_stored();
    let kept = PreloadedSlices::new(&stored, &Device::Cpu, &Quiet).unwrap();
    let config = config();
    let trained = |slices: &SliceDataset<'_>, ahead: usize| {
        let model = Trainable::open(&weights, &TrainableOptions::new(config.seed)).unwrap();
        let mut trainer = Trainer::new(&model, &config).unwrap().with_prefetch(ahead);
        let rows = trainer.fit(slices, slices, &Quiet, |_| Ok(())).unwrap();
        let all: Vec<Vec<f64>> = trainer.parameters().values().map(numbers).collect();
        (rows, all)
    };
    let expected = trained(&read, 0);
    assert!(trained(&stored, 2) == expected, "as stored");
    assert!(trained(&kept, 0) == expected, "kept");
}

#[test]
fn what_a_cpu_has_no_use_for_is_refused_before_anything_is_written() {
    let root = tempfile::tempdir().unwrap();
    let (cache, out) = (embedded(root.path()), root.path().join("run"));
    let refused = |config: &TrainConfig, residency: FeatureResidency| -> Error {
        let request = TrainRequest::new(&cache, &out, config);
        let mut options = RunOptions::default().with_feature_residency(residency);
        train_with(&request, &mut options, &Quiet).unwrap_err()
    };
    let narrow = changed(config(), |c| c.precision = Precision::Bf16);
    let error = refused(&narrow, FeatureResidency::Auto).to_string();
    assert!(error.contains("bf16 is for GPUs only"), "{error}");
    let error = refused(&config(), FeatureResidency::Device);
    let reason = ResidencyRefusal::Cpu;
    assert!(matches!(&error, Error::FeatureResidency { reason: r } if *r == reason), "{error}");
    assert!(error.to_string().contains("CPU"), "{error}");
    assert!(!out.exists());
}
