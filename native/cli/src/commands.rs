//! One file for each command.

pub(crate) mod add;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod evaluate;
pub(crate) mod inspect;
pub(crate) mod merge;
pub(crate) mod verify;

use std::sync::Arc;
use std::thread::available_parallelism;

use faiss_indexer_core::{BuildError, ErrorKind, Extension, Result, start_extension};
use faiss_indexer_storage::Storages;
use serde::Serialize;

use crate::arguments::{ProgressChoice, TaskFlags};
use crate::console;
use crate::interruption::Interruption;
use crate::journal::{Journal, Origin};
use crate::local_build::{LocalBuild, Published, Source};

/// Threads of a task. Core checks the flag before this number is used.
fn threads(flags: &TaskFlags) -> usize {
    let asked = flags.threads.as_ref().and_then(|threads| threads.parse().ok());
    asked.unwrap_or_else(all_threads)
}

fn all_threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// A started build that begins with published indexes.
struct StartedExtension {
    build: LocalBuild,
    trained: String,
    sources: Vec<Source>,
}

fn begin_extension(
    indexes: &[String],
    output: &str,
    overrides: &[(String, String)],
    flags: &TaskFlags,
    progress: ProgressChoice,
    interruption: Arc<Interruption>,
    storages: Storages,
) -> Result<StartedExtension> {
    let Extension { build, trained, rows } = start_extension(indexes, output, overrides, &storages)?;
    let sources = indexes.iter().zip(rows).map(|(index, rows)| Source { directory: index.clone(), rows }).collect();
    // No --resume goes on with it: taking over rows is much faster than encoding them.
    let journal = Journal::create(&build, &Origin::new(), &storages)?;
    let (threads, resumable) = (threads(flags), false);
    let build = LocalBuild { build, journal, interruption, storages, threads, progress, resumable };
    Ok(StartedExtension { build, trained, sources })
}

/// The last line of stdout.
fn print_summary(published: &Published) -> Result<()> {
    let json = published.iter().find(|(key, _)| key == "json").map(|(_, value)| value);
    let json = json.ok_or_else(|| BuildError::new(ErrorKind::Internal, "publishing returned no summary"))?;
    console::answer(&format!("{json}\n"))
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| BuildError::new(ErrorKind::Internal, format!("the answer as JSON: {error}")))
}
