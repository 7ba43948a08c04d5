//! Publications that are decided. What has to be removed and moved is written down before anything of the output is
//! touched, and every step can be taken twice: a publication that was interrupted is finished by whoever comes next,
//! be it the same call again or the next build into the directory.

use std::collections::HashSet;

use faiss_indexer_storage::{CreateMode, Storage, Storages, join};
use log::{info, warn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::build_context::{SUCCESS_NAME, TEMPORARY_NAME};
use crate::error::{BuildError, ErrorKind, Result};
use crate::numbers::{to_u64, to_usize};

/// Its name in `_temporary`. An output has one: a later publication takes the place of an earlier one.
pub(crate) const PUBLICATION_NAME: &str = "publication.json";
/// Bytes that are held at a time.
const BUFFER_BYTES: u64 = 4 << 20;

/// All names are of the output directory, which may be spelled otherwise by who finishes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Publication {
    pub(crate) build_id: String,
    /// What goes first, in this order.
    pub(crate) removed: Vec<String>,
    pub(crate) placed: Vec<PlacedFile>,
    /// Directories that are complete then, in this order; the output itself, whose name is empty, is the last.
    pub(crate) completed: Vec<String>,
    /// What [`crate::publish`] returns.
    pub(crate) answer: Vec<(String, String)>,
}

/// A file that waits among the temporary ones, and its place in the output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlacedFile {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) bytes: u64,
    /// CRC-32C, eight hexadecimal digits.
    pub(crate) crc32c: String,
}

/// Finishes the publication into `output` that was interrupted, if there is one, and returns what [`crate::publish`]
/// would have returned.
///
/// # Errors
/// [`ErrorKind::NotFound`] and [`ErrorKind::CorruptFile`] if a file of it is gone or another one, before anything is
/// touched; storage errors.
pub fn finish_publication(output: &str, storages: &Storages) -> Result<Option<Vec<(String, String)>>> {
    let output = output.trim_end_matches('/');
    let Some(publication) = Publication::read(output, storages)? else {
        remove_empty_directory(output, storages)?;
        return Ok(None);
    };
    info!("finishing the publication into {output} that was interrupted");
    publication.finish(output, storages).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::CorruptFile => {
            let given_up = publication_uri(output);
            let message = format!("a publication was interrupted and cannot be finished; delete {given_up} if it");
            BuildError::new(error.kind(), format!("{message} is to be given up: {error}"))
        }
        _ => error,
    })?;
    Ok(Some(publication.answer))
}

/// The temporary directory of the build whose publication into `output` was interrupted, if there is one.
///
/// # Errors
/// [`ErrorKind::CorruptFile`]; storage errors.
pub fn interrupted_publication(output: &str, storages: &Storages) -> Result<Option<String>> {
    let output = output.trim_end_matches('/');
    let publication = Publication::read(output, storages)?;
    Ok(publication.map(|publication| join(&join(output, TEMPORARY_NAME), &publication.build_id)))
}

impl Publication {
    pub(crate) fn read(output: &str, storages: &Storages) -> Result<Option<Self>> {
        read_if_there(&publication_uri(output), storages)
    }

    /// From here on, the publication is as good as done.
    pub(crate) fn decide(&self, output: &str, storages: &Storages) -> Result<()> {
        let storage = storages.resolve(output)?;
        // What is found missing here is not missing halfway.
        self.check_files(output, storage.as_ref(), &self.waiting(output, storage.as_ref())?)?;
        put(storage.as_ref(), &publication_uri(output), crate::receipts::to_json(self)?)
    }

    /// `_SUCCESS` goes first and comes back last, so it never stands beside a file that it does not describe.
    pub(crate) fn finish(&self, output: &str, storages: &Storages) -> Result<()> {
        let storage = storages.resolve(output)?;
        let storage = storage.as_ref();
        let waiting = self.waiting(output, storage)?;
        // The old `_SUCCESS` is gone before the first file is moved.
        let is_done = waiting.is_empty() && storage.stat(&join(output, SUCCESS_NAME))?.is_some();
        if !is_done {
            self.check_files(output, storage, &waiting)?;
            self.take_steps(output, storage)?;
        }
        // The index is published; what is left behind costs space only, and whoever comes next tries again.
        if let Err(error) = remove_temporary_files(output, storage) {
            warn!("temporary files are left behind: {error}");
        }
        Ok(())
    }

    /// Two attempts may be at it at the same time, as where an engine takes one for dead that is not: what the other has
    /// done meanwhile counts as done.
    fn take_steps(&self, output: &str, storage: &dyn Storage) -> Result<()> {
        self.removed.iter().try_for_each(|name| storage.delete(&join(output, name)))?;
        for directory in self.completed.iter().filter(|directory| !directory.is_empty()) {
            storage.make_directories(&join(output, directory))?;
        }
        for file in &self.placed {
            let from = join(output, &file.from);
            if storage.stat(&from)?.is_some() {
                let renamed = storage.rename(&from, &join(output, &file.to));
                renamed.or_else(|error| if storage.stat(&from)?.is_none() { Ok(()) } else { Err(error) })?;
            }
        }
        self.placed.iter().try_for_each(|file| check_length(storage, &join(output, &file.to), file.bytes))?;
        // Made among the temporary files too: a process that is killed leaves nothing else in the output.
        let success = join(&join(&join(output, TEMPORARY_NAME), &self.build_id), SUCCESS_NAME);
        for directory in &self.completed {
            let place = join(&join(output, directory), SUCCESS_NAME);
            let put = put(storage, &success, "").and_then(|()| Ok(storage.rename(&success, &place)?));
            put.or_else(|error| if storage.stat(&place)?.is_some() { Ok(()) } else { Err(error) })?;
        }
        Ok(())
    }

    /// Names of the files that are not in their place.
    fn waiting(&self, output: &str, storage: &dyn Storage) -> Result<HashSet<&str>> {
        let mut waiting = HashSet::new();
        for file in &self.placed {
            if storage.stat(&join(output, &file.from))?.is_some() {
                waiting.insert(file.from.as_str());
            }
        }
        Ok(waiting)
    }

    /// Nothing is touched unless all can be finished.
    fn check_files(&self, output: &str, storage: &dyn Storage, waiting: &HashSet<&str>) -> Result<()> {
        self.placed.iter().try_for_each(|file| {
            if waiting.contains(file.from.as_str()) {
                check_length(storage, &join(output, &file.from), file.bytes)
            } else {
                check_placed(storage, &join(output, &file.from), &join(output, &file.to), file)
            }
        })
    }
}

pub(crate) fn put(storage: &dyn Storage, uri: &str, content: impl AsRef<[u8]>) -> Result<()> {
    let mut file = storage.create(uri, CreateMode::Overwrite)?;
    file.write_all(content.as_ref())?;
    file.finish()?;
    Ok(())
}

/// What a file of JSON holds, if it is there.
pub(crate) fn read_if_there<T: DeserializeOwned>(uri: &str, storages: &Storages) -> Result<Option<T>> {
    let storage = storages.resolve(uri)?;
    if storage.stat(uri)?.is_none() {
        return Ok(None);
    }
    let file = storage.open(uri)?;
    let mut bytes = vec![0; to_usize(file.length())?];
    file.read_exact_at(0, &mut bytes)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| BuildError::corrupt(uri, error))
}

pub(crate) fn gone(uri: &str) -> BuildError {
    BuildError::new(ErrorKind::NotFound, format!("{uri} is gone; has another build published here?"))
}

fn publication_uri(output: &str) -> String {
    join(&join(output, TEMPORARY_NAME), PUBLICATION_NAME)
}

/// The publication goes last: as long as it is there, someone will remove the rest.
fn remove_temporary_files(output: &str, storage: &dyn Storage) -> Result<()> {
    let directory = join(output, TEMPORARY_NAME);
    let publication = publication_uri(output);
    for child in storage.list(&directory)?.iter().filter(|child| **child != publication) {
        storage.delete(child)?;
    }
    Ok(storage.delete(&directory)?)
}

/// The last of the temporary files, which may be left behind without the publication.
pub(crate) fn remove_empty_directory(output: &str, storages: &Storages) -> Result<()> {
    remove_if_empty(&join(output, TEMPORARY_NAME), storages.resolve(output)?.as_ref())
}

pub(crate) fn remove_if_empty(directory: &str, storage: &dyn Storage) -> Result<()> {
    if storage.stat(directory)?.is_some() && storage.list(directory)?.is_empty() {
        storage.delete(directory)?;
    }
    Ok(())
}

fn check_length(storage: &dyn Storage, uri: &str, bytes: u64) -> Result<()> {
    match storage.stat(uri)?.map(|status| status.length) {
        Some(found) if found == bytes => Ok(()),
        Some(found) => Err(BuildError::corrupt(uri, format!("it has {found} bytes instead of {bytes}"))),
        None => Err(gone(uri)),
    }
}

/// A file that waits no more must be the one in its place.
fn check_placed(storage: &dyn Storage, from: &str, to: &str, stated: &PlacedFile) -> Result<()> {
    let is_there = storage.stat(to)?.is_some_and(|found| !found.is_directory && found.length == stated.bytes);
    if !is_there || checksum(storage, to)? != stated.crc32c {
        return Err(gone(from));
    }
    Ok(())
}

fn checksum(storage: &dyn Storage, uri: &str) -> Result<String> {
    let file = storage.open(uri)?;
    let (mut offset, mut checksum, mut buffer) = (0, 0, Vec::new());
    while offset < file.length() {
        buffer.resize(to_usize(BUFFER_BYTES.min(file.length() - offset))?, 0);
        file.read_exact_at(offset, &mut buffer)?;
        checksum = crc32c::crc32c_append(checksum, &buffer);
        offset += to_u64(buffer.len());
    }
    Ok(format!("{checksum:08x}"))
}
