//! Ctrl-C: the program says how to continue, and ends.

use crate::cli::Command;

/// What is said after `interrupted: `.
pub(crate) fn advice(command: &Command) -> &'static str {
    match command {
        Command::Embed(_) => {
            "what is embedded is kept; give the same command again, and it continues"
        }
        Command::Train(_) => {
            "the last checkpoint is kept; continue with the same command and --resume"
        }
        Command::Sweep(a) if a.computes() => {
            "lines that are done are kept; give the same command again, and it continues"
        }
        Command::Predict(_) => {
            "masks that are written are whole; the same command with --force does all again, masks \
             that are there included"
        }
        Command::Phantom(_) => {
            "files that are written are whole; give the same command again with --force"
        }
        Command::Demo(_) => {
            "what is written so far stays; choose another --out, or remove it first"
        }
        Command::Evaluate(_) => "nothing was written; give the same command again",
        _ => "no file was left half written; give the same command again",
    }
}

/// From now on the first Ctrl-C prints `advice` and ends the program with 130, which is 128 and the
/// signal's number, as shells have it. Files are written in one step, so no moment is a bad one. A
/// second Ctrl-C ends it at once, whatever the first is waiting for.
///
/// Where the signal is ignored, as by a shell for a command in its background, it stays so.
#[cfg(unix)]
pub(crate) fn install(advice: &'static str) -> std::io::Result<()> {
    use crate::stderr;
    use signal_hook::consts::SIGINT;
    use signal_hook::{flag, iterator::Signals, low_level};
    use std::io::IsTerminal;
    use std::sync::{Arc, atomic::AtomicBool};

    /// The exit code.
    const INTERRUPTED: i32 = 128 + SIGINT;

    if is_ignored(SIGINT) {
        return Ok(());
    }
    let stopping = Arc::new(AtomicBool::new(false));
    // In this order: the flag is set by the first signal and looked at by the second.
    flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&stopping))?;
    flag::register(SIGINT, stopping)?;
    let mut signals = Signals::new([SIGINT])?;
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if signals.forever().next().is_some() {
            // The terminal has echoed ^C behind a progress bar.
            let start =
                if std::io::stderr().is_terminal() { "\ninterrupted" } else { "interrupted" };
            stderr::line(start, advice);
            low_level::exit(INTERRUPTED);
        }
    })?;
    Ok(())
}

/// Elsewhere Ctrl-C ends the program as the system has it.
#[cfg(not(unix))]
pub(crate) fn install(_: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// Whether this process ignores a signal, where the system says so.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status, signal)
}

#[cfg(unix)]
fn ignored_in(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_seen() {
        // proc(5): a mask in hexadecimal, the lowest bit of which is signal 1. SIGINT is 2.
        assert!(ignored_in("Name:\tdesam\nSigIgn:\t0000000000001002\n", 2));
        assert!(!ignored_in("SigIgn:\t0000000000001000\n", 2));
        assert!(!ignored_in("", 2));
    }
}
