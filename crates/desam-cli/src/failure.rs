//! Errors on stderr: what failed and why, one line a cause.

use desam::core::text::printable;
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
    if let Some(hint) = error.chain().find_map(hint) {
        said.push_str("\n  hint: ");
        said.push_str(hint);
    }
    said
}

/// The flag that mends an error of the libraries, which know no flags.
fn hint(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    use desam::data::Error;
    let of_data = error.downcast_ref::<Error>();
    let of_data = of_data.or_else(|| match error.downcast_ref::<desam::Error>()? {
        desam::Error::Data(error) => Some(error),
        _ => None,
    });
    match of_data? {
        Error::Case { source, .. } => hint(source.as_ref()),
        Error::SegmentsOverlap { .. } => Some("`info`, `verify` and `embed` take --segment N"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_hint_names_the_flag() {
        let overlap = desam::data::Error::SegmentsOverlap {
            path: "a.dcm".into(),
            first: "1".into(),
            second: "2".into(),
            voxel: [0; 3],
        };
        let case = desam::data::Error::Case {
            site: "A".into(),
            id: "1".into(),
            source: Box::new(overlap),
        };
        let said = explain(&desam::Error::Data(case).into());
        assert!(said.contains("--segment N") && said.contains("overlap"), "{said}");
    }

    #[test]
    fn causes_follow_once_each() {
        let low = std::io::Error::other("the disk is full");
        let error = Err::<(), _>(low).context("cannot write x: the disk is full").unwrap_err();
        assert_eq!(explain(&error), "cannot write x: the disk is full");
        let error = Err::<(), _>(error).context("saving").unwrap_err();
        assert_eq!(explain(&error), "saving\n  because: cannot write x: the disk is full");
    }
}
