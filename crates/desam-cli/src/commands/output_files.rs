//! Output files: existing files are not overwritten, parent folders are created.

use super::Session;
use anyhow::{Context, bail};
use clap::Args;
use desam::Progress;
use desam::types::Destination;
use desam::types::text::path_for_people;
use std::path::{Path, PathBuf};

/// `--force` of commands that do not replace existing files by default.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ForceFlag {
    /// Overwrite existing files
    #[arg(long)]
    force: bool,
}

impl ForceFlag {
    /// Fails if one of `outputs` is an existing regular file and `--force` is not given. Devices and
    /// FIFOs may always be written to. Call this before the work, so that no result is lost.
    pub(super) fn check(self, outputs: impl IntoIterator<Item = PathBuf>) -> anyhow::Result<()> {
        if self.force {
            return Ok(());
        }
        let mut existing: Vec<PathBuf> = outputs.into_iter().collect();
        existing.retain(|path| Destination::replaces(path));
        let Some(first) = existing.first().map(|path| path_for_people(path)) else {
            return Ok(());
        };
        match existing.len() {
            1 => {
                bail!("{first} already exists; add --force to overwrite it, or choose another path")
            }
            n => bail!(
                "{n} of the files to write already exist, such as {first}; add --force to overwrite \
                 them, or choose another path"
            ),
        }
    }
}

/// Notes that an existing file is overwritten. For files that are cheap to write again, such as a page.
pub(super) fn note_overwrite(output: &Path, session: &Session) {
    if Destination::replaces(output) {
        let output = path_for_people(output);
        session.terminal.say(&format!("{output} already exists and will be overwritten"));
    }
}

/// Creates the folder that will hold `file`, and fails if `file` is itself a folder. Call this before
/// the work, so that no result is lost.
pub(super) fn ensure_parent_dir(file: &Path) -> anyhow::Result<()> {
    if file.is_dir() {
        bail!("{} is a folder; expected the name of a file to write", path_for_people(file));
    }
    // Also covers devices, FIFOs, and links that lead to another folder.
    if file.exists() {
        return Ok(());
    }
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
    folder.map_or(Ok(()), |folder| {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", path_for_people(folder)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_files_are_counted_and_the_first_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, new] = ["a", "b", "new"].map(|name| dir.path().join(name));
        std::fs::write(&a, "").unwrap();
        std::fs::write(&b, "").unwrap();
        let check = |force, paths: &[&PathBuf]| {
            let checked = ForceFlag { force }.check(paths.iter().map(|p| (*p).clone()));
            checked.map_err(|e| e.to_string())
        };
        assert_eq!(check(false, &[&new, &"/dev/null".into()]), Ok(()));
        assert_eq!(check(true, &[&a, &b]), Ok(()));
        let one = check(false, &[&new, &a]).unwrap_err();
        assert!(one.contains("/a already exists") && one.contains("--force"), "{one}");
        let two = check(false, &[&b, &new, &a]).unwrap_err();
        assert!(two.starts_with("2 of the files") && two.contains("/b;"), "{two}");
    }
}
