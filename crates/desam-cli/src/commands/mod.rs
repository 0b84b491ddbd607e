//! One module per command: its arguments, the call into the library, and its output.

pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod embed;
pub(crate) mod evaluate;
mod flags;
pub(crate) mod info;
mod output_files;
pub(crate) mod parity;
pub(crate) mod phantom;
pub(crate) mod predict;
pub(crate) mod report;
pub(crate) mod sweep;
pub(crate) mod train;
mod values;
pub(crate) mod verify;

use crate::terminal::Terminal;
use desam::candle::Device;
use desam::types::text::path_text;
use desam::{DeviceChoice, Progress};
use std::path::Path;

/// Inputs of a command in addition to its arguments.
#[derive(Debug)]
pub(crate) struct Session {
    /// Progress, notes and warnings.
    pub(crate) terminal: Terminal,
    /// The opened device; the CPU for commands that do not run a model.
    pub(crate) device: Device,
    /// The device as given by `--device` or `DESAM_DEVICE`.
    pub(crate) choice: DeviceChoice,
}

impl Session {
    /// Prints a message with `-v` only.
    fn detail(&self, message: &str) {
        self.terminal.detail(message);
    }
}

/// A path as a JSON string. The bytes of a name that is not UTF-8 are escaped, so the path can be
/// recovered exactly.
fn json_path(path: &Path) -> serde_json::Value {
    path_text(path).into()
}

/// Formats rows as lines of `name  value`, with the values in one column.
fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| format!("{name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_in_one_column() {
        assert_eq!(aligned(&[("a", "1".into()), ("bcd", "2".into())]), "a    1\nbcd  2");
    }
}
