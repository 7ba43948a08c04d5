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

use faiss_indexer_core::{
    BuildError, ErrorKind, Extension, Result, build_info, finish_publication, inspect, interrupted_publication,
    start_extension,
};
use faiss_indexer_storage::Storages;
use log::info;
use serde::Serialize;

use crate::arguments::{ProgressChoice, TaskFlags};
use crate::console;
use crate::interruption::Interruption;
use crate::journal::{COMMAND, Header, Journal, Origin};
use crate::local_build::{LocalBuild, Published, Source};

/// Threads of a task. Core checks the flag before this number is used.
fn threads(flags: &TaskFlags) -> usize {
    let asked = flags.threads.as_ref().and_then(|threads| threads.parse().ok());
    asked.unwrap_or_else(all_threads)
}

fn all_threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// A publication that another process began, and that is finished.
struct Finished {
    /// What its build was made of, if a journal tells.
    header: Option<Header>,
    published: Published,
}

/// Finishes the publication into `output` that was interrupted, if there is one and all of its files are there.
fn finish_interrupted(output: &str, storages: &Storages) -> Result<Option<Finished>> {
    let Some(directory) = interrupted_publication(output, storages)? else { return Ok(None) };
    let header = Header::of_build(&directory, storages)?;
    match finish_publication(output, storages) {
        Ok(published) => Ok(published.map(|published| Finished { header, published })),
        // It counts where the output is needed, and not where it is replaced.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::CorruptFile) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Finished {
    fn is_of_build(&self, spec: &[(String, String)], origin: &Origin, output: &str) -> bool {
        self.header.as_ref().is_some_and(|header| header.adopt(spec, origin, output).is_ok())
    }

    fn is_of_extension(&self, origin: &Origin) -> bool {
        self.header.as_ref().is_some_and(|header| header.origin == *origin)
    }

    /// Ends the command that was given again.
    fn answer(&self) -> Result<()> {
        info!("the same command was stopped while it published, which is done");
        print_summary(&self.published)
    }
}

/// What a command makes of published indexes.
struct ExtensionRequest<'a> {
    command: &'static str,
    indexes: &'a [String],
    output: &'a str,
    overrides: &'a [(String, String)],
}

impl ExtensionRequest<'_> {
    /// Tells it from other commands. An index that the output replaces is whatever was there.
    fn origin(&self, storages: &Storages) -> Result<Origin> {
        let Self { command, indexes, output, overrides } = *self;
        let real_path = |directory: &str| storages.local_path(directory).and_then(|path| path.canonicalize().ok());
        // Only a local directory has other names that can be looked up here.
        let is_output = |index: &str| match (real_path(index), real_path(output)) {
            (Some(index), Some(output)) => index == output,
            _ => index.trim_end_matches('/') == output.trim_end_matches('/'),
        };
        let mut identities = Vec::new();
        for index in indexes {
            if is_output(index) {
                identities.push("the output".to_owned());
            } else {
                let manifest = inspect(index, storages)?.manifest;
                identities.push(manifest.map(|manifest| manifest["manifestSha256"].to_string()).unwrap_or_default());
            }
        }
        let settings: Vec<String> = overrides.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Ok(Origin::from([
            (COMMAND.to_owned(), command.to_owned()),
            ("version".to_owned(), build_info()),
            ("indexes".to_owned(), identities.join(" ")),
            ("settings".to_owned(), settings.join(" ")),
        ]))
    }
}

/// A started build that begins with published indexes.
struct StartedExtension {
    build: LocalBuild,
    trained: String,
    sources: Vec<Source>,
}

fn begin_extension(
    request: &ExtensionRequest,
    origin: &Origin,
    flags: &TaskFlags,
    progress: ProgressChoice,
    interruption: Arc<Interruption>,
    storages: Storages,
) -> Result<StartedExtension> {
    let ExtensionRequest { indexes, output, overrides, .. } = *request;
    let Extension { build, trained, rows } = start_extension(indexes, output, overrides, &storages)?;
    let sources = indexes.iter().zip(rows).map(|(index, rows)| Source { directory: index.clone(), rows }).collect();
    let journal = Journal::create(&build, origin, &storages)?;
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
