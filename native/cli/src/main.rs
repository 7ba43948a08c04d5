//! The program `faiss-indexer`: the same core as inside a JVM, over the rows of files. It reads arguments, runs the
//! stages of a build one after another on this machine, and shows how far they are; everything else is decided below.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests report by panicking"))]

mod arguments;
mod commands;
mod console;
#[cfg(test)]
mod documented_commands;
mod interruption;
mod journal;
mod local_build;
mod own_process;
mod progress;
mod rows;
mod spelling;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use faiss_indexer_core::{BuildError, ErrorKind};

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let command = match spelling::with_defaults(Arguments::command()) {
        Ok(command) => command,
        Err(error) => return failed(&error),
    };
    let words = std::env::args_os().map(spelling::with_dashes);
    let matches = command.clone().try_get_matches_from(words);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        // Prints help and version to stdout with exit code 0, everything else to stderr with exit code 2.
        Err(error) => spelling::with_nearest_flag(error, &command).exit(),
    };
    let done = match &arguments.command {
        Command::Build(flags) => commands::build::run(flags),
        Command::Add(flags) => commands::add::run(flags),
        Command::Merge(flags) => commands::merge::run(flags),
        Command::Inspect(flags) => commands::inspect::run(flags),
        Command::Verify(flags) => commands::verify::run(flags),
        Command::Evaluate(flags) => commands::evaluate::run(flags),
        Command::Completions(flags) => commands::completions::run(flags, command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Says what went wrong. A spec that cannot be built is 2, as for every front end, Ctrl-C is 130, the rest is 1.
fn failed(error: &BuildError) -> ExitCode {
    console::say(&format!("error: {error}"));
    ExitCode::from(match error.kind() {
        ErrorKind::InvalidSpec | ErrorKind::AlreadyExists => 2,
        ErrorKind::Cancelled => interruption::EXIT_CODE,
        _ => 1,
    })
}
