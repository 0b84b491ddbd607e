//! `--json`: the result as JSON.

use clap::{ArgAction, Args};
use std::path::{Path, PathBuf};

/// `--json` of most commands: a switch.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JsonFlag {
    /// Print the result on stdout as JSON; progress stays on stderr
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) json: bool,
}

/// `--json` of commands that can also write the result to a file.
#[derive(Debug, Clone, Args)]
pub(crate) struct JsonFileFlag {
    /// Write the result as JSON to FILE; without FILE, print it on stdout instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
}

impl JsonFileFlag {
    /// The file, if one was given.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.json.as_ref()?.as_deref()
    }

    /// The flag was given without a file.
    pub(crate) fn on_stdout(&self) -> JsonFlag {
        JsonFlag { json: matches!(self.json, Some(None)) }
    }
}
