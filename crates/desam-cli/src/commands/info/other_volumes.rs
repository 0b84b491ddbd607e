//! Volumes in a folder other than its own DICOM series.

use super::Session;
use desam::Progress;
use desam::data::layout::list_folder;
use std::path::{Path, PathBuf};

/// Maximum number of volumes that a message lists.
const MAX_LISTED: usize = 5;

/// Warns about other volumes in a DICOM folder, of which only its own series is described.
pub(super) fn warn(folder: &Path, session: &Session) -> anyhow::Result<()> {
    let others = find(folder)?;
    if !others.is_empty() {
        session.terminal.warn(&format!(
            "only the DICOM series in {} is described; the folder also contains {}",
            folder.display(),
            list(&others)
        ));
    }
    Ok(())
}

/// Volumes in a folder and its subfolders, without the folder's own series.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listing = list_folder(folder)?;
    let volumes = listing.volumes.into_iter().filter(|v| v != folder);
    Ok(volumes.chain(listing.unread.into_iter().map(|u| u.example)).collect())
}

/// A list of volumes for a message.
pub(super) fn list(volumes: &[PathBuf]) -> String {
    let mut names: Vec<String> =
        volumes.iter().take(MAX_LISTED).map(|v| v.display().to_string()).collect();
    if volumes.len() > MAX_LISTED {
        names.push(format!("{} more", volumes.len() - MAX_LISTED));
    }
    names.join(", ")
}
