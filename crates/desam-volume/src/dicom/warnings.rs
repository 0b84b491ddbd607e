//! Warnings of the files of a series, merged: one sentence for each kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Warnings with their first file and number of files.
#[derive(Debug, Default)]
pub(super) struct Warnings(BTreeMap<String, (PathBuf, usize)>);

impl Warnings {
    /// Notes a warning of a file.
    pub(super) fn add(&mut self, path: &Path, warning: impl Into<String>) {
        let first = || (path.to_path_buf(), 0);
        self.0.entry(warning.into()).or_insert_with(first).1 += 1;
    }

    /// A sentence for each kind, with the name of the first file.
    pub(super) fn into_sentences(self) -> Vec<String> {
        let sentence = |(warning, (path, files)): (String, (PathBuf, usize))| {
            let path = path.display();
            match files {
                1 => format!("{path}: {warning}"),
                2 => format!("{path} and another file: {warning}"),
                _ => format!("{path} and {} other files: {warning}", files - 1),
            }
        };
        self.0.into_iter().map(sentence).collect()
    }
}
