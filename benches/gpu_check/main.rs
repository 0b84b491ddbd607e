//! `gpu-check`: whether a GPU computes what the CPU computes, and how fast next to PyTorch.
//!
//! It needs no files: weights and inputs are made here. `scripts/gpu-check` runs it.
#![allow(clippy::print_stderr, reason = "a program, which says what is wrong")]

/// The program's.
#[path = "../../crates/desam-cli/src/allocator.rs"]
mod allocator;
mod arguments;
mod case;
mod distance;
mod gauge;
mod models;
mod ops;
mod report;
mod times;

use allocator::CachingAllocator;
use arguments::{Arguments, USAGE};
use desam::candle::DType;
use gauge::TargetDevice;
use mimalloc::MiMalloc;
use report::Report;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

/// As the `desam` program does: the host's half of a prediction is part of what is timed.
#[global_allocator]
static ALLOCATOR: CachingAllocator<MiMalloc> = CachingAllocator::new(MiMalloc);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(why) => return refuse(&why),
    };
    let target = match TargetDevice::open(&arguments.device) {
        Ok(target) => target,
        Err(why) => return refuse(&why.to_string()),
    };
    match run(&arguments, &target) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("gpu-check: {why}");
            ExitCode::from(1)
        }
    }
}

/// Nothing was checked.
fn refuse(why: &str) -> ExitCode {
    eprintln!("gpu-check: {why}");
    ExitCode::from(2)
}

/// What there is to check, and whether all of it agrees.
fn run(arguments: &Arguments, target: &TargetDevice) -> Result<bool> {
    let begin = Instant::now();
    let mut report = Report::new(target.describe()?);
    say(&report.device());
    if arguments.parity {
        // What candle's bf16 is on a CPU says nothing about a GPU.
        // Nor are products that a CPU sums in f16, as candle's are, what a GPU makes of them.
        let types: &[DType] = match (target.is_processor(), target.emulated) {
            (true, _) => &[DType::F32],
            (false, true) => &[DType::F32, DType::BF16],
            (false, false) => &[DType::F32, DType::BF16, DType::F16],
        };
        for case in ops::all(arguments.quick).iter().filter(|c| arguments.wants(c.op())) {
            for &dtype in types {
                report.parity(case.check(dtype, target));
            }
        }
        models::check(arguments, target, &mut report)?;
        say(&report.parity_table());
        save(arguments, &report)?;
    }
    if arguments.times {
        times::all(arguments, &target.device, &mut report, begin)?;
        say(&report.times_table());
    }
    report.seconds = begin.elapsed().as_secs_f64();
    say(&report.summary());
    save(arguments, &report)?;
    Ok(report.passed())
}

/// With an empty line behind it. The reader may have closed the pipe.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}\n");
}

fn save(arguments: &Arguments, report: &Report) -> Result<()> {
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(report)?;
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}
