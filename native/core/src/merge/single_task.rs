//! The merge of families that one task builds: the code of a row in the runs is the row itself.

use faiss_indexer_storage::{CreateMode, Storages};

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::OuterIdMap;
use crate::family::Family;
use crate::index_layout::{CodePart, FilePiece};
use crate::merge::runs::Runs;
use crate::merge::{MergeResources, MergedFile, merge_runs};
use crate::numbers::{to_u64, to_usize};
use crate::single_task::build_single_task;
use crate::spec::DuplicateIds;
use crate::stage::Progress;

/// Merges all rows in id order, reads them into memory and makes the index `uri` of them.
pub(crate) fn merge_in_memory(
    runs: &Runs,
    family: &Family,
    trained: &[u8],
    policy: DuplicateIds,
    uri: &str,
    resources: &MergeResources,
) -> Result<MergedFile> {
    let MergeResources { storages, workers, cancellation, progress, .. } = *resources;
    // The merge is bounded and finds repeated ids. Its rows are not those that the user sees the progress of.
    let rows_uri = format!("{uri}-rows");
    let codes = FilePiece::Codes { part: CodePart::First, unit_bytes: FLOAT_BYTES, packing: None };
    let make_pieces = |_| Ok(vec![codes.clone(), FilePiece::IdMap]);
    let collecting = MergeResources { progress: &Progress::default(), ..*resources };
    let collected = merge_runs(runs, policy, make_pieces, &rows_uri, &collecting)?;
    let floats_per_row = runs.layout.code_size / FLOAT_BYTES;
    let (ids, vectors) = read_rows(&rows_uri, collected.rows, floats_per_row, storages, cancellation)?;
    let storage = storages.resolve(uri)?;
    storage.delete(&rows_uri)?;

    let mut file = storage.create(uri, CreateMode::New)?;
    let (mut bytes, mut crc32c) = (0, 0);
    let mut write = |piece: &[u8]| {
        let renamed = (bytes == 0 && family.id_map() == OuterIdMap::Reversible).then(|| reversible(piece));
        let piece = renamed.as_deref().unwrap_or(piece);
        bytes += to_u64(piece.len());
        crc32c = crc32c::crc32c_append(crc32c, piece);
        progress.add_bytes(to_u64(piece.len()));
        Ok(file.write_all(piece)?)
    };
    build_single_task(trained, ids, vectors, &mut write, workers, cancellation, progress)?;
    file.finish()?;
    Ok(MergedFile { bytes, crc32c, ..collected })
}

const FLOAT_BYTES: u64 = 4;
/// Of the length before the codes and before the ids.
const COUNT_BYTES: u64 = 8;

/// The two kinds of id map differ in the name at the beginning of the file only.
fn reversible(piece: &[u8]) -> Vec<u8> {
    let mut renamed = piece.to_vec();
    renamed.iter_mut().zip(b"IxM2").for_each(|(byte, name)| *byte = *name);
    renamed
}

/// Ids and row-major vectors, in id order.
fn read_rows(
    uri: &str,
    rows: u64,
    floats_per_row: u64,
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<(Vec<i64>, Vec<f32>)> {
    const READ_BYTES: u64 = 4 << 20;
    let file = storages.resolve(uri)?.open(uri)?;
    let mut buffer = Vec::new();
    let mut read = |begin: u64, length: u64, take: &mut dyn FnMut(&[u8])| -> Result<()> {
        let mut done = 0;
        while done < length {
            cancellation.check()?;
            buffer.resize(to_usize(READ_BYTES.min(length - done))?, 0);
            file.read_exact_at(begin + done, &mut buffer)?;
            take(&buffer);
            done += to_u64(buffer.len());
        }
        Ok(())
    };
    let (mut ids, mut vectors) = (Vec::new(), Vec::new());
    let reserved = ids.try_reserve_exact(to_usize(rows)?).and_then(|()| {
        let floats = usize::try_from(rows * floats_per_row).unwrap_or(usize::MAX);
        vectors.try_reserve_exact(floats)
    });
    reserved.map_err(|_| {
        let message = format!("no memory for {rows} rows of {floats_per_row} dimensions");
        BuildError::new(ErrorKind::OutOfMemory, message)
    })?;
    let vector_bytes = rows * floats_per_row * FLOAT_BYTES;
    read(COUNT_BYTES, vector_bytes, &mut |bytes| {
        vectors.extend(bytes.as_chunks().0.iter().map(|float| f32::from_le_bytes(*float)));
    })?;
    read(COUNT_BYTES + vector_bytes + COUNT_BYTES, rows * COUNT_BYTES, &mut |bytes| {
        ids.extend(bytes.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id)));
    })?;
    Ok((ids, vectors))
}
