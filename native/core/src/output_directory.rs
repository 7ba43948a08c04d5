//! The directory that a build publishes into: what it may hold before.

use std::path::PathBuf;

use faiss_indexer_storage::{Storages, join};
use log::warn;

use crate::build_context::{MANIFEST_NAME, REPORT_NAME, SUCCESS_NAME, TEMPORARY_NAME, is_shard_directory};
use crate::error::{BuildError, ErrorKind, Result};
use crate::index_filename::index_filename_in;
use crate::publication::finish_publication;
use crate::spec::IndexSpec;

/// What a directory below an output is taken for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Below {
    Shard,
    Group,
}

impl Below {
    /// Whether an index of that kind may have it; a group is the output of a build of its own.
    fn has(self, name: &str, index: &str) -> bool {
        let of_index = [index, MANIFEST_NAME, REPORT_NAME, SUCCESS_NAME].contains(&name);
        of_index || self.has_directory(name)
    }

    fn has_directory(self, name: &str) -> bool {
        matches!(self, Self::Group) && (name == TEMPORARY_NAME || is_shard_directory(name))
    }

    fn why(self) -> &'static str {
        match self {
            Self::Shard => "has the name of a shard, which publishing above it would remove",
            Self::Group => "lies where groups have their indexes and nothing else may be",
        }
    }
}

/// Finishes what another process began to publish into `output`, and refuses an output that cannot be published into.
pub(crate) fn prepare_output(spec: &IndexSpec, output: &str, storages: &Storages) -> Result<()> {
    match finish_publication(output, storages) {
        // What is to be replaced need not be whole.
        Err(error) if spec.overwrite && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::CorruptFile) => {
            warn!("{error}");
        }
        finished => drop(finished?),
    }
    refuse_taken_output(spec, output, storages)
}

/// Refuses to replace a finished index unasked, and to remove anything else at all.
pub(crate) fn refuse_taken_output(spec: &IndexSpec, output: &str, storages: &Storages) -> Result<()> {
    let storage = storages.resolve(output)?;
    if !spec.overwrite {
        if storage.stat(&join(output, SUCCESS_NAME))?.is_some() {
            return Err(finished(output));
        }
        let index = join(output, &spec.index_filename);
        if storage.stat(&index)?.is_some() && storage.stat(&join(output, MANIFEST_NAME))?.is_none() {
            let message = format!("{index} is there, and no {MANIFEST_NAME} beside it; overwrite=true replaces it");
            return Err(BuildError::new(ErrorKind::AlreadyExists, message));
        }
    }
    for name in shard_directories(output, storages)? {
        // Publishing removes directories that have the names of shards.
        refuse_taken_directory(spec, &join(output, &name), Below::Shard, storages)?;
    }
    Ok(())
}

/// What publishing may remove below an output must be an index and nothing else.
pub(crate) fn refuse_taken_directory(
    spec: &IndexSpec,
    directory: &str,
    below: Below,
    storages: &Storages,
) -> Result<()> {
    let storage = storages.resolve(directory)?;
    let index = index_filename_in(directory, storages)?;
    let (mut foreign, mut is_finished) = (None, false);
    for child in storage.list(directory)? {
        let name = last_name(&child);
        is_finished |= name == SUCCESS_NAME;
        let is_directory = storage.stat(&child)?.is_some_and(|status| status.is_directory);
        if !below.has(name, &index) || is_directory != below.has_directory(name) {
            foreign = foreign.or(Some(name.to_owned()));
        } else if is_directory && is_shard_directory(name) {
            refuse_taken_directory(spec, &child, Below::Shard, storages)?;
        }
    }
    let is_directory = storage.stat(directory)?.is_none_or(|status| status.is_directory);
    let what = match foreign {
        Some(name) => format!("holds {name}, which is no part of an index"),
        None if !is_directory => "is a file".to_owned(),
        None if !spec.overwrite && is_finished => return Err(finished(directory)),
        None => return Ok(()),
    };
    let message = format!("{directory} {what}, and {}; choose another output", below.why());
    Err(BuildError::new(ErrorKind::AlreadyExists, message))
}

fn finished(directory: &str) -> BuildError {
    let message = format!("{directory} holds a finished index ({SUCCESS_NAME}); overwrite=true replaces it");
    BuildError::new(ErrorKind::AlreadyExists, message)
}

/// Names in `output` that shards have.
pub(crate) fn shard_directories(output: &str, storages: &Storages) -> Result<Vec<String>> {
    let children = storages.resolve(output)?.list(output)?;
    let names = children.iter().map(|child| last_name(child).to_owned());
    Ok(names.filter(|name| is_shard_directory(name)).collect())
}

/// Refuses a build that reads what it removes when it publishes.
pub(crate) fn refuse_index_in_shards(index: &str, output: &str, storages: &Storages) -> Result<()> {
    let (inside, outside) = (real_path(index, storages), real_path(output, storages));
    let below = inside.strip_prefix(outside).ok().and_then(|below| below.components().next());
    if !below.is_some_and(|name| name.as_os_str().to_str().is_some_and(is_shard_directory)) {
        return Ok(());
    }
    let message = format!("{index} lies in {output}, whose shards are removed when it is published; choose another");
    Err(BuildError::invalid(message))
}

/// Of a directory of this machine, however it is spelled; any other as it is spelled.
fn real_path(uri: &str, storages: &Storages) -> PathBuf {
    let local = storages.local_path(uri).and_then(|path| path.canonicalize().ok());
    local.unwrap_or_else(|| PathBuf::from(uri))
}

pub(crate) fn last_name(uri: &str) -> &str {
    uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_shard_of_the_output_is_refused_however_it_is_spelled() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        for name in ["out/shard_0", "out/shard_x", "out/part", "beside/shard_0"] {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let storages = Storages::new();
        for (index, output, refused) in [
            ("/out/shard_0", "/out", true),
            ("/out/shard_0/", "/out/", true),
            ("/out/../out/shard_0", "/out/part/..", true),
            ("/out", "/out", false),
            ("/out/shard_x", "/out", false),
            ("/out/part", "/out", false),
            ("/beside/shard_0", "/out", false),
            ("/out/shard_0", "/missing", false),
        ] {
            let found = refuse_index_in_shards(&format!("{root}{index}"), &format!("file://{root}{output}"), &storages);
            assert_eq!(found.is_err(), refused, "{index} {output}");
        }
        let far = |index: &str| refuse_index_in_shards(index, "hdfs://n/out", &storages).is_err();
        assert!(far("hdfs://n/out/shard_12") && !far("hdfs://n/out/part") && !far("hdfs://n/other/shard_12"));
    }
}
