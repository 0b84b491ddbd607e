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

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(&cli) {
        Ok(reply) => reply.print(cli.command.wants_json(), cli.shared.quiet),
        Err(error) => {
            failure::print(&error);
            ExitCode::FAILURE
        }
    }
}
