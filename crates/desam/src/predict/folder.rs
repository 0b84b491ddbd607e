//! Many volumes, one model.

use super::{Segmenter, VolumeSummary};
use crate::Result;
use desam_core::Progress;
use serde::Serialize;
use std::path::{Path, PathBuf};

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

/// Segments each volume into `out` under its own file name. A volume that fails is recorded with
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
    let mut summary = FolderSummary { done: Vec::new(), failed: Vec::new() };
    for input in inputs {
        let name = input.file_name().unwrap_or(input.as_os_str());
        match segmenter.segment_file(input, &out.join(name), progress) {
            Ok(volume) => summary.done.push(volume),
            Err(error) => {
                let reason = error.to_string();
                progress.say(&format!("skipped {}: {reason}", input.display()));
                summary.failed.push(FailedVolume { input: input.clone(), reason });
            }
        }
    }
    Ok(summary)
}
