//! Arrow IPC: one split for record batches of 64 MiB together.

use std::sync::{Arc, OnceLock};

use arrow_ipc::{CompressionType, MetadataVersion, root_as_message};
use arrow_schema::{DataType, Field, Fields};

use crate::arrow_buffer::Decoded;
use crate::arrow_column::{BatchBody, ColumnReader, Dictionaries};
use crate::arrow_message::{BatchWalk, Block, Level, Messages};
use crate::batch::{MOST_ROWS_OF_A_SEARCH, rows_per_batch};
use crate::column_path::{ColumnPath, Columns};
use crate::error::Result;
use crate::extraction::{DecodedColumn, batch_of, first_embedding};
use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};
use crate::row_file::{FirstEmbedding, Reading, RowFile};
use crate::split::SplitPart;

/// An Arrow IPC file or stream by its messages.
#[derive(Debug)]
pub(crate) struct ArrowFile {
    messages: Messages,
    columns: Columns,
    id_type: DataType,
    embedding_type: DataType,
    batches: Vec<RecordBatch>,
    dictionaries: OnceLock<Dictionaries>,
}

/// Where both columns of a record batch are.
#[derive(Debug)]
struct RecordBatch {
    first_row: u64,
    rows: u64,
    body_start: u64,
    compression: Option<CompressionType>,
    id: Vec<Level>,
    embedding: Vec<Level>,
}

/// Bytes of both columns that one split has, at least a record batch.
const SPLIT_BYTES: u64 = 64 << 20;

impl ArrowFile {
    pub(crate) fn open(file: &FileBytes, messages: Messages, id: &str, embedding: &str) -> Result<Self> {
        let fields = messages.schema.fields();
        let columns = Columns::find(fields, id, embedding, file.uri())?;
        let mut batches = Vec::new();
        let mut first_row = 0_u64;
        for (number, block) in messages.batches.iter().enumerate() {
            let batch = RecordBatch::read(file, block, fields, &columns, first_row)
                .map_err(|message| file.failed(place(number), message))?;
            first_row = first_row.saturating_add(batch.rows);
            batches.push(batch);
        }
        let type_of = |column: &ColumnPath| {
            type_of(fields, &column.path).ok_or_else(|| file.failed("schema", "a column is missing"))
        };
        let (id_type, embedding_type) = (type_of(&columns.id)?, type_of(&columns.embedding)?);
        Ok(Self { columns, id_type, embedding_type, batches, messages, dictionaries: OnceLock::new() })
    }

    fn column(&self, file: &Arc<FileBytes>, batch: &RecordBatch, of: Which) -> Decoded<ColumnReader> {
        let (data_type, path, levels) = match of {
            Which::Id => (&self.id_type, &self.columns.id.path, &batch.id),
            Which::Embedding => (&self.embedding_type, &self.columns.embedding.path, &batch.embedding),
        };
        let body = BatchBody {
            file,
            start: batch.body_start,
            compression: batch.compression,
            dictionary_ids: &self.messages.dictionary_ids,
            dictionaries: self.dictionaries(file)?,
        };
        ColumnReader::open(&body, data_type, path, levels)
    }

    /// The dictionaries of both columns, read by the first reader that needs them.
    fn dictionaries(&self, file: &Arc<FileBytes>) -> Decoded<&Dictionaries> {
        match self.dictionaries.get() {
            Some(dictionaries) => Ok(dictionaries),
            None => {
                let read = self.read_dictionaries(file)?;
                Ok(self.dictionaries.get_or_init(|| read))
            }
        }
    }

    fn read_dictionaries(&self, file: &Arc<FileBytes>) -> Decoded<Dictionaries> {
        let mut dictionaries = Dictionaries::new();
        for (data_type, path) in
            [(&self.id_type, &self.columns.id.path), (&self.embedding_type, &self.columns.embedding.path)]
        {
            let Some((path, values)) = dictionary_in(data_type, path) else { continue };
            let id = *self.messages.dictionary_ids.get(&path).ok_or("a dictionary has no number")?;
            for block in &self.messages.dictionaries {
                self.read_dictionary(file, block, id, values, &mut dictionaries)?;
            }
        }
        Ok(dictionaries)
    }

    fn read_dictionary(
        &self,
        file: &Arc<FileBytes>,
        block: &Block,
        id: i64,
        values: &DataType,
        dictionaries: &mut Dictionaries,
    ) -> Decoded<()> {
        let bytes = block.message(file)?;
        let message = root_as_message(&bytes).map_err(|error| error.to_string())?;
        let dictionary = message.header_as_dictionary_batch().ok_or("a dictionary is of another type")?;
        if dictionary.id() != id {
            return Ok(());
        }
        let data = dictionary.data().ok_or("a dictionary is empty")?;
        let walk = || BatchWalk::new(data, message.version(), block.body_length);
        let fields = Fields::from(vec![Field::new("values", values.clone(), true)]);
        let path = ["values".to_owned()];
        let levels = walk().find(&fields, &path)?;
        let body = BatchBody {
            file,
            start: block.body_start(),
            compression: walk().compression(),
            dictionary_ids: &self.messages.dictionary_ids,
            dictionaries: &Dictionaries::new(),
        };
        let (values, _) = ColumnReader::open(&body, values, &path, &levels)?.read(0, walk().rows()?)?;
        let values = match dictionaries.remove(&id) {
            None => values,
            Some(earlier) if dictionary.isDelta() => {
                arrow_select::concat::concat(&[earlier.as_ref(), values.as_ref()]).map_err(|error| error.to_string())?
            }
            Some(_) => {
                return Err("a dictionary is replaced by another; write the data again with one dictionary".to_owned());
            }
        };
        dictionaries.insert(id, values);
        Ok(())
    }

    fn read_batch(
        &self,
        file: &Arc<FileBytes>,
        batch: &RecordBatch,
        place: &str,
        reading: &mut Reading<'_>,
    ) -> Result<bool> {
        let failed = |message: String| file.failed(place, message);
        let mut ids = self.column(file, batch, Which::Id).map_err(failed)?;
        let mut embeddings = self.column(file, batch, Which::Embedding).map_err(failed)?;
        let step = to_u64(rows_per_batch(reading.dimension, batch.average_components(), reading.batch_rows));
        let mut row = 0_u64;
        while row < batch.rows {
            let count = step.min(batch.rows - row);
            let (id_array, id_nulls) = ids.read(row, count).map_err(failed)?;
            let (array, nulls) = embeddings.read(row, count).map_err(failed)?;
            let ids = DecodedColumn { name: &self.columns.id.name, array: id_array.as_ref(), nulls: id_nulls.as_ref() };
            let name = &self.columns.embedding.name;
            let embeddings = DecodedColumn { name, array: array.as_ref(), nulls: nulls.as_ref() };
            let first_row = batch.first_row.saturating_add(row);
            let rows = batch_of(&ids, &embeddings, reading.dimension, file.uri(), first_row)?;
            if !(reading.deliver)(rows) {
                return Ok(false);
            }
            row += count;
        }
        Ok(true)
    }
}

#[derive(Clone, Copy)]
enum Which {
    Id,
    Embedding,
}

impl RowFile for ArrowFile {
    fn parts(&self) -> Vec<(SplitPart, u64, u64)> {
        let mut parts: Vec<(usize, usize, u64, u64)> = Vec::new();
        for (number, batch) in self.batches.iter().enumerate() {
            let added = batch.bytes();
            match parts.last_mut() {
                Some((_, count, rows, bytes)) if bytes.saturating_add(added) <= SPLIT_BYTES => {
                    *count += 1;
                    *rows = rows.saturating_add(batch.rows);
                    *bytes += added;
                }
                _ => parts.push((number, 1, batch.rows, added)),
            }
        }
        let part = |(first, count, rows, bytes)| (SplitPart::RecordBatches { first, count }, rows, bytes);
        parts.into_iter().map(part).collect()
    }

    fn fixed_dimension(&self) -> Option<usize> {
        self.columns.fixed_dimension
    }

    fn first_embedding(&self, file: &Arc<FileBytes>) -> Result<Option<FirstEmbedding>> {
        for (number, batch) in self.batches.iter().enumerate() {
            let failed = |message: String| file.failed(place(number), message);
            let mut column = self.column(file, batch, Which::Embedding).map_err(failed)?;
            let mut row = 0;
            // The first row mostly tells; more at once only when it does not.
            let mut step = 1;
            while row < batch.rows {
                let count = batch.rows.min(row + step) - row;
                let (array, nulls) = column.read(row, count).map_err(failed)?;
                let name = &self.columns.embedding.name;
                let decoded = DecodedColumn { name, array: array.as_ref(), nulls: nulls.as_ref() };
                let found = first_embedding(&decoded, batch.first_row.saturating_add(row));
                if found.is_some() {
                    return Ok(found);
                }
                row += count;
                step = to_u64(rows_per_batch(0, batch.average_components(), MOST_ROWS_OF_A_SEARCH));
            }
        }
        Ok(None)
    }

    fn checksum(&self, open: &dyn Fn() -> Result<Arc<FileBytes>>) -> Result<u32> {
        open()?.sampled_checksum(self.messages.checksum)
    }

    fn read(&self, file: &Arc<FileBytes>, part: &SplitPart, reading: &mut Reading<'_>) -> Result<()> {
        let SplitPart::RecordBatches { first, count } = *part else { return Ok(()) };
        for (number, batch) in self.batches.iter().enumerate().skip(first).take(count) {
            if !self.read_batch(file, batch, &place(number), reading)? {
                break;
            }
        }
        Ok(())
    }
}

impl RecordBatch {
    fn read(file: &FileBytes, block: &Block, fields: &Fields, columns: &Columns, first_row: u64) -> Decoded<Self> {
        file.check(block.start, block.metadata_length.saturating_add(block.body_length))
            .map_err(|error| error.to_string())?;
        let bytes = block.message(file)?;
        let message = root_as_message(&bytes).map_err(|error| error.to_string())?;
        if message.version() < MetadataVersion::V4 {
            return Err(format!("the version {:?} is too old", message.version()));
        }
        let batch = message.header_as_record_batch().ok_or("it is of another type")?;
        let walk = || BatchWalk::new(batch, message.version(), block.body_length);
        let rows = walk().rows()?;
        let id = walk().find(fields, &columns.id.path)?;
        let embedding = walk().find(fields, &columns.embedding.path)?;
        for (column, levels) in [(&columns.id, &id), (&columns.embedding, &embedding)] {
            match levels.get(column.path.len().saturating_sub(1)) {
                Some(level) if level.rows == rows => {}
                _ => return Err(format!("the column '{}' has not as many values as there are rows", column.name)),
            }
        }
        Ok(Self { first_row, rows, body_start: block.body_start(), compression: walk().compression(), id, embedding })
    }

    fn bytes(&self) -> u64 {
        let buffers = self.id.iter().chain(&self.embedding).flat_map(|level| &level.buffers);
        buffers.fold(0, |sum, (_, length)| sum.saturating_add(*length))
    }

    fn average_components(&self) -> usize {
        let components = self.embedding.last().map_or(0, |level| level.rows);
        to_usize(components.checked_div(self.rows).unwrap_or(0))
    }
}

fn type_of(fields: &Fields, path: &[String]) -> Option<DataType> {
    let (name, rest) = path.split_first()?;
    let field = fields.iter().find(|field| field.name() == name)?;
    match (rest, field.data_type()) {
        ([], data_type) => Some(data_type.clone()),
        (rest, DataType::Struct(children)) => type_of(children, rest),
        _ => None,
    }
}

/// The dictionary in a column: of the column itself, or of the items of its lists.
fn dictionary_in<'a>(data_type: &'a DataType, path: &[String]) -> Option<(Vec<String>, &'a DataType)> {
    match data_type {
        DataType::Dictionary(_, values) => Some((path.to_vec(), values)),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            dictionary_in(item.data_type(), &[path, &[item.name().clone()]].concat())
        }
        _ => None,
    }
}

fn place(batch: usize) -> String {
    format!("record batch {batch}")
}
