//! Progress on stderr: bars with the time left on a terminal, a line now and then elsewhere.

use desam::Progress;
use desam::types::text::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where there is no terminal, a log should not drown in lines.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
/// What is over sooner than this is not worth a line about its end.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loudness {
    /// Nothing.
    Quiet,
    /// Progress and notes.
    Normal,
    /// And how long every part took.
    Verbose,
}

/// Shows progress on stderr.
#[derive(Debug)]
pub(crate) struct Screen {
    loudness: Loudness,
    bars: Option<MultiProgress>,
    /// Work within work, the innermost last.
    tasks: Mutex<Vec<Task>>,
    /// Warnings so far, for the key `warnings` of `--json`.
    warnings: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Task {
    name: String,
    steps: u64,
    done: u64,
    started: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Screen {
    /// Bars where stderr is a terminal, lines where it is not.
    pub(crate) fn new(loudness: Loudness) -> Self {
        let bars = loudness != Loudness::Quiet && std::io::stderr().is_terminal();
        let bars = bars.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { loudness, bars, tasks: Mutex::default(), warnings: Mutex::default() }
    }

    /// The warnings so far, each once, in the order in which they were first given.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        let write = || {
            // Nothing is left to be done where stderr is closed.
            let _ = writeln!(std::io::stderr(), "{}", printable(text));
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

impl Progress for Screen {
    fn begin(&self, task: &str, steps: u64) {
        let now = Instant::now();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(steps).with_style(style()));
            bar.set_prefix(printable(task).into_owned());
            // The clock moves while a single step takes a minute.
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        self.tasks().push(Task {
            name: task.to_owned(),
            steps,
            done: 0,
            started: now,
            told: now,
            bar,
        });
    }

    fn advance(&self, steps: u64, note: &str) {
        let mut tasks = self.tasks();
        let Some(task) = tasks.last_mut() else {
            return;
        };
        task.done = task.done.saturating_add(steps);
        if let Some(bar) = &task.bar {
            bar.inc(steps);
            bar.set_message(printable(note).into_owned());
        } else if self.loudness != Loudness::Quiet && task.told.elapsed() >= BETWEEN_LINES {
            task.told = Instant::now();
            let text = progress_line(task, task.started.elapsed(), note);
            self.line(&text);
        }
    }

    fn finish(&self, summary: &str) {
        let Some(task) = self.tasks().pop() else {
            return;
        };
        if let Some(bar) = &task.bar {
            bar.finish_and_clear();
        }
        let took = task.started.elapsed();
        let worth = took >= WORTH_TELLING || self.loudness == Loudness::Verbose;
        if self.loudness != Loudness::Quiet && worth {
            self.line(&format!("{} ({})", ending(&task.name, summary), duration(took)));
        }
    }

    fn say(&self, message: &str) {
        if self.loudness != Loudness::Quiet {
            self.line(message);
        }
    }

    /// Shown however quiet the program is asked to be; a repeated warning is shown once.
    fn warn(&self, message: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.iter().any(|w| w == message) {
            warnings.push(message.to_owned());
            self.line(&format!("warning: {message}"));
        }
    }

    /// Shown with `-v`.
    fn detail(&self, message: &str) {
        if self.loudness == Loudness::Verbose {
            self.line(message);
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix} {wide_bar:.dim} {pos}/{len} · {elapsed} gone, {eta} left · {msg}";
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

fn progress_line(task: &Task, elapsed: Duration, note: &str) -> String {
    let Task { name, steps, done, .. } = task;
    let percent = if *steps == 0 { 100.0 } else { 100.0 * *done as f64 / *steps as f64 };
    let mut line = format!("{name}: {done}/{steps} ({percent:.0} %)");
    if *done > 0 && done < steps {
        let left = elapsed.as_secs_f64() * (*steps - *done) as f64 / *done as f64;
        // More than a century is no estimate.
        let left = Duration::from_secs_f64(left.min(3.2e9));
        line.push_str(&format!(", about {} left", duration(left)));
    }
    if !note.is_empty() {
        line.push_str(&format!(", {note}"));
    }
    line
}

/// How a task ended; a summary that names the task itself stands alone.
fn ending(name: &str, summary: &str) -> String {
    match summary {
        "" => format!("{name}: done"),
        _ if summary.starts_with(name) => summary.to_owned(),
        _ => format!("{name}: {summary}"),
    }
}

/// A duration for people.
pub(crate) fn duration(d: Duration) -> String {
    let seconds = d.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", d.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(steps: u64, done: u64) -> Task {
        let now = Instant::now();
        Task { name: "embedding".into(), steps, done, started: now, told: now, bar: None }
    }

    #[test]
    fn a_line_says_how_much_is_left() {
        // By hand: 20 of 80 took 30 s, so the other 60 take 90 s.
        let line = progress_line(&task(80, 20), Duration::from_secs(30), "A/Case00");
        assert_eq!(line, "embedding: 20/80 (25 %), about 1 min 30 s left, A/Case00");
        let line = progress_line(&task(80, 80), Duration::from_secs(30), "");
        assert_eq!(line, "embedding: 80/80 (100 %)");
        assert!(progress_line(&task(0, 0), Duration::ZERO, "").contains("100 %"));
        // No overflow where there can be no estimate.
        let line = progress_line(&task(u64::MAX, 1), Duration::from_secs(u32::MAX.into()), "");
        assert!(line.contains("left"), "{line}");
    }

    #[test]
    fn an_end_names_its_task_once() {
        assert_eq!(ending("t2.nii.gz", "t2.nii.gz: 43.0 ml"), "t2.nii.gz: 43.0 ml");
        assert_eq!(ending("training", "best epoch 3"), "training: best epoch 3");
        assert_eq!(ending("training", ""), "training: done");
    }

    #[test]
    fn a_warning_is_kept_once() {
        let screen = Screen::new(Loudness::Quiet);
        for message in ["a", "b", "a"] {
            screen.warn(message);
        }
        assert_eq!(screen.take_warnings(), ["a", "b"]);
        assert!(screen.take_warnings().is_empty());
    }

    #[test]
    fn durations_read_well() {
        let read = |s: f64| duration(Duration::from_secs_f64(s));
        assert_eq!(
            [read(1.25), read(59.0), read(61.0), read(7322.0)],
            ["1.2 s", "59 s", "1 min 1 s", "2 h 2 min"]
        );
    }

    #[test]
    fn the_bars_template_is_valid() {
        let template = "{prefix} {wide_bar:.dim} {pos}/{len} · {elapsed} gone, {eta} left · {msg}";
        assert!(ProgressStyle::with_template(template).is_ok());
    }

    #[test]
    fn more_steps_than_promised_and_an_end_without_a_beginning_do_no_harm() {
        let screen = Screen::new(Loudness::Quiet);
        screen.finish("nothing began");
        screen.advance(3, "nothing began");
        screen.begin("short", 1);
        screen.advance(u64::MAX, "");
        screen.advance(u64::MAX, "");
        screen.finish("");
        assert!(screen.tasks().is_empty());
    }
}
