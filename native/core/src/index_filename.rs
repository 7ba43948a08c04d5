//! The name of the index file.

use faiss_indexer_storage::{Storages, join};

use crate::build_context::{MANIFEST_NAME, REPORT_NAME, is_shard_directory};
use crate::error::{BuildError, ErrorKind, Result};
use crate::manifest::read_manifest;
use crate::plain_name::is_plain_name;

/// The name that readers know.
pub(crate) const DEFAULT_INDEX_FILENAME: &str = "faiss.index";

pub(crate) fn default_index_filename() -> String {
    DEFAULT_INDEX_FILENAME.to_owned()
}

/// Refuses names that something else in an output has, or that not every file system takes.
pub(crate) fn check_index_filename(name: &str) -> Result<()> {
    let what = if !is_plain_name(name) {
        "has to be made of letters, digits, '.', '-' and '_', and to begin with a letter or a digit"
    } else if name == MANIFEST_NAME || name == REPORT_NAME || is_shard_directory(name) {
        "is the name of something else in the output"
    } else {
        return Ok(());
    };
    Err(BuildError::invalid(format!("indexFilename='{name}' {what}")))
}

/// The name of the index file in `directory`: that of its manifest, or the default without one that can be read.
pub(crate) fn index_filename_in(directory: &str, storages: &Storages) -> Result<String> {
    match read_manifest(&join(directory, MANIFEST_NAME), storages) {
        Ok(found) => Ok(found.manifest.spec.index_filename),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::CorruptFile) => {
            Ok(default_index_filename())
        }
        Err(error) => Err(error),
    }
}
