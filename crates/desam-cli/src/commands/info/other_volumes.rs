//! What else lies in a folder that is described as one volume.

use super::Session;
use desam::Progress;
use desam::data::layout::list_folder;
use std::path::{Path, PathBuf};

/// Most volumes that a message names.
const NAMED: usize = 5;

/// Warns of the volumes in a DICOM folder beside its own series, which is what is described.
pub(super) fn warn(folder: &Path, session: &Session) -> anyhow::Result<()> {
    let others = find(folder)?;
    if !others.is_empty() {
        session.terminal.warn(&format!(
            "{} is described as the DICOM series in it; it also holds {}",
            folder.display(),
            list(&others)
        ));
    }
    Ok(())
}

/// The volumes in a folder and in folders below it, the folder's own series left out.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listing = list_folder(folder)?;
    let volumes = listing.volumes.into_iter().filter(|v| v != folder);
    Ok(volumes.chain(listing.unread.into_iter().map(|u| u.example)).collect())
}

/// Volumes by name.
pub(super) fn list(volumes: &[PathBuf]) -> String {
    let mut names: Vec<String> =
        volumes.iter().take(NAMED).map(|v| v.display().to_string()).collect();
    if volumes.len() > NAMED {
        names.push(format!("{} more", volumes.len() - NAMED));
    }
    names.join(", ")
}
