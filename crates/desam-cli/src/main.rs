//! The `desam` program: reads arguments and the environment, calls the library, prints.
//!
//! Everything that computes lives in `desam`; what is here is what only a program may do.

mod cli;
mod commands;
mod environment;
mod hint;
mod interrupt;
mod memory;
mod output;
mod stderr;
mod terminal;
mod threads;

use anyhow::Context;
use clap::Parser;
use desam::memory::KeepLarge;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Tensor ops allocate and free megabytes at every step; other allocators hand them back and fault
/// them in anew.
#[global_allocator]
static ALLOCATOR: KeepLarge<MiMalloc> = KeepLarge::new(MiMalloc);

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run(&cli) {
        Ok(reply) => reply.print(cli.command.wants_json()),
        Err(error) => stderr::report(&error),
    }
}

fn run(cli: &cli::Cli) -> anyhow::Result<output::Output> {
    environment::identify();
    // First, while there is one thread only.
    threads::configure(cli.shared.threads)?;
    interrupt::install(interrupt::advice(&cli.command)).context("cannot listen for Ctrl-C")?;
    commands::run(cli)
}
