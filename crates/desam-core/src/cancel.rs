//! Cooperative cancellation of long work.

use crate::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that stops long work from another thread.
///
/// Clones share the flag. Long work asks [`Progress::is_cancelled`] between its steps and ends with
/// [`Error::Cancelled`](crate::Error::Cancelled); what is finished by then is kept. A token cannot be
/// reset: create another one for the next piece of work.
///
/// ```
/// use desam_core::{CancellationToken, Error, Progress, Quiet};
///
/// fn long_work(progress: &dyn Progress) -> Result<(), Error> {
///     loop {
///         progress.check_cancelled()?;
///         std::thread::yield_now();
///     }
/// }
///
/// let token = CancellationToken::new();
/// let button = token.clone();
/// std::thread::scope(|scope| {
///     let work = scope.spawn(|| long_work(&token.watch(&Quiet)));
///     button.cancel();
///     assert!(matches!(work.join().unwrap(), Err(Error::Cancelled)));
/// });
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancellationToken {
    cancelled: Arc<AtomicBool>,
}

impl CancellationToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop. Safe to call from any thread, any number of times.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// A [`Progress`] that reports to `progress` and is cancelled when this token is, or when
    /// `progress` itself is.
    pub fn watch<'a>(&self, progress: &'a dyn Progress) -> CancellableProgress<'a> {
        CancellableProgress { token: self.clone(), progress }
    }
}

/// A [`Progress`] with a [`CancellationToken`]; see [`CancellationToken::watch`].
#[derive(Clone)]
pub struct CancellableProgress<'a> {
    token: CancellationToken,
    progress: &'a dyn Progress,
}

impl std::fmt::Debug for CancellableProgress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancellableProgress").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Progress for CancellableProgress<'_> {
    fn begin(&self, task: &str, steps: u64) {
        self.progress.begin(task, steps);
    }

    fn advance(&self, steps: u64, note: &str) {
        self.progress.advance(steps, note);
    }

    fn finish(&self, summary: &str) {
        self.progress.finish(summary);
    }

    fn say(&self, message: &str) {
        self.progress.say(message);
    }

    fn warn(&self, message: &str) {
        self.progress.warn(message);
    }

    fn detail(&self, message: &str) {
        self.progress.detail(message);
    }

    fn is_cancelled(&self) -> bool {
        self.token.is_cancelled() || self.progress.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Quiet};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Record(Mutex<Vec<String>>);

    impl Record {
        fn push(&self, entry: String) {
            self.0.lock().unwrap().push(entry);
        }
    }

    impl Progress for Record {
        fn begin(&self, task: &str, steps: u64) {
            self.push(format!("begin {task} {steps}"));
        }

        fn advance(&self, steps: u64, note: &str) {
            self.push(format!("advance {steps} {note}"));
        }

        fn finish(&self, summary: &str) {
            self.push(format!("finish {summary}"));
        }

        fn say(&self, message: &str) {
            self.push(format!("say {message}"));
        }

        fn warn(&self, message: &str) {
            self.push(format!("warn {message}"));
        }

        fn detail(&self, message: &str) {
            self.push(format!("detail {message}"));
        }
    }

    #[test]
    fn a_watched_progress_forwards_everything() {
        let (token, record) = (CancellationToken::new(), Record::default());
        let progress = token.watch(&record);
        progress.begin("embed", 3);
        progress.advance(1, "a");
        progress.say("b");
        progress.warn("c");
        progress.detail("d");
        progress.finish("e");
        let expected = ["begin embed 3", "advance 1 a", "say b", "warn c", "detail d", "finish e"];
        assert_eq!(*record.0.lock().unwrap(), expected);
    }

    #[test]
    fn either_of_two_nested_tokens_cancels_and_clones_share_the_flag() {
        let (outer, inner) = (CancellationToken::new(), CancellationToken::new());
        let first = inner.watch(&Quiet);
        let both = outer.watch(&first);
        both.check_cancelled().unwrap();
        inner.clone().cancel();
        assert!(matches!(both.check_cancelled(), Err(Error::Cancelled)));
        assert!(!outer.is_cancelled() && inner.is_cancelled());
        assert!(!Quiet.is_cancelled());
    }
}
