//! Many volumes, one model.
//!
//! Three things go on at once: the next volume is read, unpacked and prepared, one is computed on,
//! and the files of the one before are packed and written. Reading and writing use one core each
//! and no accelerator, and computing uses all of what there is, so what they take is no longer time
//! in which the rest stands still. Each hands over to the next in person, without a queue: a volume
//! waits in the hands of who made it. So there are at most three in memory, however many there are
//! in all, and they stay in order.
//!
//! A 384×384×24 volume is read and prepared in some 0.2 s. Beside ViT-B on two cores that is
//! nothing; with a small encoder or an accelerator it is a large share of the whole.
//!
//! Within a volume the encoder and the decoder take turns on a CPU and overlap on an accelerator
//! (see [`Features::each`](super::features::Features::each)).

use super::output::{Output, OutputFiles};
use super::share::Share;
use super::{Segmentation, Segmenter, VolumeSummary};
use crate::{Error, Result};
use desam_core::text::DisplayPath as _;
use desam_core::text::{name_text, one_line};
use desam_core::{Progress, Volume};
use desam_data::preprocess::PreparedVolume;
use desam_data::volumes::mask_name;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

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
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub input: PathBuf,
    /// Why.
    pub reason: String,
}

/// Segments each volume into `out` under its own file name (a DICOM series under its folder's, as
/// NIfTI), and writes beside it what [`Segmenter::options`] ask for. A volume that fails is recorded
/// with the reason, and the rest is done; a volume whose files would be written over those of an
/// earlier one fails. What the reader has to warn about goes to `progress`. Both lists of the summary are in the order of `inputs`.
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
    segmenter.warnings().iter().for_each(|warning| progress.warn(warning));
    let plan = plan(segmenter, inputs, out);
    let summary = thread::scope(|scope| {
        // Where one side is gone, be it by a panic, the others find their channel closed and end.
        let (to_compute, read) = sync_channel(0);
        let (to_write, computed) = sync_channel(0);
        scope.spawn(move || read_all(segmenter, plan, &to_compute, progress));
        let writer = scope.spawn(move || write_all(segmenter, &computed, progress));
        for step in read {
            if to_write.send(compute(segmenter, step, progress)).is_err() {
                break;
            }
        }
        drop(to_write);
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let (done, failed) = (summary.done.len(), summary.failed.len());
    progress.finish(&format!("{done} volumes segmented, {failed} failed"));
    Ok(summary)
}

/// A volume on its way through the three.
struct Step<T> {
    input: PathBuf,
    so_far: Result<(OutputFiles, T)>,
}

impl<T> Step<T> {
    fn then<U>(self, next: impl FnOnce(T, &OutputFiles) -> Result<U>) -> Step<U> {
        let so_far = self.so_far.and_then(|(files, value)| {
            let value = next(value, &files)?;
            Ok((files, value))
        });
        Step { input: self.input, so_far }
    }
}

/// A volume that is ready, and itself where pictures are to be made of it.
struct Ready {
    prepared: PreparedVolume,
    volume: Option<Volume>,
    /// What its reader had to say.
    warnings: Vec<String>,
}

/// Where everything goes; no file twice.
fn plan(segmenter: &Segmenter, inputs: &[PathBuf], out: &Path) -> Vec<Step<()>> {
    let mut taken: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut claim = |input: &PathBuf| {
        let files = OutputFiles::new(input, &out.join(mask_name(input)), segmenter.options())?;
        if let Some((name, by)) = files.names().find_map(|n| Some((n, taken.get(n)?))) {
            let reason = format!(
                "it would be written for {} and again for {}; rename one of the two",
                by.display_escaped(),
                input.display_escaped()
            );
            return Err(Error::file(name, reason));
        }
        taken.extend(files.names().map(|name| (name.to_owned(), input.clone())));
        Ok((files, ()))
    };
    let step = |input: &PathBuf| Step { input: input.clone(), so_far: claim(input) };
    inputs.iter().map(step).collect()
}

fn read_all(
    segmenter: &Segmenter,
    plan: Vec<Step<()>>,
    next: &SyncSender<Step<Ready>>,
    progress: &dyn Progress,
) {
    for step in plan {
        let ready = step.then(|(), files| {
            let loaded = segmenter.load(&files.input)?;
            loaded.details.iter().for_each(|detail| progress.detail(detail));
            let (volume, warnings) = (loaded.value, loaded.warnings);
            let prepared = segmenter.prepare_file(&volume, &files.input)?;
            let pictures = segmenter.options().overlay.is_some();
            Ok(Ready { prepared, volume: pictures.then_some(volume), warnings })
        });
        if next.send(ready).is_err() {
            return;
        }
    }
}

fn compute(
    segmenter: &Segmenter,
    step: Step<Ready>,
    progress: &dyn Progress,
) -> Step<(Ready, Segmentation)> {
    let share = Share::new(progress, one_line(&name_text(&mask_name(&step.input))));
    let computed = step.then(|ready, _| {
        share.begin("", ready.prepared.len() as u64);
        let segmentation = segmenter.compute(&ready.prepared, &share)?;
        Ok((ready, segmentation))
    });
    share.complete();
    computed
}

fn write_all(
    segmenter: &Segmenter,
    computed: &Receiver<Step<(Ready, Segmentation)>>,
    progress: &dyn Progress,
) -> FolderSummary {
    let mut summary = FolderSummary { done: Vec::new(), failed: Vec::new() };
    for step in computed {
        let written = step.then(|(ready, segmentation), files| {
            let Ready { prepared, volume, warnings } = &ready;
            let (volume, warnings) = (volume.as_ref(), warnings.clone());
            let output = Output { prepared, volume, segmentation, warnings };
            files.write(segmenter, &output)
        });
        match written.so_far {
            Ok((_, volume)) => {
                volume.warnings.iter().for_each(|warning| progress.warn(warning));
                summary.done.push(volume);
            }
            Err(error) => {
                let input = written.input;
                // Most errors name the file themselves.
                let (reason, path) = (error.to_string(), input.display_escaped());
                let told = if reason.contains(&path) { String::new() } else { format!("{path}: ") };
                progress.say(&format!("skipped: {told}{reason}"));
                summary.failed.push(FailedVolume { input, reason });
            }
        }
    }
    summary
}
