//! Many volumes, one model.

use super::{Segmenter, VolumeSummary};
use crate::Result;
use desam_core::Progress;
use desam_data::volumes::mask_name;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What a folder came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderSummary {
    /// Volumes whose masks were written.
    pub done: Vec<VolumeSummary>,
    /// Volumes that could not be segmented; the others were.
    pub failed: Vec<FailedVolume>,
}

/// A volume that could not be segmented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedVolume {
    /// Its file.
    pub input: PathBuf,
    /// Why.
    pub reason: String,
}

/// Segments each volume into `out` under its own file name (a DICOM series under its folder's, as
/// NIfTI). A volume that fails is recorded with
/// the reason, and the rest is done.
///
/// # Errors
/// Only when `out` cannot be made.
pub fn segment_folder(
    segmenter: &Segmenter,
    inputs: &[PathBuf],
    out: &Path,
    progress: &dyn Progress,
) -> Result<FolderSummary> {
    crate::files::create_dir(out)?;
    progress.begin("segmenting", inputs.len() as u64 * Share::STEPS);
    let mut summary = FolderSummary { done: Vec::new(), failed: Vec::new() };
    for input in inputs {
        let name = mask_name(input);
        let share = Share::new(progress, name.clone());
        let done = segmenter.segment_file(input, &out.join(name), &share);
        share.complete();
        match done {
            Ok(volume) => summary.done.push(volume),
            Err(error) => {
                // Most errors name the file themselves.
                let (reason, path) = (error.to_string(), input.display().to_string());
                let told = if reason.contains(&path) { String::new() } else { format!("{path}: ") };
                progress.say(&format!("skipped: {told}{reason}"));
                summary.failed.push(FailedVolume { input: input.clone(), reason });
            }
        }
    }
    let (done, failed) = (summary.done.len(), summary.failed.len());
    progress.finish(&format!("{done} volumes segmented, {failed} failed"));
    Ok(summary)
}

/// One volume's share of a folder's progress: the same for every volume, however many slices it
/// turns out to have, so that the time left can be told before all are read.
struct Share<'a> {
    whole: &'a dyn Progress,
    name: String,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    of: u64,
    done: u64,
    passed_on: u64,
}

impl<'a> Share<'a> {
    /// Steps of the whole that a volume is worth.
    const STEPS: u64 = 1000;

    fn new(whole: &'a dyn Progress, name: String) -> Self {
        Self { whole, name, told: Mutex::default() }
    }

    fn pass_on(&self, change: impl FnOnce(&mut Told), note: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut told);
        let now = (Self::STEPS * told.done.min(told.of)).checked_div(told.of).unwrap_or(0);
        let steps = now.saturating_sub(told.passed_on);
        told.passed_on += steps;
        if steps > 0 {
            self.whole.advance(steps, &format!("{} {note}", self.name));
        }
    }

    /// What is left of a volume that ended, well or not.
    fn complete(&self) {
        self.pass_on(|told| (told.of, told.done) = (1, 1), "");
    }
}

impl Progress for Share<'_> {
    fn begin(&self, _task: &str, steps: u64) {
        self.pass_on(|told| told.of = steps, "");
    }

    fn advance(&self, steps: u64, note: &str) {
        self.pass_on(|told| told.done += steps, note);
    }

    fn finish(&self, _summary: &str) {}

    fn say(&self, message: &str) {
        self.whole.say(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count(Mutex<u64>);

    impl Progress for Count {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, steps: u64, _: &str) {
            *self.0.lock().unwrap() += steps;
        }
        fn finish(&self, _: &str) {}
        fn say(&self, _: &str) {}
    }

    #[test]
    fn every_volume_is_worth_the_same() {
        for (slices, advanced) in [(19, 19), (3, 1), (7, 9), (0, 0)] {
            let whole = Count::default();
            let share = Share::new(&whole, "a".into());
            share.begin("a", slices);
            (0..advanced).for_each(|_| share.advance(1, ""));
            assert!(*whole.0.lock().unwrap() <= Share::STEPS);
            share.complete();
            assert_eq!(*whole.0.lock().unwrap(), Share::STEPS, "{slices} {advanced}");
        }
    }
}
