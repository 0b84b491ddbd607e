//! Progress on stderr: bars with the remaining time on a terminal, periodic lines elsewhere.

use desam::Progress;
use desam::types::text::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Minimum interval between progress lines where stderr is not a terminal, to keep logs short.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// A task that took less than this gets no closing line, unless `-v` is given.
const MIN_REPORTED_DURATION: Duration = Duration::from_secs(2);

/// Verbosity of the output on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// `-q`: warnings and errors only.
    Quiet,
    /// Also progress and notes.
    Normal,
    /// `-v`: also the settings and the duration of each step.
    Verbose,
}

/// Progress, notes and warnings on stderr.
#[derive(Debug)]
pub(crate) struct Terminal {
    verbosity: Verbosity,
    bars: Option<MultiProgress>,
    /// Stack of nested tasks, the innermost last.
    tasks: Mutex<Vec<Task>>,
    /// Warnings so far: the key `warnings` of `--json`, and a filter for duplicates.
    warnings: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Task {
    name: String,
    steps: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Uses bars where stderr is a terminal, lines where it is not.
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        let bars = verbosity != Verbosity::Quiet && std::io::stderr().is_terminal();
        let bars = bars.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { verbosity, bars, tasks: Mutex::default(), warnings: Mutex::default() }
    }

    /// Removes and returns the warnings so far, without duplicates, in order.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        let write = || {
            // If stderr is closed there is nowhere left to report it.
            let _ = writeln!(std::io::stderr(), "{}", printable(text));
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

impl Progress for Terminal {
    fn begin(&self, task: &str, steps: u64) {
        let now = Instant::now();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(steps).with_style(style()));
            bar.set_prefix(printable(task).into_owned());
            // Keeps the clock running during a step of minutes.
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        self.tasks().push(Task {
            name: task.to_owned(),
            steps,
            done: 0,
            started: now,
            last_line: now,
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
        } else if self.verbosity != Verbosity::Quiet && task.last_line.elapsed() >= LINE_INTERVAL {
            task.last_line = Instant::now();
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
        let report = took >= MIN_REPORTED_DURATION || self.verbosity == Verbosity::Verbose;
        if self.verbosity != Verbosity::Quiet && report {
            self.line(&format!("{} ({})", closing_line(&task.name, summary), duration(took)));
        }
    }

    fn say(&self, message: &str) {
        if self.verbosity != Verbosity::Quiet {
            self.line(message);
        }
    }

    /// Printed even with `-q`. A repeated warning is printed once.
    fn warn(&self, message: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.iter().any(|w| w == message) {
            warnings.push(message.to_owned());
            self.line(&format!("warning: {message}"));
        }
    }

    /// Printed with `-v` only.
    fn detail(&self, message: &str) {
        if self.verbosity == Verbosity::Verbose {
            self.line(message);
        }
    }
}

const BAR_TEMPLATE: &str =
    "{prefix} {wide_bar:.dim} {pos}/{len} · {elapsed} elapsed, {eta} left · {msg}";

fn style() -> ProgressStyle {
    ProgressStyle::with_template(BAR_TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

/// A progress line: `NAME: DONE/STEPS (P %), about T left, NOTE`.
fn progress_line(task: &Task, elapsed: Duration, note: &str) -> String {
    let Task { name, steps, done, .. } = task;
    let percent = if *steps == 0 { 100.0 } else { 100.0 * *done as f64 / *steps as f64 };
    let mut line = format!("{name}: {done}/{steps} ({percent:.0} %)");
    if *done > 0 && done < steps {
        let left = elapsed.as_secs_f64() * (*steps - *done) as f64 / *done as f64;
        // At most a century: from_secs_f64 panics on overflow.
        let left = Duration::from_secs_f64(left.min(3.2e9));
        line.push_str(&format!(", about {} left", duration(left)));
    }
    if !note.is_empty() {
        line.push_str(&format!(", {note}"));
    }
    line
}

/// Closing line of a task. A summary that already starts with the task's name is used alone.
fn closing_line(name: &str, summary: &str) -> String {
    match summary {
        "" => format!("{name}: done"),
        _ if summary.starts_with(name) => summary.to_owned(),
        _ => format!("{name}: {summary}"),
    }
}

/// Formats a duration, such as `2 h 2 min`.
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
        Task { name: "embedding".into(), steps, done, started: now, last_line: now, bar: None }
    }

    #[test]
    fn a_progress_line_estimates_the_remaining_time() {
        // By hand: 20 of 80 took 30 s, so the other 60 take 90 s.
        let line = progress_line(&task(80, 20), Duration::from_secs(30), "A/Case00");
        assert_eq!(line, "embedding: 20/80 (25 %), about 1 min 30 s left, A/Case00");
        let line = progress_line(&task(80, 80), Duration::from_secs(30), "");
        assert_eq!(line, "embedding: 80/80 (100 %)");
        assert!(progress_line(&task(0, 0), Duration::ZERO, "").contains("100 %"));
        // An estimate beyond any duration does not overflow.
        let line = progress_line(&task(u64::MAX, 1), Duration::from_secs(u32::MAX.into()), "");
        assert!(line.contains("left"), "{line}");
    }

    #[test]
    fn a_closing_line_names_its_task_once() {
        assert_eq!(closing_line("t2.nii.gz", "t2.nii.gz: 43.0 ml"), "t2.nii.gz: 43.0 ml");
        assert_eq!(closing_line("training", "best epoch 3"), "training: best epoch 3");
        assert_eq!(closing_line("training", ""), "training: done");
    }

    #[test]
    fn a_repeated_warning_is_recorded_once() {
        let terminal = Terminal::new(Verbosity::Quiet);
        for message in ["a", "b", "a"] {
            terminal.warn(message);
        }
        assert_eq!(terminal.take_warnings(), ["a", "b"]);
        assert!(terminal.take_warnings().is_empty());
    }

    #[test]
    fn durations_are_formatted_by_their_size() {
        let read = |s: f64| duration(Duration::from_secs_f64(s));
        assert_eq!(
            [read(1.25), read(59.0), read(61.0), read(7322.0)],
            ["1.2 s", "59 s", "1 min 1 s", "2 h 2 min"]
        );
    }

    #[test]
    fn the_bar_template_is_valid() {
        assert!(ProgressStyle::with_template(BAR_TEMPLATE).is_ok());
    }

    #[test]
    fn unbalanced_calls_and_too_many_steps_are_tolerated() {
        let terminal = Terminal::new(Verbosity::Quiet);
        terminal.finish("nothing began");
        terminal.advance(3, "nothing began");
        terminal.begin("short", 1);
        terminal.advance(u64::MAX, "");
        terminal.advance(u64::MAX, "");
        terminal.finish("");
        assert!(terminal.tasks().is_empty());
    }
}
