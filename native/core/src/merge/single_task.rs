//! The merge of families that one task builds: the code of a row in the runs is the row itself.

use faiss_indexer_storage::{CreateMode, Storages};

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::OuterIdMap;
use crate::family::Family;
use crate::index_layout::{CodePart, FilePiece};
use crate::merge::part::Part;
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
    let collected = merge_runs(runs, policy, make_pieces, &rows_uri, Part::WHOLE, &collecting)?;
    let floats_per_row = runs.layout.code_size / FLOAT_BYTES;
    let (ids, vectors) = read_rows(&rows_uri, &collected, floats_per_row, storages, cancellation)?;
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
const ID_BYTES: u64 = 8;

/// The two kinds of id map differ in the name at the beginning of the file only.
fn reversible(piece: &[u8]) -> Vec<u8> {
    let mut renamed = piece.to_vec();
    renamed.iter_mut().zip(b"IxM2").for_each(|(byte, name)| *byte = *name);
    renamed
}

/// Ids and row-major vectors, in id order, from the file that was just written.
fn read_rows(
    uri: &str,
    written: &MergedFile,
    floats_per_row: u64,
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<(Vec<i64>, Vec<f32>)> {
    const READ_BYTES: u64 = 4 << 20;
    let file = storages.resolve(uri)?.open(uri)?;
    let mut buffer = Vec::new();
    let (mut position, mut crc32c) = (0, 0);
    let mut read = |length: u64, take: &mut dyn FnMut(&[u8])| -> Result<()> {
        let end = position + length;
        while position < end {
            cancellation.check()?;
            buffer.resize(to_usize(READ_BYTES.min(end - position))?, 0);
            file.read_exact_at(position, &mut buffer)?;
            crc32c = crc32c::crc32c_append(crc32c, &buffer);
            take(&buffer);
            position += to_u64(buffer.len());
        }
        Ok(())
    };
    let rows = written.rows;
    let (mut ids, mut vectors) = (Vec::new(), Vec::new());
    let reserved = ids.try_reserve_exact(to_usize(rows)?).and_then(|()| {
        let floats = usize::try_from(rows * floats_per_row).unwrap_or(usize::MAX);
        vectors.try_reserve_exact(floats)
    });
    reserved.map_err(|_| {
        let message = format!("no memory for {rows} rows of {floats_per_row} dimensions");
        BuildError::new(ErrorKind::OutOfMemory, message)
    })?;
    read(COUNT_BYTES, &mut |_| ())?;
    read(rows * floats_per_row * FLOAT_BYTES, &mut |bytes| {
        vectors.extend(bytes.as_chunks().0.iter().map(|float| f32::from_le_bytes(*float)));
    })?;
    read(COUNT_BYTES, &mut |_| ())?;
    read(rows * ID_BYTES, &mut |bytes| {
        ids.extend(bytes.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id)));
    })?;
    if (position, crc32c) != (written.bytes, written.crc32c) {
        return Err(BuildError::corrupt(uri, "it is not what was written to it"));
    }
    Ok((ids, vectors))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faiss_indexer_storage::{MemoryStorage, Storage};

    use super::*;
    use crate::merge::part::SectionSums;
    use crate::receipts::DuplicateRows;

    #[test]
    fn rows_that_are_not_what_was_written_are_refused() {
        let mut bytes = 12_u64.to_le_bytes().to_vec();
        bytes.extend([1.5_f32, 2.5, 3.5].iter().flat_map(|float| float.to_le_bytes()));
        bytes.extend(3_u64.to_le_bytes());
        bytes.extend([4_i64, 5, 6].iter().flat_map(|id| id.to_le_bytes()));
        let crc32c = crc32c::crc32c(&bytes);
        let (duplicates, sections) = (DuplicateRows::default(), SectionSums::default());
        let written = MergedFile { bytes: to_u64(bytes.len()), crc32c, rows: 3, duplicates, sections };
        let memory = MemoryStorage::new();
        let storages = Storages::new().with_memory(Arc::new(memory.clone()));
        let read = |name: &str, bytes: &[u8]| {
            let mut file = memory.create(name, CreateMode::New).unwrap();
            file.write_all(bytes).unwrap();
            file.finish().unwrap();
            read_rows(name, &written, 1, &storages, &Cancellation::default())
        };
        assert_eq!(read("memory:/rows", &bytes).unwrap(), (vec![4, 5, 6], vec![1.5, 2.5, 3.5]));
        for place in [8, 30, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 4;
            let error = read(&format!("memory:/changed-{place}"), &changed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptFile, "{place}: {error}");
        }
    }
}
