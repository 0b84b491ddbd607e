//! Ctrl-C (SIGINT): the program prints how to continue, and exits.

use crate::cli::Command;

/// Advice on how to continue; printed after `interrupted: `.
pub(crate) fn advice(command: &Command) -> &'static str {
    match command {
        Command::Embed(_) => "finished slices are kept; run the same command again to continue",
        Command::Train(_) => {
            "the last checkpoint is kept; run the same command with --resume to continue"
        }
        Command::Sweep(a) if a.computes() => {
            "finished lines are kept; run the same command again to continue"
        }
        Command::Predict(_) => {
            "masks written so far are complete; run the same command with --force to segment all \
             volumes again"
        }
        Command::Phantom(_) => {
            "files written so far are complete; run the same command again with --force"
        }
        Command::Demo(_) => {
            "the files written so far stay; choose another --out, or delete them first"
        }
        Command::Evaluate(_) => "nothing was written; run the same command again",
        _ => "no file is incomplete; run the same command again",
    }
}

/// Installs the signal handler. The first Ctrl-C prints `advice` and exits with code 130, the shells'
/// convention of 128 plus the signal number. Files are written atomically, so the program can exit at
/// any time. A second Ctrl-C exits immediately, even if the first is still waiting to print.
///
/// A signal that the parent process has set to be ignored, as shells do for background commands,
/// stays ignored.
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
    // In this order, so that the shutdown sees the flag as it was before this signal: false at the
    // first, true at the second.
    flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&stopping))?;
    flag::register(SIGINT, stopping)?;
    let mut signals = Signals::new([SIGINT])?;
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if signals.forever().next().is_some() {
            // The terminal has echoed ^C at the end of a progress bar: start a new line.
            let start =
                if std::io::stderr().is_terminal() { "\ninterrupted" } else { "interrupted" };
            stderr::line(start, advice);
            low_level::exit(INTERRUPTED);
        }
    })?;
    Ok(())
}

/// On other systems Ctrl-C has its default effect.
#[cfg(not(unix))]
pub(crate) fn install(_: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// Whether the signal is ignored, from `/proc/self/status`; false where there is no such file.
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
    fn an_ignored_signal_is_recognised() {
        // proc(5): a hexadecimal mask whose lowest bit is signal 1. SIGINT is 2.
        assert!(ignored_in("Name:\tdesam\nSigIgn:\t0000000000001002\n", 2));
        assert!(!ignored_in("SigIgn:\t0000000000001000\n", 2));
        assert!(!ignored_in("", 2));
    }
}
