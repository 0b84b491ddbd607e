//! What a command has to say when it is done.

use crate::failure;
use desam::types::text::printable;
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
    /// Warnings that stderr has shown already; the key `warnings` of the JSON.
    pub(crate) warnings: Vec<String>,
}

impl Reply {
    /// Everything went well.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, failures: Vec::new(), warnings: Vec::new() }
    }

    /// Prints, and says how the program ends.
    pub(crate) fn print(mut self, json: bool) -> ExitCode {
        let text = if json {
            self.add_warnings();
            // Indenting a value that was built here cannot fail; its compact form is the fallback.
            serde_json::to_string_pretty(&self.json).unwrap_or_else(|_| self.json.to_string())
        } else {
            printable(&self.text).into_owned()
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

    /// Puts the warnings under the key `warnings` of an object, behind those that it has of its own,
    /// each once.
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
    fn warnings_are_a_key_of_every_object() {
        let with = |json: Value| {
            let mut reply = Reply::new("", json);
            reply.warnings.push("late".into());
            reply.add_warnings();
            reply.json
        };
        assert_eq!(with(json!({"a": 1})), json!({"a": 1, "warnings": ["late"]}));
        assert_eq!(with(json!({"warnings": ["own"]})), json!({"warnings": ["own", "late"]}));
        assert_eq!(with(json!({"warnings": ["late"]})), json!({"warnings": ["late"]}));
        assert_eq!(with(json!([1])), json!([1]));
    }
}
