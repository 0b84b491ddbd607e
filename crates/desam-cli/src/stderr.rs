//! Error messages on stderr.

use crate::usage::UsageError;
use desam::types::text::printable;
use std::io::Write;
use std::process::ExitCode;

/// Exit code of usage errors; clap uses the same.
const USAGE: u8 = 2;

/// Prints an error with its causes and, where a flag helps, a hint. Returns the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    line("error", &explain(error));
    if let Some(hint) = crate::hint::hint(error) {
        line("hint", hint);
    }
    if error.is::<UsageError>() {
        // clap's words, for usage errors that clap does not find.
        let _ = writeln!(std::io::stderr(), "\nFor more information, try '--help'.");
        return ExitCode::from(USAGE);
    }
    ExitCode::FAILURE
}

/// Writes `kind: text` to stderr. Control characters are escaped, because file names may hold
/// sequences that a terminal would execute. A failure to write is ignored: there is nowhere left to
/// report it.
pub(crate) fn line(kind: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{kind}: {}", printable(text));
}

/// The error followed by its causes. Skips a cause that the text already quotes, since many errors
/// include the message of their source.
fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str("\n  caused by: ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn each_cause_is_printed_once() {
        let low = std::io::Error::other("the disk is full");
        let error = Err::<(), _>(low).context("cannot write x: the disk is full").unwrap_err();
        assert_eq!(explain(&error), "cannot write x: the disk is full");
        let error = Err::<(), _>(error).context("saving").unwrap_err();
        assert_eq!(explain(&error), "saving\n  caused by: cannot write x: the disk is full");
    }
}
