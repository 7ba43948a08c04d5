//! The one place that knows how rows are read.

use faiss_indexer_core::{RejectedRow, Result, Stage};
use faiss_indexer_input::{Input, InputOptions, Rejected, Split};
use faiss_indexer_storage::Storages;

use crate::arguments::ColumnFlags;
use crate::interruption::Interruption;

/// Small enough that many readers fit into memory, large enough that a batch costs nothing beside its rows.
const BATCH_ROWS: usize = 512;

/// Looks at the files of `uris`.
pub(crate) fn open(uris: &[String], columns: &ColumnFlags, storages: &Storages) -> Result<Input> {
    let options = InputOptions {
        id_column: columns.id_column.clone(),
        embedding_column: columns.embedding_column.clone(),
        ids_uri: columns.ids.clone(),
        dimension: None,
        batch_rows: BATCH_ROWS,
    };
    Input::open(uris, &options, storages)
}

/// Groups of consecutive splits with `rows` rows or a little more each; a function of the input alone.
pub(crate) fn partitions(input: &Input, rows: u64) -> Vec<Vec<Split>> {
    let mut partitions: Vec<Vec<Split>> = Vec::new();
    let mut room = 0;
    for split in input.splits() {
        match partitions.last_mut() {
            Some(partition) if room > 0 => partition.push(split.clone()),
            _ => {
                partitions.push(vec![split.clone()]);
                room = rows;
            }
        }
        room = room.saturating_sub(split.rows);
    }
    partitions
}

/// Rows of a partition.
pub(crate) fn rows_of(partition: &[Split]) -> u64 {
    partition.iter().map(|split| split.rows).sum()
}

/// How many readers keep `threads` threads at work without filling the memory with rows that wait.
pub(crate) fn readers(input: &Input, threads: usize) -> usize {
    /// Of all readers together, and the batches that each of them holds at most.
    const MOST_BYTES: usize = 64 << 20;
    const BATCHES: usize = 4;
    let batch_bytes = BATCH_ROWS * (input.dimension() * size_of::<f32>() + size_of::<i64>());
    threads.min(MOST_BYTES / (BATCHES * batch_bytes)).max(1)
}

/// Appends all rows of `partition` to `stage`.
pub(crate) fn feed(
    input: &Input,
    partition: &[Split],
    readers: usize,
    stage: &Stage,
    interruption: &Interruption,
) -> Result<()> {
    for batch in input.read(partition, readers) {
        interruption.check()?;
        let batch = batch?;
        for row in batch.rejected {
            stage.reject(rejected(row))?;
        }
        stage.append(&batch.ids, &batch.vectors)?;
    }
    Ok(())
}

fn rejected(row: Rejected) -> RejectedRow {
    match row {
        Rejected::NullId => RejectedRow::NullId,
        Rejected::NullEmbedding { id } => RejectedRow::NullEmbedding { id },
        Rejected::WrongDimension { id, dimension } => RejectedRow::WrongDimension { id, dimension },
        Rejected::NullComponent { id } => RejectedRow::NullComponent { id },
    }
}
