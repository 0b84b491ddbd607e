//! What a command has to say when it is done.

use crate::failure;
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;

/// A result for people and for programs.
#[derive(Debug)]
pub(crate) struct Reply {
    /// For people.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
    /// What failed while the rest was done, as `FILE: reason`; makes the exit code 1.
    pub(crate) failures: Vec<String>,
}

impl Reply {
    /// Everything went well.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, failures: Vec::new() }
    }

    /// Prints, and says how the program ends.
    pub(crate) fn print(self, json: bool) -> ExitCode {
        let text = match json {
            // Indenting a value that was built here cannot fail; its compact form is the way out.
            true => {
                serde_json::to_string_pretty(&self.json).unwrap_or_else(|_| self.json.to_string())
            }
            false => self.text,
        };
        for reason in &self.failures {
            failure::line("error", reason);
        }
        let written = if text.is_empty() {
            Ok(())
        } else {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush())
        };
        match written {
            // A reader such as `head` that has seen enough is no failure of ours.
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                failure::line("error", &format!("cannot write to stdout: {e}"));
                ExitCode::FAILURE
            }
            _ if self.failures.is_empty() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}
