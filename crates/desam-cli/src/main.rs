//! The `desam` program: reads arguments and the environment, calls the library, prints.
//!
//! Everything that computes lives in `desam`; what is here is what only a program may do.

mod cli;
mod commands;
#[cfg(feature = "hub")]
mod environment;
mod failure;
mod progress;
mod reply;
mod threads;

use clap::Parser;
use std::process::ExitCode;

/// Tensor ops allocate and free megabytes at every step. The system's allocator hands them back and
/// faults them in anew; this one keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let done = threads::configure(cli.shared.threads).and_then(|()| commands::run(&cli));
    match done {
        Ok(reply) => reply.print(cli.command.wants_json()),
        Err(error) => {
            failure::print(&error);
            ExitCode::FAILURE
        }
    }
}
