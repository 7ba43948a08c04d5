//! `.npy`: a table of floats, with the ids in files of their own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use faiss_indexer_storage::Storages;
use half::f16;

use crate::batch::{Batch, rows_per_batch};
use crate::error::{InputError, Result};
use crate::file_bytes::FileBytes;
use crate::npy_array::{NpyArray, NpyNumber};
use crate::number::{to_f32, to_u64, to_usize};
use crate::row_file::{FirstEmbedding, Reading, RowFile};
use crate::split::SplitPart;

/// A table of embeddings, whose ids begin at a row of the list of all ids.
#[derive(Debug)]
pub(crate) struct NpyFile {
    array: NpyArray,
    rows: u64,
    dimension: u64,
    ids: Arc<NpyIds>,
    first_id: u64,
}

/// The list of ids of all rows of the input, in one or more files; without files, the numbers of the rows.
#[derive(Debug)]
pub(crate) struct NpyIds {
    files: Vec<IdFile>,
}

#[derive(Debug)]
struct IdFile {
    uri: String,
    length: u64,
    array: NpyArray,
    first: u64,
    rows: u64,
}

/// Bytes of embeddings that one split has, at least a row.
const SPLIT_BYTES: u64 = 64 << 20;

impl NpyFile {
    pub(crate) fn new(array: NpyArray, uri: &str, ids: Arc<NpyIds>, first_id: u64) -> Result<Self> {
        let (rows, dimension) = array.table(uri)?;
        Ok(Self { array, rows, dimension, ids, first_id })
    }

    fn row_bytes(&self) -> u64 {
        self.dimension.saturating_mul(to_u64(self.array.number.width()))
    }
}

impl RowFile for NpyFile {
    fn parts(&self) -> Vec<(SplitPart, u64, u64)> {
        let row_bytes = self.row_bytes().max(1);
        let rows = (SPLIT_BYTES / row_bytes).max(1);
        let firsts = (0..self.rows).step_by(to_usize(rows));
        firsts
            .map(|first| {
                let count = rows.min(self.rows - first);
                (SplitPart::Rows { first, count }, count, count.saturating_mul(row_bytes))
            })
            .collect()
    }

    fn fixed_dimension(&self) -> Option<usize> {
        Some(to_usize(self.dimension))
    }

    fn first_embedding(&self, _: &Arc<FileBytes>) -> Result<Option<FirstEmbedding>> {
        Ok((self.rows > 0).then(|| FirstEmbedding { row: 0, components: to_usize(self.dimension) }))
    }

    fn checksum(&self, open: &dyn Fn() -> Result<Arc<FileBytes>>) -> Result<u32> {
        open()?.sampled_checksum(self.array.checksum)
    }

    fn read(&self, file: &Arc<FileBytes>, part: &SplitPart, reading: &mut Reading<'_>) -> Result<()> {
        let SplitPart::Rows { first, count } = *part else { return Ok(()) };
        let dimension = to_usize(self.dimension);
        let step = to_u64(rows_per_batch(dimension, dimension, reading.batch_rows));
        let mut ids = self.ids.reader(reading.storages, reading.stop);
        let end = first.saturating_add(count).min(self.rows);
        let mut row = first;
        while row < end {
            let rows = step.min(end - row);
            let start = self.array.start.saturating_add(row.saturating_mul(self.row_bytes()));
            let bytes = file
                .range(start, to_usize(rows.saturating_mul(self.row_bytes())))
                .map_err(|error| file.failed(part.to_string(), error))?;
            let batch = Batch {
                ids: ids.range(self.first_id.saturating_add(row), rows)?,
                vectors: floats(self.array.number, &bytes),
                rejected: Vec::new(),
            };
            if !(reading.deliver)(batch) {
                return Ok(());
            }
            row += rows;
        }
        Ok(())
    }
}

impl NpyIds {
    pub(crate) fn row_numbers() -> Self {
        Self { files: Vec::new() }
    }

    /// Opens the files of ids, in their order.
    pub(crate) fn open(uris: &[String], open: &dyn Fn(&str) -> Result<Arc<FileBytes>>) -> Result<Self> {
        let mut files = Vec::new();
        let mut first = 0_u64;
        for uri in uris {
            let file = open(uri)?;
            let array = NpyArray::read(&file)?;
            let rows = array.list(uri)?;
            files.push(IdFile { uri: uri.clone(), length: file.length(), array, first, rows });
            first = first.saturating_add(rows);
        }
        Ok(Self { files })
    }

    /// Refuses ids that do not belong to `tables`, the embedding files and their numbers of rows. As many files of ids
    /// as of embeddings have to agree one by one; one file has to agree with all of them together.
    pub(crate) fn check(&self, tables: &[(&str, u64)]) -> Result<()> {
        if self.files.len() != tables.len() && self.files.len() != 1 {
            return Err(InputError::ids(format!(
                "there are {} files of ids for {} files of embeddings; there has to be one for each, or one for all",
                self.files.len(),
                tables.len()
            )));
        }
        let rows = tables.iter().fold(0_u64, |sum, (_, rows)| sum.saturating_add(*rows));
        match &self.files[..] {
            [all] if all.rows != rows => {
                Err(InputError::ids(format!("{} has {} ids, the embeddings have {rows} rows", all.uri, all.rows)))
            }
            [_] => Ok(()),
            files => match files.iter().zip(tables).find(|(ids, (_, rows))| ids.rows != *rows) {
                Some((ids, (uri, rows))) => {
                    Err(InputError::ids(format!("{} has {} ids, {uri} has {rows} rows", ids.uri, ids.rows)))
                }
                None => Ok(()),
            },
        }
    }

    /// What each file contributes to the identity of the input.
    pub(crate) fn checksums(&self, open: &dyn Fn(&str) -> Result<Arc<FileBytes>>) -> Result<Vec<(&str, u64, u32)>> {
        let checksum = |ids: &IdFile| open(&ids.uri)?.sampled_checksum(ids.array.checksum);
        self.files.iter().map(|ids| Ok((ids.uri.as_str(), ids.length, checksum(ids)?))).collect()
    }

    fn reader<'a>(&'a self, storages: &'a Storages, stop: &'a Arc<AtomicBool>) -> IdReader<'a> {
        IdReader { ids: self, storages, stop, open: None }
    }
}

/// Reads ids with one open file, which the next rows mostly come from too.
struct IdReader<'a> {
    ids: &'a NpyIds,
    storages: &'a Storages,
    stop: &'a Arc<AtomicBool>,
    open: Option<(usize, Arc<FileBytes>)>,
}

impl IdReader<'_> {
    fn range(&mut self, first: u64, count: u64) -> Result<Vec<i64>> {
        let mut ids = Vec::with_capacity(to_usize(count));
        let mut row = first;
        let end = first.saturating_add(count);
        if self.ids.files.is_empty() {
            ids.extend((row..end).map_while(|row| i64::try_from(row).ok()));
            return Ok(ids);
        }
        while row < end {
            let number = self.ids.files.partition_point(|file| file.first.saturating_add(file.rows) <= row);
            let Some(source) = self.ids.files.get(number) else {
                return Err(InputError::ids(format!("there is no id for row {row}")));
            };
            let file = match self.open.take() {
                Some((open, file)) if open == number => file,
                _ => FileBytes::open(&source.uri, self.storages, Some(source.length), Arc::clone(self.stop))?,
            };
            let rows = (end - row).min(source.first.saturating_add(source.rows) - row);
            let width = to_u64(source.array.number.width());
            let row_of_file = row - source.first;
            let start = source.array.start.saturating_add(row_of_file.saturating_mul(width));
            let bytes = file
                .range(start, to_usize(rows.saturating_mul(width)))
                .map_err(|error| file.failed(format!("row {row_of_file}"), error))?;
            append_ids(source.array.number, &bytes, &mut ids).map_err(|(index, id)| InputError::IdTooLarge {
                uri: source.uri.clone(),
                column: "ids".to_owned(),
                row: row_of_file.saturating_add(to_u64(index)),
                id,
            })?;
            self.open = Some((number, file));
            row += rows;
        }
        Ok(ids)
    }
}

fn numbers<const WIDTH: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; WIDTH]> {
    bytes.as_chunks::<WIDTH>().0.iter().copied()
}

fn floats(number: NpyNumber, bytes: &[u8]) -> Vec<f32> {
    match number {
        NpyNumber::Float16 => numbers(bytes).map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        NpyNumber::Float32 => numbers(bytes).map(f32::from_le_bytes).collect(),
        NpyNumber::Float64 => numbers(bytes).map(|bytes| to_f32(f64::from_le_bytes(bytes))).collect(),
        // No table of embeddings has another type.
        _ => Vec::new(),
    }
}

/// The index and value of the first id that is too large is the error.
fn append_ids(number: NpyNumber, bytes: &[u8], ids: &mut Vec<i64>) -> std::result::Result<(), (usize, u64)> {
    match number {
        NpyNumber::Int8 => ids.extend(numbers(bytes).map(|bytes| i64::from(i8::from_le_bytes(bytes)))),
        NpyNumber::Int16 => ids.extend(numbers(bytes).map(|bytes| i64::from(i16::from_le_bytes(bytes)))),
        NpyNumber::Int32 => ids.extend(numbers(bytes).map(|bytes| i64::from(i32::from_le_bytes(bytes)))),
        NpyNumber::Int64 => ids.extend(numbers(bytes).map(i64::from_le_bytes)),
        NpyNumber::UInt8 => ids.extend(numbers(bytes).map(|bytes| i64::from(u8::from_le_bytes(bytes)))),
        NpyNumber::UInt16 => ids.extend(numbers(bytes).map(|bytes| i64::from(u16::from_le_bytes(bytes)))),
        NpyNumber::UInt32 => ids.extend(numbers(bytes).map(|bytes| i64::from(u32::from_le_bytes(bytes)))),
        NpyNumber::UInt64 => {
            for (index, id) in numbers(bytes).map(u64::from_le_bytes).enumerate() {
                ids.push(i64::try_from(id).map_err(|_| (index, id))?);
            }
        }
        // No list of ids has another type.
        NpyNumber::Float16 | NpyNumber::Float32 | NpyNumber::Float64 => {}
    }
    Ok(())
}
