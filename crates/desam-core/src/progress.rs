//! Progress reports of long work, and its cancellation, without printing.

use crate::{Error, Result};

/// Receiver of the progress of long work. A program shows a bar; a test or an embedder stays
/// [`Quiet`].
///
/// Tasks nest: [`begin`](Self::begin) pushes one, [`finish`](Self::finish) pops it, and
/// [`advance`](Self::advance) counts for the innermost. One thread begins and finishes tasks; other
/// threads may report steps and messages in between.
pub trait Progress: Send + Sync {
    /// Starts a task of `steps` steps inside the current one.
    fn begin(&self, task: &str, steps: u64);
    /// Counts `steps` more steps of the current task. `note` is worth showing next to the bar, such
    /// as a loss.
    fn advance(&self, steps: u64, note: &str);
    /// Ends the current task, the one that began last.
    fn finish(&self, summary: &str);
    /// Reports something that is not progress: a size before the start, a file that was skipped.
    fn say(&self, message: &str);
    /// Warns that the work goes on, but its result may not be what the user expects. A program
    /// shows it at every verbosity, and repeats it in its machine-readable output.
    fn warn(&self, message: &str) {
        self.say(&format!("warning: {message}"));
    }
    /// Reports a detail that most users need not see, such as the name of a file that was set aside.
    fn detail(&self, _message: &str) {}
    /// Whether the work should stop. Checked between steps; see
    /// [`CancellationToken`](crate::CancellationToken).
    fn is_cancelled(&self) -> bool {
        false
    }
    /// [`is_cancelled`](Self::is_cancelled) as an error, for `?` between steps.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    fn check_cancelled(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// A [`Progress`] that reports nothing and is never cancelled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _task: &str, _steps: u64) {}
    fn advance(&self, _steps: u64, _note: &str) {}
    fn finish(&self, _summary: &str) {}
    fn say(&self, _message: &str) {}
}
