//! Volumes of an input folder: which are segmented, and messages about the others.

use crate::commands::Session;
use anyhow::bail;
use desam::Progress;
use desam::data::layout::{FolderListing, list_folder};
use desam::volume::volumes::{IMAGE_ENDINGS, VOLUME_ENDINGS, VolumeFormat};
use std::path::{Path, PathBuf};

/// Maximum number of volumes that a message lists.
const MAX_LISTED: usize = 5;

/// The volumes of a folder to segment; at least one.
#[derive(Debug)]
pub(super) struct Inputs(Vec<PathBuf>);

impl Inputs {
    /// All volumes of the folder.
    pub(super) fn all(folder: &Path, output: &Path, session: &Session) -> anyhow::Result<Self> {
        let FolderListing { volumes, unread, pictures, .. } = list_folder(folder)?;
        // Masks of an earlier run in this folder are not skipped volumes.
        let holds_output = |path: &Path| is_within(output, path);
        let unread: Vec<_> = unread.iter().filter(|u| !holds_output(&u.path)).collect();
        if volumes.is_empty() {
            let hint = unread.iter().map(|u| u.example.as_path()).collect::<Vec<_>>();
            if hint.is_empty() {
                bail!(
                    "{} contains no volume: expected files in {VOLUME_ENDINGS}, DICOM series, or \
                     two-dimensional images in {IMAGE_ENDINGS}{}",
                    folder.display(),
                    why_no_series(folder)
                );
            }
            bail!(
                "{} contains no volume, but its subfolders do, and they are not searched: use one of \
                 them as --input, such as {}",
                folder.display(),
                names(folder, &hint)
            );
        }
        for folder in unread {
            session.terminal.warn(&format!(
                "{} is skipped: only direct subfolders that are DICOM series are searched; use its \
                 folder as --input to segment it",
                folder.example.display()
            ));
        }
        if let Some(first) = pictures.first() {
            session.terminal.say(&format!(
                "{} two-dimensional images next to the volumes are skipped, such as {}; to segment them, \
                 move them into a separate folder",
                pictures.len(),
                first.display()
            ));
        }
        if volumes.len() > 1 && volumes.iter().any(|v| v == folder) {
            session.terminal.say(&format!(
                "{} contains {} volumes: the DICOM files in it form one, the others are {}",
                folder.display(),
                volumes.len(),
                names(folder, &volumes.iter().skip(1).map(PathBuf::as_path).collect::<Vec<_>>())
            ));
        } else {
            session.detail(&format!("{} contains {}", folder.display(), counted(volumes.len())));
        }
        Ok(Self(volumes))
    }

    /// The DICOM series of the folder that match `--series`.
    #[cfg(feature = "dicom")]
    pub(super) fn of_series(
        folder: &Path,
        choice: &desam::volume::dicom::SeriesChoice,
        session: &Session,
    ) -> anyhow::Result<Self> {
        use desam::volume::dicom::holds_series;
        let FolderListing { volumes, unread, .. } = list_folder(folder)?;
        let (series, files): (Vec<_>, Vec<_>) = volumes.into_iter().partition(|v| v.is_dir());
        let (mut matching, mut others) = (Vec::new(), Vec::new());
        for dicom in series {
            if holds_series(&dicom, choice)? { &mut matching } else { &mut others }.push(dicom);
        }
        if matching.is_empty() {
            let found: Vec<&Path> = others.iter().chain(&files).map(PathBuf::as_path).collect();
            return match others.as_slice() {
                // Reading it will fail with a list of its series.
                [one] if files.is_empty() => Ok(Self(vec![one.clone()])),
                _ if found.is_empty() && unread.is_empty() => {
                    bail!("{} contains no DICOM series{}", folder.display(), why_no_series(folder))
                }
                _ if found.is_empty() => bail!(
                    "{} contains no DICOM series, and its subfolders are not searched further: use one \
                     of them as --input, such as {}",
                    folder.display(),
                    names(folder, &unread.iter().map(|u| u.example.as_path()).collect::<Vec<_>>())
                ),
                _ => bail!(
                    "no DICOM series in {} has {choice}; it contains {}{}",
                    folder.display(),
                    names(folder, &found),
                    series_of(&others)
                ),
            };
        }
        for other in others {
            session.terminal.warn(&format!(
                "{} is skipped: it contains no series that has {choice}",
                other.display()
            ));
        }
        // Deeper folders of other volumes may be masks; only deeper series get a warning.
        for deeper in unread.into_iter().filter(|u| u.example.is_dir()) {
            session.terminal.warn(&format!(
                "{} is skipped: only direct subfolders are searched; use it as --input to segment it",
                deeper.example.display()
            ));
        }
        for file in files {
            session.terminal.warn(&format!(
                "{} is skipped: it is not a DICOM series, and --series is given",
                file.display()
            ));
        }
        Ok(Self(matching))
    }

    /// The only volume, if its mask is written to `output` itself: `output` has the name of a mask
    /// file, or the folder is the volume. `None` if `output` is a folder for masks.
    ///
    /// # Errors
    /// If there are several volumes and `output` has the name of a mask file.
    pub(super) fn single(&self, folder: &Path, output: &Path) -> anyhow::Result<Option<&Path>> {
        let is_file_name = !output.is_dir() && VolumeFormat::of_name(output).is_some();
        match self.0.as_slice() {
            [one] if is_file_name || one == folder => Ok(Some(one)),
            many if is_file_name => {
                let paths: Vec<&Path> = many.iter().map(PathBuf::as_path).collect();
                bail!(
                    "{} contains {} ({}), but {} names a single mask file: use a folder as --output, \
                     or one of the volumes as --input",
                    folder.display(),
                    counted(many.len()),
                    names(folder, &paths),
                    output.display()
                )
            }
            _ => Ok(None),
        }
    }

    /// The paths.
    pub(super) fn into_paths(self) -> Vec<PathBuf> {
        self.0
    }
}

/// Reason why the DICOM files of a folder without volumes are not a series; empty if there are
/// none.
fn why_no_series(folder: &Path) -> String {
    #[cfg(feature = "dicom")]
    if let Err(error) = desam::volume::dicom::read_volume(folder, &Default::default()) {
        let said = error.to_string();
        // Only the list of files is new.
        return said.split_once('\n').map_or_else(String::new, |(_, list)| format!("\n{list}"));
    }
    let _ = folder;
    String::new()
}

/// The series of some folders, one per line.
#[cfg(feature = "dicom")]
fn series_of(folders: &[PathBuf]) -> String {
    let of = |folder: &PathBuf| desam::volume::dicom::list_series(folder).unwrap_or_default();
    folders.iter().flat_map(of).map(|series| format!("\n  {series}")).collect()
}

/// Whether `path` is `folder` or inside it; either may not exist yet.
fn is_within(path: &Path, folder: &Path) -> bool {
    let (Ok(path), Ok(folder)) = (std::path::absolute(path), folder.canonicalize()) else {
        return false;
    };
    path.ancestors().any(|p| p.canonicalize().is_ok_and(|p| p == folder))
}

fn counted(volumes: usize) -> String {
    format!("{volumes} volume{}", if volumes == 1 { "" } else { "s" })
}

/// Names of volumes relative to their folder; the folder itself is "its own DICOM files".
fn names(folder: &Path, volumes: &[&Path]) -> String {
    let name = |volume: &&Path| match volume.strip_prefix(folder) {
        Ok(rest) if rest.as_os_str().is_empty() => "its own DICOM files".to_owned(),
        Ok(rest) => rest.display().to_string(),
        Err(_) => volume.display().to_string(),
    };
    let mut names: Vec<String> = volumes.iter().take(MAX_LISTED).map(name).collect();
    if volumes.len() > MAX_LISTED {
        names.push(format!("{} more", volumes.len() - MAX_LISTED));
    }
    names.join(", ")
}
