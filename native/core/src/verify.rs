//! Reads everything of a published index again and compares it with what its manifest states.

use faiss_indexer_storage::{Storages, join};
use serde::Serialize;

use crate::build_context::{MANIFEST_NAME, SUCCESS_NAME, is_shard_directory};
use crate::error::{BuildError, ErrorKind, Result};
use crate::index_file::{IndexFile, Role};
use crate::index_filename::DEFAULT_INDEX_FILENAME;
use crate::inspect::StoredShape;
use crate::manifest::{CheckedManifest, Manifest, PublishedIndex, PublishedShard, read_manifest};
use crate::numbers::to_usize;
use crate::spec::DuplicateIds;
use crate::trained_state::recover;

/// Bytes that are held at a time.
const BUFFER_BYTES: u64 = 4 << 20;
const ID_BYTES: u64 = 8;

/// A published index of which everything holds that its manifest states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The directory.
    pub directory: String,
    /// As the build was asked for it.
    pub factory_string: String,
    /// Rows in the index, or in all shards.
    pub rows: u64,
    /// Bytes of all index files.
    pub bytes: u64,
    /// Identifies the trained state.
    pub fingerprint: String,
    /// Whether the fingerprint was computed anew from the index file. It cannot be where rows are linked in a graph
    /// that has no empty form.
    pub fingerprint_recomputed: bool,
    /// CRC-32C of the index file; absent for an output of shards.
    pub crc32c: Option<String>,
    /// The parts of an output of shards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<Verified>,
}

/// Checks the published index in `directory`, and all shards if it holds shards. `progress` is called with the number
/// of bytes that were read since the last call; together they are the bytes of all index files.
///
/// # Errors
/// [`ErrorKind::CorruptFile`] for the first statement that does not hold, with the file, what is stated and what was
/// found; [`ErrorKind::NotFound`] if there is no published index; storage errors.
pub fn verify(directory: &str, storages: &Storages, progress: &dyn Fn(u64)) -> Result<Verified> {
    let directory = directory.trim_end_matches('/');
    let CheckedManifest { uri, manifest, .. } = published_manifest(directory, storages)?;
    if manifest.shards.is_empty() {
        return verify_index(directory, &uri, &manifest, storages, progress);
    }
    let mut shards = Vec::new();
    for stated in &manifest.shards {
        shards.push(verify_shard(directory, &uri, &manifest, stated, storages, progress)?);
    }
    let rows = sum(shards.iter().map(|shard| shard.rows));
    if rows != manifest.rows {
        return Err(lie(&uri, "rows", manifest.rows, format!("{rows} in its shards")));
    }
    Ok(Verified {
        directory: directory.to_owned(),
        factory_string: manifest.factory_string,
        rows,
        bytes: sum(shards.iter().map(|shard| shard.bytes)),
        fingerprint: manifest.fingerprint,
        fingerprint_recomputed: shards.iter().all(|shard| shard.fingerprint_recomputed),
        crc32c: None,
        shards,
    })
}

/// The manifest of a finished output.
pub(crate) fn published_manifest(directory: &str, storages: &Storages) -> Result<CheckedManifest> {
    let (success, manifest) = (join(directory, SUCCESS_NAME), join(directory, MANIFEST_NAME));
    let storage = storages.resolve(directory)?;
    let has_manifest = storage.stat(&manifest)?.is_some();
    if storage.stat(&success)?.is_none() {
        return Err(if has_manifest || storage.stat(&join(directory, DEFAULT_INDEX_FILENAME))?.is_some() {
            BuildError::corrupt(directory, format!("it has no {SUCCESS_NAME}, so its build has not finished"))
        } else {
            BuildError::new(ErrorKind::NotFound, format!("{directory} holds no published index"))
        });
    }
    if !has_manifest {
        let message =
            format!("{directory} holds no {MANIFEST_NAME}, so its index is not one that faiss-indexer published");
        return Err(BuildError::new(ErrorKind::NotFound, message));
    }
    read_manifest(&manifest, storages)
}

fn verify_shard(
    directory: &str,
    manifest_uri: &str,
    manifest: &Manifest,
    stated: &PublishedShard,
    storages: &Storages,
    progress: &dyn Fn(u64),
) -> Result<Verified> {
    if !is_shard_directory(&stated.directory) {
        return Err(lie(manifest_uri, "directory", &stated.directory, "no name of a shard"));
    }
    let shard = join(directory, &stated.directory);
    let found = published_manifest(&shard, storages)?;
    for (what, stated, found) in [
        ("manifestSha256", &stated.manifest_sha256, &found.sha256),
        ("fingerprint", &manifest.fingerprint, &found.manifest.fingerprint),
    ] {
        if stated != found {
            return Err(lie(manifest_uri, what, stated, format!("{found} in {}", stated_in(&shard))));
        }
    }
    let verified = verify_index(&shard, &found.uri, &found.manifest, storages, progress)?;
    let (rows, bytes) = (verified.rows, verified.bytes);
    if (rows, bytes) != (stated.rows, stated.bytes) || verified.crc32c.as_ref() != Some(&stated.crc32c) {
        let states = format!("{} rows, {} bytes, crc32c {}", stated.rows, stated.bytes, stated.crc32c);
        let found = format!("{rows} rows, {bytes} bytes, crc32c {}", verified.crc32c.unwrap_or_default());
        return Err(lie(manifest_uri, &stated.directory, states, found));
    }
    Ok(verified)
}

fn stated_in(shard: &str) -> String {
    join(shard, MANIFEST_NAME)
}

fn verify_index(
    directory: &str,
    manifest_uri: &str,
    manifest: &Manifest,
    storages: &Storages,
    progress: &dyn Fn(u64),
) -> Result<Verified> {
    let stated = manifest.stated_index(manifest_uri)?;
    let uri = join(directory, &stated.name);
    check_bytes(&uri, stated, storages, &|bytes| {
        progress(bytes);
        Ok(())
    })?;
    let index = IndexFile::open(&uri, storages)?;
    check_facts(&index, stated, manifest)?;
    check_ids(&index, manifest)?;
    let recovered = recover(&index, &manifest.context("", directory), &manifest.fingerprint)?.is_some();
    if !recovered && !index.root.has_graph() {
        return Err(lie(&uri, "the fingerprint", &manifest.fingerprint, "another trained state"));
    }
    Ok(Verified {
        directory: directory.to_owned(),
        factory_string: manifest.factory_string.clone(),
        rows: manifest.rows,
        bytes: stated.bytes,
        fingerprint: manifest.fingerprint.clone(),
        fingerprint_recomputed: recovered,
        crc32c: Some(stated.crc32c.clone()),
        shards: Vec::new(),
    })
}

/// The length and the checksum of the file.
pub(crate) fn check_bytes(
    uri: &str,
    stated: &PublishedIndex,
    storages: &Storages,
    progress: &dyn Fn(u64) -> Result<()>,
) -> Result<()> {
    let storage = storages.resolve(uri)?;
    let length = match storage.stat(uri)? {
        Some(status) if !status.is_directory => status.length,
        _ => return Err(BuildError::corrupt(uri, "the manifest describes it and it does not exist")),
    };
    if length != stated.bytes {
        return Err(lie(uri, "its length", stated.bytes, length));
    }
    let file = storage.open(uri)?;
    let (mut offset, mut checksum, mut buffer) = (0, 0, Vec::new());
    while offset < length {
        let count = BUFFER_BYTES.min(length - offset);
        buffer.resize(to_usize(count)?, 0);
        file.read_exact_at(offset, &mut buffer)?;
        checksum = crc32c::crc32c_append(checksum, &buffer);
        offset += count;
        progress(count)?;
    }
    let found = format!("{checksum:08x}");
    if found == stated.crc32c { Ok(()) } else { Err(lie(uri, "its CRC-32C", &stated.crc32c, found)) }
}

fn check_facts(index: &IndexFile, stated: &PublishedIndex, manifest: &Manifest) -> Result<()> {
    let uri = &index.uri;
    let found = StoredShape::of(&index.root);
    let shape = &stated.shape;
    let size = |size: Option<u64>| size.map_or("none".to_owned(), |size| size.to_string());
    for (what, stated, found) in [
        ("the family", shape.family.clone(), found.family.clone()),
        ("the number of lists", size(shape.nlist), size(found.nlist)),
        ("the code size", size(shape.code_size), size(found.code_size)),
        ("the second code size", size(shape.second_code_size), size(found.second_code_size)),
        ("the dimension", manifest.spec.dimension.to_string(), index.root.header.dimension.to_string()),
        (
            "Faiss' number of the metric",
            manifest.spec.metric.in_faiss().number().to_string(),
            index.root.header.metric.to_string(),
        ),
    ] {
        if stated != found {
            return Err(lie(uri, what, stated, found));
        }
    }
    for node in index.root.with_rows() {
        if node.header.rows != manifest.rows {
            return Err(lie(uri, &format!("the number of rows of {}", node.kind), manifest.rows, node.header.rows));
        }
    }
    match index.with_lists() {
        Some((_, lists)) if lists.summary.rows != manifest.rows => {
            Err(lie(uri, "the number of rows in the lists", manifest.rows, lists.summary.rows))
        }
        _ => Ok(()),
    }
}

/// Ids ascend in the id map and in every list; where they stand for places in the id map, they are places.
fn check_ids(index: &IndexFile, manifest: &Manifest) -> Result<()> {
    let repeats = manifest.spec.duplicate_ids == DuplicateIds::Allow;
    if let Some(ids) = index.id_map() {
        check_ascending(index, ids.data.clone(), repeats, None, "the id map")?;
    }
    let Some((node, lists)) = index.with_lists() else { return Ok(()) };
    let by_place = index.id_map().is_some() || node.codes.is_some() || index.root.part(Role::Refine).is_some();
    let places = by_place.then_some(manifest.rows);
    let mut reader = lists.lists(index.file.as_ref(), &index.uri);
    while let Some(list) = reader.next()? {
        check_ascending(index, list.ids, repeats && !by_place, places, &format!("list {}", list.number))?;
    }
    Ok(())
}

fn check_ascending(
    index: &IndexFile,
    ids: std::ops::Range<u64>,
    repeats: bool,
    places: Option<u64>,
    where_found: &str,
) -> Result<()> {
    let (mut from, mut last, mut buffer) = (ids.start, None::<i64>, Vec::new());
    while from < ids.end {
        let count = BUFFER_BYTES.min(ids.end - from) / ID_BYTES * ID_BYTES;
        buffer.resize(to_usize(count)?, 0);
        index.file.read_exact_at(from, &mut buffer)?;
        for id in buffer.as_chunks().0 {
            let id = i64::from_le_bytes(*id);
            if last.is_some_and(|last| if repeats { id < last } else { id <= last }) {
                let what = format!("in {where_found}, id {id} follows {}", last.unwrap_or_default());
                return Err(BuildError::corrupt(&index.uri, what));
            }
            if places.is_some_and(|rows| u64::try_from(id).map_or(true, |place| place >= rows)) {
                let what = format!("in {where_found}, {id} is no place among {} rows", places.unwrap_or_default());
                return Err(BuildError::corrupt(&index.uri, what));
            }
            last = Some(id);
        }
        from += count;
    }
    Ok(())
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

fn lie(uri: &str, what: &str, stated: impl std::fmt::Display, found: impl std::fmt::Display) -> BuildError {
    BuildError::corrupt(uri, format!("{what}: the manifest states {stated}, and it is {found}"))
}
