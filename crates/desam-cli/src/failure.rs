//! Errors on stderr: what failed and why, one line a cause.

use desam::types::text::printable;
use std::io::Write;
use std::process::ExitCode;

/// Prints an error with its causes, and says how the program ends. A cause whose words the line above
/// already holds is left out: many errors quote their source. Where a flag helps, a hint names it.
pub(crate) fn print(error: &anyhow::Error) -> ExitCode {
    line("error", &explain(error));
    if let Some(hint) = crate::hint::hint(error) {
        line("hint", hint);
    }
    ExitCode::FAILURE
}

/// One line on stderr, without anything that a terminal would obey: names come from files. Nothing is
/// left to be done where even that fails.
pub(crate) fn line(kind: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{kind}: {}", printable(text));
}

fn explain(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            said.push_str("\n  because: ");
            said.push_str(&cause);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_follow_once_each() {
        let low = std::io::Error::other("the disk is full");
        let error = Err::<(), _>(low).context("cannot write x: the disk is full").unwrap_err();
        assert_eq!(explain(&error), "cannot write x: the disk is full");
        let error = Err::<(), _>(error).context("saving").unwrap_err();
        assert_eq!(explain(&error), "saving\n  because: cannot write x: the disk is full");
    }
}
