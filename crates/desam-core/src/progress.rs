//! How a library tells how far it is, without printing.

/// Where long work reports to. A program shows a bar; a test or an embedder stays [`Quiet`].
pub trait Progress: Send + Sync {
    /// A piece of work starts: what it is, and how many steps it has.
    fn begin(&self, task: &str, steps: u64);
    /// `steps` more are done; `note` is what is worth showing beside the bar, such as a loss.
    fn advance(&self, steps: u64, note: &str);
    /// The piece of work that began last is over.
    fn finish(&self, summary: &str);
    /// Something to say that is not progress: a size before the start, a file that was skipped.
    fn say(&self, message: &str);
    /// A warning: the work goes on, but its result may not be what the user expects. A program
    /// shows it however quiet it is asked to be, and repeats it in what it prints for programs.
    fn warn(&self, message: &str) {
        self.say(&format!("warning: {message}"));
    }
    /// A detail that most users need not see, such as the name of a file that was set aside.
    fn detail(&self, _message: &str) {}
}

/// Reports to nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _task: &str, _steps: u64) {}
    fn advance(&self, _steps: u64, _note: &str) {}
    fn finish(&self, _summary: &str) {}
    fn say(&self, _message: &str) {}
}
