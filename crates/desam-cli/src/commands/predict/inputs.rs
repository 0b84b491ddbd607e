//! What of a folder is segmented, and what is said about the rest.

use crate::commands::Session;
use anyhow::bail;
use desam::Progress;
use desam::data::layout::{FolderListing, list_folder};
use desam::data::volumes::{VOLUME_ENDINGS, VolumeFormat};
use std::path::{Path, PathBuf};

/// Most volumes that one message names.
const NAMED: usize = 5;

/// The volumes of a folder that are to be segmented; at least one.
#[derive(Debug)]
pub(super) struct Inputs(Vec<PathBuf>);

impl Inputs {
    /// All volumes of the folder.
    pub(super) fn all(folder: &Path, output: &Path, session: &Session) -> anyhow::Result<Self> {
        let FolderListing { volumes, unread, .. } = list_folder(folder)?;
        // Masks of an earlier run are no volumes that were left out.
        let holds_output = |path: &Path| is_within(output, path);
        let unread: Vec<_> = unread.iter().filter(|u| !holds_output(&u.path)).collect();
        if volumes.is_empty() {
            let hint = unread.iter().map(|u| u.example.as_path()).collect::<Vec<_>>();
            if hint.is_empty() {
                bail!(
                    "{} holds no volume: expected files in {VOLUME_ENDINGS}, or DICOM series{}",
                    folder.display(),
                    why_no_series(folder)
                );
            }
            bail!(
                "{} holds no volume itself, folders in it do, and they are not looked into: name \
                 one of them, such as {}",
                folder.display(),
                names(folder, &hint)
            );
        }
        for folder in unread {
            session.terminal.warn(&format!(
                "{} is left out: folders in a folder are read where they are DICOM series, and \
                 {} lies there; name that folder to segment what it holds",
                folder.example.display(),
                if folder.example == folder.path { "a series" } else { "it" }
            ));
        }
        if volumes.len() > 1 && volumes.iter().any(|v| v == folder) {
            session.terminal.say(&format!(
                "{} is taken for {} volumes: its own DICOM files and {}",
                folder.display(),
                volumes.len(),
                names(folder, &volumes.iter().skip(1).map(PathBuf::as_path).collect::<Vec<_>>())
            ));
        } else {
            session.detail(&format!(
                "{} is taken for {}",
                folder.display(),
                counted(volumes.len())
            ));
        }
        Ok(Self(volumes))
    }

    /// Those of the folder's DICOM series that fit a choice.
    #[cfg(feature = "dicom")]
    pub(super) fn of_series(
        folder: &Path,
        choice: &desam::data::dicom::SeriesChoice,
        session: &Session,
    ) -> anyhow::Result<Self> {
        use desam::data::dicom::holds_series;
        let FolderListing { volumes, unread, .. } = list_folder(folder)?;
        let (series, files): (Vec<_>, Vec<_>) = volumes.into_iter().partition(|v| v.is_dir());
        let (mut fitting, mut others) = (Vec::new(), Vec::new());
        for dicom in series {
            if holds_series(&dicom, choice)? { &mut fitting } else { &mut others }.push(dicom);
        }
        if fitting.is_empty() {
            let found: Vec<&Path> = others.iter().chain(&files).map(PathBuf::as_path).collect();
            return match others.as_slice() {
                // Its error says which series there are.
                [one] if files.is_empty() => Ok(Self(vec![one.clone()])),
                _ if found.is_empty() && unread.is_empty() => {
                    bail!("{} holds no DICOM series{}", folder.display(), why_no_series(folder))
                }
                _ if found.is_empty() => bail!(
                    "{} holds no DICOM series itself, and the folders in it are not looked into \
                     farther: name one of {}",
                    folder.display(),
                    names(folder, &unread.iter().map(|u| u.example.as_path()).collect::<Vec<_>>())
                ),
                _ => bail!(
                    "no series has {choice} in {}, which holds {}{}",
                    folder.display(),
                    names(folder, &found),
                    series_of(&others)
                ),
            };
        }
        for other in others {
            session
                .terminal
                .warn(&format!("{} is left out: no series there has {choice}", other.display()));
        }
        // Folders of masks are no news, deeper series are.
        for deeper in unread.into_iter().filter(|u| u.example.is_dir()) {
            session.terminal.warn(&format!(
                "{} is left out: it lies too deep to be looked into; name it to segment it",
                deeper.example.display()
            ));
        }
        for file in files {
            session.terminal.warn(&format!(
                "{} is left out: --series chooses among DICOM series, and it is none",
                file.display()
            ));
        }
        Ok(Self(fitting))
    }

    /// The one volume that becomes one mask: where `output` is named as a mask file is, or where the
    /// folder is itself the volume. `None` where each volume gets its own mask in a folder.
    ///
    /// # Errors
    /// When there are several volumes and `output` is named as one file.
    pub(super) fn single(&self, folder: &Path, output: &Path) -> anyhow::Result<Option<&Path>> {
        let is_file_name = !output.is_dir() && VolumeFormat::of_name(output).is_some();
        match self.0.as_slice() {
            [one] if is_file_name || one == folder => Ok(Some(one)),
            many if is_file_name => {
                let paths: Vec<&Path> = many.iter().map(PathBuf::as_path).collect();
                bail!(
                    "{} holds {} ({}), and {} is the name of one mask: give --output the name of a \
                     folder, or --input one of the volumes",
                    folder.display(),
                    counted(many.len()),
                    names(folder, &paths),
                    output.display()
                )
            }
            _ => Ok(None),
        }
    }

    /// All of them.
    pub(super) fn into_paths(self) -> Vec<PathBuf> {
        self.0
    }
}

/// Why a folder without volumes is no series, where it holds DICOM files all the same.
fn why_no_series(folder: &Path) -> String {
    #[cfg(feature = "dicom")]
    if let Err(error) = desam::data::dicom::read_volume(folder, &Default::default()) {
        let said = error.to_string();
        // Only what it lists is news.
        return said.split_once('\n').map_or_else(String::new, |(_, list)| format!("\n{list}"));
    }
    let _ = folder;
    String::new()
}

/// The series of some folders, a line each.
#[cfg(feature = "dicom")]
fn series_of(folders: &[PathBuf]) -> String {
    let of = |folder: &PathBuf| desam::data::dicom::list_series(folder).unwrap_or_default();
    folders.iter().flat_map(of).map(|series| format!("\n  {series}")).collect()
}

/// Whether `path` is `folder` or lies in it; either may not be there yet.
fn is_within(path: &Path, folder: &Path) -> bool {
    let (Ok(path), Ok(folder)) = (std::path::absolute(path), folder.canonicalize()) else {
        return false;
    };
    path.ancestors().any(|p| p.canonicalize().is_ok_and(|p| p == folder))
}

fn counted(volumes: usize) -> String {
    format!("{volumes} volume{}", if volumes == 1 { "" } else { "s" })
}

/// Volumes by their names in a folder; the folder itself by what it is.
fn names(folder: &Path, volumes: &[&Path]) -> String {
    let name = |volume: &&Path| match volume.strip_prefix(folder) {
        Ok(rest) if rest.as_os_str().is_empty() => "its own DICOM files".to_owned(),
        Ok(rest) => rest.display().to_string(),
        Err(_) => volume.display().to_string(),
    };
    let mut names: Vec<String> = volumes.iter().take(NAMED).map(name).collect();
    if volumes.len() > NAMED {
        names.push(format!("{} more", volumes.len() - NAMED));
    }
    names.join(", ")
}
