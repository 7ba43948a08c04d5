//! Parquet: one split for each row group.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use crate::batch::{MOST_ROWS_OF_A_SEARCH, rows_per_batch};
use crate::column_path::{ColumnPath, Columns};
use crate::error::{InputError, Result};
use crate::extraction::{DecodedColumn, batch_of, first_embedding};
use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};
use crate::parquet_footer::Footer;
use crate::parquet_window::{Chunk, ChunkWindows, READ_AHEAD_BYTES};
use crate::row_file::{FirstEmbedding, Reading, RowFile};
use crate::split::SplitPart;

/// A Parquet file by its footer.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    metadata: ArrowReaderMetadata,
    columns: Columns,
    /// Numbers of the leaves of both columns, and of the embeddings alone.
    leaves: Vec<usize>,
    embedding_leaves: Vec<usize>,
    groups: Vec<RowGroup>,
    checksum: u32,
}

#[derive(Debug)]
struct RowGroup {
    first_row: u64,
    rows: u64,
    /// Of both columns, in the order of `ParquetFile::leaves`.
    chunks: Vec<Chunk>,
    average_components: usize,
}

impl ParquetFile {
    pub(crate) fn open(file: &FileBytes, id: &str, embedding: &str) -> Result<Self> {
        let failed = |error: &dyn Display| InputError::unreadable(file.uri(), "footer", error);
        let footer = Footer::read(file)?;
        let parquet = Arc::new(footer.metadata);
        // Without the Arrow schema that some writers embed, every list is read as a plain list: a row of a wrong
        // length is then a rejected row and not an unreadable file, and dictionaries are gone.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&parquet), options).map_err(|error| failed(&error))?;
        let mut columns = Columns::find(metadata.schema().fields(), id, embedding, file.uri())?;
        let embedded = ArrowReaderMetadata::try_new(Arc::clone(&parquet), ArrowReaderOptions::new()).ok();
        columns.fixed_dimension = embedded
            .and_then(|embedded| Columns::find(embedded.schema().fields(), id, embedding, file.uri()).ok())
            .and_then(|columns| columns.fixed_dimension);

        let leaves_of = |column: &ColumnPath| -> Vec<usize> {
            let leaves = parquet.file_metadata().schema_descr().columns().iter().enumerate();
            leaves.filter(|(_, leaf)| leaf.path().parts().starts_with(&column.path)).map(|(number, _)| number).collect()
        };
        let embedding_leaves = leaves_of(&columns.embedding);
        let [embedding_leaf] = embedding_leaves[..] else {
            return Err(failed(&format!("the column '{embedding}' is not one column of values")));
        };
        let mut leaves = leaves_of(&columns.id);
        leaves.push(embedding_leaf);
        leaves.sort_unstable();
        leaves.dedup();

        let mut groups = Vec::new();
        let mut first_row = 0_u64;
        for (number, group) in parquet.row_groups().iter().enumerate() {
            let group = RowGroup::of(group, first_row, &leaves, embedding_leaf, footer.start)
                .map_err(|message| InputError::unreadable(file.uri(), format!("row group {number}"), message))?;
            first_row = first_row.saturating_add(group.rows);
            groups.push(group);
        }
        if u64::try_from(parquet.file_metadata().num_rows()) != Ok(first_row) {
            return Err(failed(&format!(
                "it counts {} rows, its row groups have {first_row}",
                parquet.file_metadata().num_rows()
            )));
        }
        Ok(Self { metadata, columns, leaves, embedding_leaves, groups, checksum: footer.checksum })
    }

    fn reader(
        &self,
        file: &Arc<FileBytes>,
        group: usize,
        leaves: &[usize],
        batch_rows: usize,
        read_ahead: usize,
    ) -> Result<ParquetRecordBatchReader> {
        let chunks = self.groups.get(group).map(|group| group.chunks.clone()).unwrap_or_default();
        let windows = ChunkWindows::new(Arc::clone(file), chunks, read_ahead);
        let schema = self.metadata.parquet_schema();
        ParquetRecordBatchReaderBuilder::new_with_metadata(windows, self.metadata.clone())
            .with_projection(ProjectionMask::leaves(schema, leaves.iter().copied()))
            .with_row_groups(vec![group])
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| file.failed(place(group), error))
    }
}

impl RowFile for ParquetFile {
    fn parts(&self) -> Vec<(SplitPart, u64, u64)> {
        let bytes = |group: &RowGroup| group.chunks.iter().map(|chunk| chunk.range.end - chunk.range.start).sum();
        let groups = self.groups.iter().enumerate();
        groups.map(|(number, group)| (SplitPart::RowGroup(number), group.rows, bytes(group))).collect()
    }

    fn fixed_dimension(&self) -> Option<usize> {
        self.columns.fixed_dimension
    }

    fn first_embedding(&self, file: &Arc<FileBytes>) -> Result<Option<FirstEmbedding>> {
        for (number, group) in self.groups.iter().enumerate() {
            // The first row of a group mostly tells; only when it does not is the group read on, by more rows at once.
            let many = rows_per_batch(0, group.average_components, MOST_ROWS_OF_A_SEARCH);
            for (rows, batches) in [(1, 1), (many, usize::MAX)] {
                let reader = self.reader(file, number, &self.embedding_leaves, rows, 0)?;
                let mut first_row = group.first_row;
                for batch in reader.take(batches) {
                    let batch = batch.map_err(|error| file.failed(place(number), error))?;
                    let found = self.columns.embedding.of(&batch).and_then(|(array, nulls)| {
                        let name = &self.columns.embedding.name;
                        let decoded = DecodedColumn { name, array: array.as_ref(), nulls: nulls.as_ref() };
                        first_embedding(&decoded, first_row)
                    });
                    if found.is_some() {
                        return Ok(found);
                    }
                    first_row = first_row.saturating_add(to_u64(batch.num_rows()));
                }
            }
        }
        Ok(None)
    }

    /// The footer has the place and size of every column chunk, and with most writers the extremes of its values.
    fn checksum(&self, _: &dyn Fn() -> Result<Arc<FileBytes>>) -> Result<u32> {
        Ok(self.checksum)
    }

    fn read(&self, file: &Arc<FileBytes>, part: &SplitPart, reading: &mut Reading<'_>) -> Result<()> {
        let (SplitPart::RowGroup(number), columns) = (*part, &self.columns) else { return Ok(()) };
        let Some(group) = self.groups.get(number) else { return Ok(()) };
        let batch_rows = rows_per_batch(reading.dimension, group.average_components, reading.batch_rows)
            .min(to_usize(group.rows).max(1));
        let reader = self.reader(file, number, &self.leaves, batch_rows, READ_AHEAD_BYTES)?;
        let mut rows = 0_u64;
        for batch in reader {
            let batch = batch.map_err(|error| file.failed(place(number), error))?;
            let (Some((ids, id_nulls)), Some((embeddings, embedding_nulls))) =
                (columns.id.of(&batch), columns.embedding.of(&batch))
            else {
                return Err(file.failed(place(number), "a column is missing after decoding"));
            };
            let ids = DecodedColumn { name: &columns.id.name, array: ids.as_ref(), nulls: id_nulls.as_ref() };
            let name = &columns.embedding.name;
            let embeddings = DecodedColumn { name, array: embeddings.as_ref(), nulls: embedding_nulls.as_ref() };
            let first_row = group.first_row.saturating_add(rows);
            let rows_of_batch = batch_of(&ids, &embeddings, reading.dimension, file.uri(), first_row)?;
            rows = rows.saturating_add(to_u64(batch.num_rows()));
            if !(reading.deliver)(rows_of_batch) {
                return Ok(());
            }
        }
        match rows == group.rows {
            true => Ok(()),
            false => Err(file.failed(place(number), format!("it holds {rows} rows, the footer says {}", group.rows))),
        }
    }
}

impl RowGroup {
    fn of(
        group: &RowGroupMetaData,
        first_row: u64,
        leaves: &[usize],
        embedding_leaf: usize,
        data_end: u64,
    ) -> std::result::Result<Self, String> {
        let rows = u64::try_from(group.num_rows()).map_err(|_| format!("it counts {} rows", group.num_rows()))?;
        let column = |leaf: usize| group.columns().get(leaf).ok_or_else(|| format!("it lacks column {leaf}"));
        let chunks: Vec<Chunk> =
            leaves.iter().map(|leaf| chunk_of(column(*leaf)?, data_end)).collect::<std::result::Result<_, String>>()?;
        let components = u64::try_from(column(embedding_leaf)?.num_values()).unwrap_or(0);
        Ok(Self { first_row, rows, chunks, average_components: to_usize(components.checked_div(rows).unwrap_or(0)) })
    }
}

/// Where a column chunk lies, which the decoder takes on trust.
fn chunk_of(column: &ColumnChunkMetaData, data_end: u64) -> std::result::Result<Chunk, String> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let outside = || {
        format!(
            "the column '{}' should lie at byte {start} with {} bytes, the data ends at byte {data_end}",
            column.column_path().string(),
            column.compressed_size()
        )
    };
    let range = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
    let range: Range<u64> = range
        .and_then(|(start, length)| Some(start..start.checked_add(length)?))
        .filter(|range| range.end <= data_end)
        .ok_or_else(outside)?;
    Ok(Chunk { range, decompressed_bytes: u64::try_from(column.uncompressed_size()).unwrap_or(0) })
}

fn place(group: usize) -> String {
    format!("row group {group}")
}
