//! Progress over many volumes.

use desam_core::Progress;
use std::sync::{Mutex, PoisonError};

/// One volume's share of a folder's progress: the same for every volume, however many slices it
/// turns out to have, so that the time left can be told before all are read.
pub(super) struct Share<'a> {
    whole: &'a dyn Progress,
    name: String,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    of: u64,
    done: u64,
    passed_on: u64,
}

impl<'a> Share<'a> {
    /// Steps of the whole that a volume is worth.
    pub(super) const STEPS: u64 = 1000;

    pub(super) fn new(whole: &'a dyn Progress, name: String) -> Self {
        Self { whole, name, told: Mutex::default() }
    }

    fn pass_on(&self, change: impl FnOnce(&mut Told), note: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut told);
        let now = (Self::STEPS * told.done.min(told.of)).checked_div(told.of).unwrap_or(0);
        let steps = now.saturating_sub(told.passed_on);
        told.passed_on += steps;
        if steps > 0 {
            self.whole.advance(steps, &format!("{} {note}", self.name));
        }
    }

    /// What is left of a volume that ended, well or not.
    pub(super) fn complete(&self) {
        self.pass_on(|told| (told.of, told.done) = (1, 1), "");
    }
}

impl Progress for Share<'_> {
    fn begin(&self, _task: &str, steps: u64) {
        self.pass_on(|told| told.of = steps, "");
    }

    fn advance(&self, steps: u64, note: &str) {
        self.pass_on(|told| told.done += steps, note);
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
    fn every_volume_is_worth_the_same() {
        for (slices, advanced) in [(19, 19), (3, 1), (7, 9), (0, 0)] {
            let whole = Count::default();
            let share = Share::new(&whole, "a".into());
            share.begin("a", slices);
            (0..advanced).for_each(|_| share.advance(1, ""));
            assert!(*whole.0.lock().unwrap() <= Share::STEPS);
            share.complete();
            assert_eq!(*whole.0.lock().unwrap(), Share::STEPS, "{slices} {advanced}");
        }
    }
}
