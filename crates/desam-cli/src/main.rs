//! The `desam` program: parses arguments, reads the environment, calls the library and prints.
//!
//! All computation is in the library. Only the program prints, exits, and reads the environment and
//! the clock.

mod allocator;
mod cli;
mod commands;
mod dispatch;
mod environment;
mod hint;
mod interrupt;
mod memory;
mod output;
mod stderr;
mod terminal;
mod threads;
mod usage;

use allocator::CachingAllocator;
use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Caches large blocks. Tensor ops allocate and free megabytes at every step; the system allocator
/// returns them to the kernel and page-faults them in again.
#[global_allocator]
static ALLOCATOR: CachingAllocator<MiMalloc> = CachingAllocator::new(MiMalloc);

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run(&cli) {
        Ok(output) => output.print(cli.command.wants_json()),
        Err(error) => stderr::report(&error),
    }
}

fn run(cli: &cli::Cli) -> anyhow::Result<output::Output> {
    environment::identify();
    // Before any other thread starts: this changes the environment.
    threads::configure(cli.global.threads)?;
    interrupt::install(interrupt::advice(&cli.command)).context("cannot listen for Ctrl-C")?;
    dispatch::run(cli)
}
