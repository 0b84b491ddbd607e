//! Ends the process when one input takes too long: a loop without end cannot be caught otherwise.

use std::io::Write;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// The input under examination, and since when.
type Current = Mutex<Option<(Instant, String)>>;

/// Watches the inputs of one loop for as long as it lives.
pub(crate) struct Watchdog(Arc<Current>);

impl Watchdog {
    pub(crate) fn start(longest: Duration) -> Self {
        let current = Arc::new(Current::default());
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || watch(&watched, longest));
        Self(current)
    }

    pub(crate) fn begin(&self, what: &str) {
        *self.0.lock().unwrap() = Some((Instant::now(), what.to_owned()));
    }

    pub(crate) fn end(&self) {
        *self.0.lock().unwrap() = None;
    }
}

fn watch(watched: &Weak<Current>, longest: Duration) {
    while let Some(current) = watched.upgrade() {
        if let Some((since, what)) = &*current.lock().unwrap()
            && since.elapsed() > longest
        {
            // Not `eprintln`, which the test harness would capture and lose.
            let _ = writeln!(std::io::stderr(), "took more than {longest:?}: {what}");
            std::process::abort();
        }
        drop(current);
        std::thread::sleep(Duration::from_millis(100));
    }
}
