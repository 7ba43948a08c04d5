//! The one place that knows how rows are read.

use faiss_indexer_core::{BuildError, ErrorKind, RejectedRow, Result, Stage};
use faiss_indexer_input::{Batch, Input, InputError, InputOptions, LearnedDimension, Rejected, Split};
use faiss_indexer_storage::Storages;

use crate::arguments::{ColumnFlags, EvaluateFlags};
use crate::interruption::Interruption;

/// Small enough that many readers fit into memory, large enough that a batch costs nothing beside its rows.
const BATCH_ROWS: usize = 512;

/// The rows of a build, in the groups that tasks take.
#[derive(Debug)]
pub(crate) struct Rows {
    input: Input,
    dimension: usize,
    partitions: Vec<Vec<Split>>,
}

impl Rows {
    /// Looks at the files of `uris`. A partition has `partition_rows` rows or a little more. Without the
    /// `dimension` of an index, the rows have that of the files.
    pub(crate) fn open(
        uris: &[String],
        columns: &ColumnFlags,
        partition_rows: u64,
        dimension: Option<usize>,
        storages: &Storages,
    ) -> Result<Self> {
        let options = InputOptions { ids_uri: columns.ids.clone(), dimension, ..options(columns) };
        Self::open_with(uris, &options, "--ids", partition_rows, storages)
    }

    /// Looks at queries of an index of `dimension`, all of them one partition.
    pub(crate) fn open_queries(flags: &EvaluateFlags, dimension: usize, storages: &Storages) -> Result<Self> {
        let options = InputOptions {
            ids_uri: flags.query_ids.clone(),
            // Of no other use than to leave own rows out.
            number_rows: !flags.exclude_own,
            dimension: Some(dimension),
            ..options(&flags.columns)
        };
        Self::open_with(&flags.queries, &options, "--query-ids", u64::MAX, storages)
    }

    fn open_with(
        uris: &[String],
        options: &InputOptions,
        ids_flag: &str,
        partition_rows: u64,
        storages: &Storages,
    ) -> Result<Self> {
        let invalid = |message: String| BuildError::new(ErrorKind::InvalidSpec, message);
        let input = Input::open(uris, options, storages).map_err(|error| match error {
            InputError::Dimension { uri, found, expected, .. } if options.dimension == Some(expected) => {
                invalid(format!("the embeddings of {uri} have dimension {found}, the index has {expected}"))
            }
            InputError::Ids { message } => invalid(format!("{message} ({ids_flag})")),
            other => build_error(other),
        })?;
        let dimension = input.dimension().map_err(|error| match error {
            InputError::NoEmbedding => invalid(format!("{error} (--dimension)")),
            other => build_error(other),
        })?;
        let partitions = partitions(&input, partition_rows);
        Ok(Self { input, dimension, partitions })
    }

    /// Rows of all files, bad ones included.
    pub(crate) fn count(&self) -> u64 {
        self.input.rows()
    }

    /// Components per row.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The row that the dimension was learned from, as the end of a sentence; nothing when the user, types or shapes say
    /// it.
    pub(crate) fn origin_of_dimension(&self) -> String {
        self.input.learned_dimension().map_or(String::new(), |LearnedDimension { dimension, uri, row }| {
            format!(" (row {row} of {uri} has {dimension} components; --dimension says otherwise)")
        })
    }

    /// What tells this input from others.
    pub(crate) fn identity(&self) -> Result<String> {
        self.input.identity().map_err(build_error)
    }

    /// Rows of each partition.
    pub(crate) fn partition_rows(&self) -> impl Iterator<Item = u64> {
        self.partitions.iter().map(|splits| splits.iter().map(|split| split.rows).sum())
    }

    /// Appends all rows of a partition to `stage`.
    pub(crate) fn feed(
        &self,
        partition: usize,
        threads: usize,
        stage: &Stage,
        interruption: &Interruption,
    ) -> Result<()> {
        let splits = self.partitions.get(partition).map_or(&[][..], Vec::as_slice);
        for batch in self.input.read(splits, self.readers(threads)) {
            interruption.check()?;
            let batch = batch.map_err(build_error)?;
            for row in batch.rejected {
                stage.reject(rejected(row))?;
            }
            stage.append(&batch.ids, &batch.vectors)?;
        }
        Ok(())
    }

    /// Hands all rows to `take`, the rejected too.
    pub(crate) fn each_batch(&self, threads: usize, mut take: impl FnMut(Batch) -> Result<()>) -> Result<()> {
        for splits in &self.partitions {
            for batch in self.input.read(splits, self.readers(threads)) {
                take(batch.map_err(build_error)?)?;
            }
        }
        Ok(())
    }

    /// Hands all rows in the order of the files to `take`, with their file.
    pub(crate) fn each_batch_of_a_file(&self, mut take: impl FnMut(&str, Batch) -> Result<()>) -> Result<()> {
        for split in self.input.splits() {
            for batch in self.input.read(std::slice::from_ref(split), 1) {
                take(&split.file, batch.map_err(build_error)?)?;
            }
        }
        Ok(())
    }

    fn readers(&self, threads: usize) -> usize {
        threads.min(most_readers(self.dimension))
    }
}

/// How many readers fit into the memory for reading, at least one. What each holds is documented by the input crate.
fn most_readers(dimension: usize) -> usize {
    const MOST_BYTES: usize = 128 << 20;
    /// Windows and pages of both columns of a Parquet file.
    const BYTES_OF_A_FILE: usize = 10 << 20;
    /// The decoded columns with their levels, and what waits.
    const COPIES_OF_A_BATCH: usize = 4;
    let row_bytes = dimension.saturating_mul(size_of::<f32>()).saturating_add(size_of::<i64>());
    let bytes = row_bytes.saturating_mul(BATCH_ROWS * COPIES_OF_A_BATCH).saturating_add(BYTES_OF_A_FILE);
    (MOST_BYTES / bytes).max(1)
}

fn options(columns: &ColumnFlags) -> InputOptions {
    InputOptions {
        id_column: columns.id_column.clone(),
        embedding_column: columns.embedding_column.clone(),
        batch_rows: BATCH_ROWS,
        ..InputOptions::default()
    }
}

/// Groups of consecutive splits; a function of the input alone.
fn partitions(input: &Input, rows: u64) -> Vec<Vec<Split>> {
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

/// What cannot be read because of what was asked for is a wrong spec, the rest is the files' fault.
fn build_error(error: InputError) -> BuildError {
    let kind = match &error {
        InputError::Storage(storage) => return storage.clone().into(),
        InputError::NoFiles { .. } => ErrorKind::NotFound,
        InputError::UnknownFormat { .. } | InputError::Unreadable { .. } => ErrorKind::CorruptFile,
        InputError::IdTooLarge { .. } | InputError::Changed { .. } | InputError::UnknownSplit { .. } => {
            ErrorKind::BadRows
        }
        InputError::Thread { .. } => ErrorKind::OutOfMemory,
        _ => ErrorKind::InvalidSpec,
    };
    BuildError::new(kind, error.to_string())
}

fn rejected(row: Rejected) -> RejectedRow {
    match row {
        Rejected::NullId => RejectedRow::NullId,
        Rejected::NullEmbedding { id } => RejectedRow::NullEmbedding { id },
        Rejected::WrongDimension { id, dimension } => RejectedRow::WrongDimension { id, dimension },
        Rejected::NullComponent { id } => RejectedRow::NullComponent { id },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_as_many_as_their_windows_and_batches_leave_room_for() {
        for (dimension, readers) in [(1, 12), (192, 11), (1_024, 7), (4_096, 3), (1 << 20, 1), (usize::MAX, 1)] {
            assert_eq!(most_readers(dimension), readers, "{dimension}");
        }
    }
}
