//! The result of a command, on stdout.

use crate::stderr;
use desam::types::text::printable;
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;

/// The result of a command, as text and as JSON.
#[derive(Debug)]
pub(crate) struct Output {
    /// Printed without `--json`.
    pub(crate) text: String,
    /// Printed with `--json`.
    pub(crate) json: Value,
    /// Failures of single files while the rest succeeded, as `FILE: reason`. Not empty: exit code
    /// 1.
    pub(crate) failures: Vec<String>,
    /// Warnings that were already printed on stderr; the JSON repeats them under `warnings`.
    pub(crate) warnings: Vec<String>,
}

impl Output {
    /// A result without failures.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, failures: Vec::new(), warnings: Vec::new() }
    }

    /// Prints the result on stdout and the failures on stderr. Returns the exit code.
    pub(crate) fn print(mut self, json: bool) -> ExitCode {
        let text = if json {
            self.add_warnings();
            // Cannot fail: the value was built in memory and its keys are strings.
            serde_json::to_string_pretty(&self.json).unwrap_or_else(|_| self.json.to_string())
        } else {
            printable(&self.text).into_owned()
        };
        for reason in &self.failures {
            stderr::line("error", reason);
        }
        let written = if text.is_empty() {
            Ok(())
        } else {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush())
        };
        match written {
            // A closed pipe is not an error: a reader such as `head` has read what it wanted.
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                stderr::line("error", &format!("cannot write to stdout: {e}"));
                ExitCode::FAILURE
            }
            _ if self.failures.is_empty() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }

    /// Appends the warnings to the key `warnings` of a JSON object, which may hold some already.
    /// Duplicates are dropped.
    fn add_warnings(&mut self) {
        let Value::Object(fields) = &mut self.json else {
            return;
        };
        let own = fields.entry("warnings").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(own) = own {
            for warning in self.warnings.drain(..).map(Value::String) {
                if !own.contains(&warning) {
                    own.push(warning);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_json_object_gets_the_key_warnings() {
        let with = |json: Value| {
            let mut output = Output::new("", json);
            output.warnings.push("late".into());
            output.add_warnings();
            output.json
        };
        assert_eq!(with(json!({"a": 1})), json!({"a": 1, "warnings": ["late"]}));
        assert_eq!(with(json!({"warnings": ["own"]})), json!({"warnings": ["own", "late"]}));
        assert_eq!(with(json!({"warnings": ["late"]})), json!({"warnings": ["late"]}));
        assert_eq!(with(json!([1])), json!([1]));
    }
}
