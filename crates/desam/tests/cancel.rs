//! Cancellation: what is done is counted, and what is kept stays.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod toy;

use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::embed::{EmbedRequest, embed};
use desam::model::EncoderChoice;
use desam::predict::segment_folder;
use desam::{CancellationToken, Error, Progress, Quiet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Cancels its token after a number of steps.
struct CancelAfter {
    token: CancellationToken,
    steps: AtomicU64,
    least: u64,
}

impl CancelAfter {
    fn new(token: &CancellationToken, least: u64) -> Self {
        Self { token: token.clone(), steps: AtomicU64::new(0), least }
    }
}

impl Progress for CancelAfter {
    fn begin(&self, _: &str, _: u64) {
        self.steps.store(0, Ordering::Relaxed);
    }
    fn advance(&self, steps: u64, _: &str) {
        if self.steps.fetch_add(steps, Ordering::Relaxed) + steps >= self.least {
            self.token.cancel();
        }
    }
    fn finish(&self, _: &str) {}
    fn say(&self, _: &str) {}
}

#[test]
fn a_segmentation_ends_after_the_slice_it_is_at() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let volume = toy::volume([24, 20, 6], 0);
    for (least, expected) in [(2, 2), (5, 5)] {
        let token = CancellationToken::new();
        let stop = CancelAfter::new(&token, least);
        let error = segmenter.segment(&volume, &token.watch(&stop)).unwrap_err();
        assert!(error.is_cancelled());
        let Error::Cancelled { done, total, .. } = error else { panic!("{error}") };
        assert_eq!((done, total), (expected, 6));
    }
    // Cancelled before it begins; and after the last slice there is nothing left to cancel.
    let token = CancellationToken::new();
    token.cancel();
    let error = segmenter.segment(&volume, &token.watch(&Quiet)).unwrap_err();
    assert!(matches!(error, Error::Cancelled { done: 0, .. }), "{error}");
    let token = CancellationToken::new();
    let stop = CancelAfter::new(&token, 6);
    segmenter.segment(&volume, &token.watch(&stop)).unwrap();
    // No mask is written of a part of a volume.
    let input = &toy::volumes(folder.path(), &[[24, 20, 6]])[0];
    let token = CancellationToken::new();
    let (stop, mask) = (CancelAfter::new(&token, 3), folder.path().join("mask.nii.gz"));
    let error = segmenter.segment_file(input, &mask, &token.watch(&stop)).unwrap_err();
    assert!(error.is_cancelled() && !mask.exists(), "{error}");
}

#[test]
fn a_folder_keeps_the_masks_written_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let inputs = toy::volumes(folder.path(), &[[24, 20, 4]; 5]);
    let (token, out) = (CancellationToken::new(), folder.path().join("out"));
    // A volume is 1000 steps: cancelled within the third.
    let stop = CancelAfter::new(&token, 2500);
    let error = segment_folder(&segmenter, &inputs, &out, &token.watch(&stop)).unwrap_err();
    let Error::Cancelled { done, total, .. } = error else { panic!("{error}") };
    assert_eq!(total, 5);
    let written = std::fs::read_dir(&out).unwrap().count();
    assert!(done == written && (1..=2).contains(&done), "{done} done, {written} written");
    for entry in std::fs::read_dir(&out).unwrap() {
        desam::volume::nifti::read_labels(&entry.unwrap().path()).unwrap();
    }
}

#[test]
fn an_embedding_continues_where_it_was_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let (data, cache) = (folder.path().join("data"), folder.path().join("cache"));
    let sites = SiteStyle::six_sites().into_iter().take(1).collect();
    write_phantoms(&data, &PhantomConfig { cases_per_site: 2, seed: 1, sites }, &Quiet).unwrap();
    let request = EmbedRequest::new(&data, &cache, EncoderChoice::Builtin).with_input_side(64);
    let token = CancellationToken::new();
    let stop = CancelAfter::new(&token, 3);
    // Three of the slices; the two volumes that are prepared first are fewer steps.
    let error = embed(&request, &token.watch(&stop)).unwrap_err();
    let Error::Cancelled { what, done, total, .. } = error else { panic!("{error}") };
    assert_eq!((what, done), ("slices embedded", 3));
    let summary = embed(&request, &Quiet).unwrap();
    assert_eq!((summary.slices, summary.reused), (total, 3));
}
