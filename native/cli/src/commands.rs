//! One file for each command.

pub(crate) mod add;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod evaluate;
pub(crate) mod inspect;
pub(crate) mod merge;
pub(crate) mod verify;

use std::thread::available_parallelism;

use faiss_indexer_core::{BuildError, ErrorKind, Result};

use crate::arguments::TaskFlags;
use crate::console;
use crate::local_build::Published;

/// Threads of a task. Core checks the flag before this number is used.
fn threads(flags: &TaskFlags) -> usize {
    let asked = flags.threads.as_ref().and_then(|threads| threads.parse().ok());
    asked.unwrap_or_else(|| available_parallelism().map_or(1, usize::from))
}

/// The last line of stdout.
fn print_summary(published: &Published) -> Result<()> {
    let json = published.iter().find(|(key, _)| key == "json").map(|(_, value)| value);
    let json = json.ok_or_else(|| BuildError::new(ErrorKind::Internal, "publishing returned no summary"))?;
    console::answer(&format!("{json}\n"))
}
