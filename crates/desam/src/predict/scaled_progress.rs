//! Progress of one volume, scaled to a fixed share of a whole.

use desam_core::Progress;
use std::sync::{Mutex, PoisonError};

/// Reports a volume's slices as a fixed number of steps of a folder's progress, whatever the number
/// of slices, so that the time left can be estimated before all volumes are read.
pub(super) struct ScaledProgress<'a> {
    whole: &'a dyn Progress,
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: u64,
    done: u64,
    /// Steps of the whole that were reported.
    reported: u64,
}

impl<'a> ScaledProgress<'a> {
    /// Steps of the whole for a volume.
    pub(super) const STEPS: u64 = 1000;

    pub(super) fn new(whole: &'a dyn Progress, name: String) -> Self {
        Self { whole, name, state: Mutex::default() }
    }

    fn report(&self, change: impl FnOnce(&mut State), note: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let now = (Self::STEPS * state.done.min(state.total)).checked_div(state.total).unwrap_or(0);
        let steps = now.saturating_sub(state.reported);
        state.reported += steps;
        if steps > 0 {
            self.whole.advance(steps, &format!("{} {note}", self.name));
        }
    }

    /// Reports the rest of a volume that has ended, with or without an error.
    pub(super) fn complete(&self) {
        self.report(|state| (state.total, state.done) = (1, 1), "");
    }
}

impl Progress for ScaledProgress<'_> {
    fn begin(&self, _task: &str, steps: u64) {
        self.report(|state| state.total = steps, "");
    }

    fn advance(&self, steps: u64, note: &str) {
        self.report(|state| state.done += steps, note);
    }

    fn finish(&self, _summary: &str) {}

    fn say(&self, message: &str) {
        self.whole.say(message);
    }

    fn warn(&self, message: &str) {
        self.whole.warn(message);
    }

    fn detail(&self, message: &str) {
        self.whole.detail(message);
    }

    fn is_cancelled(&self) -> bool {
        self.whole.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count(Mutex<u64>);

    impl Progress for Count {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, steps: u64, _: &str) {
            *self.0.lock().unwrap() += steps;
        }
        fn finish(&self, _: &str) {}
        fn say(&self, _: &str) {}
    }

    #[test]
    fn every_volume_counts_the_same() {
        for (slices, advanced) in [(19, 19), (3, 1), (7, 9), (0, 0)] {
            let whole = Count::default();
            let scaled = ScaledProgress::new(&whole, "a".into());
            scaled.begin("a", slices);
            (0..advanced).for_each(|_| scaled.advance(1, ""));
            assert!(*whole.0.lock().unwrap() <= ScaledProgress::STEPS);
            scaled.complete();
            assert_eq!(*whole.0.lock().unwrap(), ScaledProgress::STEPS, "{slices} {advanced}");
        }
    }
}
