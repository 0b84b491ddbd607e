//! Cancelled training and evaluation: what is done is counted, and what is kept can be continued.

use crate::support::{phantoms, toy_vit};
use desam::data::cache::FeatureCache;
use desam::embed::{EmbedRequest, embed};
use desam::model::EncoderChoice;
use desam::{CancellationToken, Compute, Mode, Model, Progress, PromptingConfig, Quiet};
use desam_study::Error;
use desam_study::evaluate::{EvaluateConfig, EvaluateRequest, Protocol, evaluate};
use desam_study::train::{Preset, RunOptions, TrainConfig, TrainRequest, train, train_with};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cancels its token after a number of steps of the latest task.
struct CancelAfter {
    token: CancellationToken,
    steps: AtomicU64,
    limit: u64,
}

impl CancelAfter {
    fn new(limit: u64) -> Self {
        Self { token: CancellationToken::new(), steps: AtomicU64::new(0), limit }
    }

    /// Runs `work` with a progress that this one cancels.
    fn watch<T>(&self, work: impl FnOnce(&dyn Progress) -> T) -> T {
        work(&self.token.watch(self))
    }
}

impl Progress for CancelAfter {
    fn begin(&self, _: &str, _: u64) {
        self.steps.store(0, Ordering::Relaxed);
    }
    fn advance(&self, steps: u64, _: &str) {
        if self.steps.fetch_add(steps, Ordering::Relaxed) + steps >= self.limit {
            self.token.cancel();
        }
    }
    fn finish(&self, _: &str) {}
    fn say(&self, _: &str) {}
}

/// The counts of a cancellation.
fn cancelled<T>(result: Result<T, Error>) -> (&'static str, usize, usize) {
    match result.err().unwrap() {
        Error::Desam(desam::Error::Cancelled { what, done, total, .. }) => (what, done, total),
        other => panic!("{other}"),
    }
}

#[test]
fn training_and_evaluation_stop_when_they_are_cancelled() {
    let root = tempfile::tempdir().unwrap();
    let (data, cache) = (phantoms(root.path(), 1), root.path().join("cache"));
    let encoder = EncoderChoice::Random { config: toy_vit(), seed: 2 };
    embed(&EmbedRequest::new(data, &cache, encoder), &Quiet).unwrap();
    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Points).with_seed(3);
    (config.epochs, config.batch, config.learning_rate) = (2, 3, 1e-3);
    let [whole, stopped] = ["whole", "stopped"].map(|name| root.path().join(name));
    train(&TrainRequest::new(&cache, &whole, &config), &Quiet).unwrap();

    // In the second epoch: the checkpoint after the first one is kept.
    let request = TrainRequest::new(&cache, &stopped, &config);
    let first = CancelAfter::new(1);
    let (what, done, total) = cancelled(first.watch(|progress| train(&request, progress)));
    assert_eq!((what, done), ("training steps", 1));
    std::fs::remove_dir_all(&stopped).unwrap();
    let limit = total as u64 / 2 + 1;
    let (_, done, _) =
        cancelled(CancelAfter::new(limit).watch(|progress| train(&request, progress)));
    assert_eq!(done as u64, limit);
    train_with(&request, &mut RunOptions::default().with_resume(true), &Quiet).unwrap();
    for name in ["model.safetensors", "history.csv"] {
        let read = |run: &Path| std::fs::read(run.join(name)).unwrap();
        assert!(read(&stopped) == read(&whole), "{name} differs");
    }

    let model = Model::open(&whole, &Compute::cpu()).unwrap();
    let prompting = PromptingConfig::new(Mode::Points, 3, model.spec().mask_side());
    let scoring = EvaluateConfig::new(Protocol::Paper, prompting);
    let cache = FeatureCache::open(&cache).unwrap();
    let source = "A";
    let validation: Vec<String> = cache.cases().iter().map(|case| case.id.clone()).collect();
    let request =
        EvaluateRequest::new(&cache, &model, source, &scoring).with_validation(&validation);
    let slices = cache.case_slices(0).len() as u64;
    let result = CancelAfter::new(slices + 1).watch(|progress| evaluate(&request, progress));
    assert_eq!(cancelled(result), ("cases scored", 1, 2));
}
