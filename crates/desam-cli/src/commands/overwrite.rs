//! What a command does about files that are there already.

use super::Session;
use anyhow::bail;
use clap::Args;
use desam::Progress;
use desam::types::Destination;
use desam::types::text::path_for_people;
use std::path::{Path, PathBuf};

/// The flag of commands that do not replace what is there unless they are asked to.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Force {
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

impl Force {
    /// Refuses to go on where one of `outputs` is a regular file that is there, unless asked to
    /// replace it. To be called before the work. Devices and FIFOs hold nothing to lose.
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
            1 => bail!("{first} is there already; add --force to replace it, or write elsewhere"),
            n => bail!(
                "{n} of the files to write are there already, the first is {first}; add --force to \
                 replace them, or write elsewhere"
            ),
        }
    }
}

/// Says that a file which is cheap to make again, such as a page, takes the place of one that is
/// there.
pub(super) fn say_replaced(output: &Path, session: &Session) {
    if Destination::replaces(output) {
        let output = path_for_people(output);
        session.screen.say(&format!("{output} is there already and will be replaced"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_named_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, new] = ["a", "b", "new"].map(|name| dir.path().join(name));
        std::fs::write(&a, "").unwrap();
        std::fs::write(&b, "").unwrap();
        let check = |force, paths: &[&PathBuf]| {
            let checked = Force { force }.check(paths.iter().map(|p| (*p).clone()));
            checked.map_err(|e| e.to_string())
        };
        assert_eq!(check(false, &[&new, &"/dev/null".into()]), Ok(()));
        assert_eq!(check(true, &[&a, &b]), Ok(()));
        let one = check(false, &[&new, &a]).unwrap_err();
        assert!(one.contains("/a is there already") && one.contains("--force"), "{one}");
        let two = check(false, &[&b, &new, &a]).unwrap_err();
        assert!(two.starts_with("2 of the files") && two.contains("/b;"), "{two}");
    }
}
