//! Rows as the tests think of them, as Arrow arrays, as files, and as what is to be read of them.

use std::sync::Arc;

use arrow_array::types::{Int8Type, Int16Type, Int32Type, UInt16Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, LargeListArray, ListArray, PrimitiveArray, RecordBatch, StringArray,
    StructArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use faiss_indexer_input::{Batch, Input, InputOptions, Rejected, Result};
use faiss_indexer_storage::{CreateMode, MemoryStorage, Storage, Storages};
use half::f16;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

pub(crate) const DIMENSION: usize = 3;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: Option<i64>,
    pub(crate) embedding: Option<Vec<Option<f32>>>,
}

/// Good rows whose ids fit into every integer type and whose components into every float type.
pub(crate) fn good_rows(count: usize) -> Vec<Row> {
    let component = |row: usize, column: usize| Some((row * 7 + column * 3) as f32 % 251.0 / 8.0);
    let embedding = |row| Some((0..DIMENSION).map(|column| component(row, column)).collect());
    (0..count).map(|row| Row { id: Some(row as i64 % 128), embedding: embedding(row) }).collect()
}

/// Good rows with one of each bad kind among every eleven. Wrong dimensions only when `lengths_vary`.
pub(crate) fn mixed_rows(count: usize, lengths_vary: bool) -> Vec<Row> {
    let mut rows = good_rows(count);
    for (number, row) in rows.iter_mut().enumerate() {
        match number % 11 {
            2 => row.id = None,
            4 => row.embedding = None,
            5 => row.embedding.as_mut().unwrap()[1] = None,
            7 if lengths_vary => row.embedding.as_mut().unwrap().push(Some(1.0)),
            8 if lengths_vary => row.embedding = Some(Vec::new()),
            9 => (row.id, row.embedding) = (None, None),
            _ => {}
        }
    }
    rows
}

pub(crate) fn expected(rows: &[Row]) -> Batch {
    let mut batch = Batch::default();
    for row in rows {
        match (row.id, &row.embedding) {
            (None, _) => batch.rejected.push(Rejected::NullId),
            (Some(id), None) => batch.rejected.push(Rejected::NullEmbedding { id }),
            (Some(id), Some(components)) if components.len() != DIMENSION => {
                batch.rejected.push(Rejected::WrongDimension { id, dimension: components.len() });
            }
            (Some(id), Some(components)) if components.contains(&None) => {
                batch.rejected.push(Rejected::NullComponent { id });
            }
            (Some(id), Some(components)) => {
                batch.ids.push(id);
                batch.vectors.extend(components.iter().flatten());
            }
        }
    }
    batch
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Floats {
    Half,
    Single,
    Double,
    DictionaryOfSingle,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Lists {
    List,
    Large,
    Fixed,
    DictionaryOfList,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ids {
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    DictionaryOfInt64,
    DictionaryOfUInt32,
}

pub(crate) const ALL_IDS: [Ids; 10] = [
    Ids::Int8,
    Ids::Int16,
    Ids::Int32,
    Ids::Int64,
    Ids::UInt8,
    Ids::UInt16,
    Ids::UInt32,
    Ids::UInt64,
    Ids::DictionaryOfInt64,
    Ids::DictionaryOfUInt32,
];

pub(crate) fn id_array(rows: &[Row], kind: Ids) -> ArrayRef {
    fn cast<T>(rows: &[Row], convert: impl Fn(i64) -> T) -> Vec<Option<T>> {
        rows.iter().map(|row| row.id.map(&convert)).collect()
    }
    match kind {
        Ids::Int8 => Arc::new(Int8Array::from(cast(rows, |id| id as i8))),
        Ids::Int16 => Arc::new(Int16Array::from(cast(rows, |id| id as i16))),
        Ids::Int32 => Arc::new(Int32Array::from(cast(rows, |id| id as i32))),
        Ids::Int64 => Arc::new(Int64Array::from(cast(rows, |id| id))),
        Ids::UInt8 => Arc::new(UInt8Array::from(cast(rows, |id| id as u8))),
        Ids::UInt16 => Arc::new(UInt16Array::from(cast(rows, |id| id as u16))),
        Ids::UInt32 => Arc::new(UInt32Array::from(cast(rows, |id| id as u32))),
        Ids::UInt64 => Arc::new(UInt64Array::from(cast(rows, |id| id as u64))),
        // The values stand in reverse, so that keys taken for values are noticed.
        Ids::DictionaryOfInt64 => {
            let values = Int64Array::from_iter_values((0..128).rev());
            let keys = PrimitiveArray::<Int8Type>::from(cast(rows, |id| (127 - id) as i8));
            Arc::new(DictionaryArray::new(keys, Arc::new(values)))
        }
        Ids::DictionaryOfUInt32 => {
            let values = UInt32Array::from_iter_values((0..128).rev());
            let keys = PrimitiveArray::<UInt16Type>::from(cast(rows, |id| (127 - id) as u16));
            Arc::new(DictionaryArray::new(keys, Arc::new(values)))
        }
    }
}

fn floats(values: &[Option<f32>], kind: Floats) -> ArrayRef {
    match kind {
        Floats::Half => Arc::new(Float16Array::from_iter(values.iter().map(|value| value.map(f16::from_f32)))),
        Floats::Single => Arc::new(Float32Array::from(values.to_vec())),
        Floats::Double => Arc::new(Float64Array::from_iter(values.iter().map(|value| value.map(f64::from)))),
        Floats::DictionaryOfSingle => {
            let keys: PrimitiveArray<Int16Type> =
                values.iter().map(|value| value.map(|value| (value * 8.0) as i16)).collect();
            let values = Float32Array::from_iter_values((0..256).map(|eighths| eighths as f32 / 8.0));
            Arc::new(DictionaryArray::new(keys, Arc::new(values)))
        }
    }
}

pub(crate) fn embedding_array(rows: &[Row], lists: Lists, kind: Floats) -> ArrayRef {
    if lists == Lists::DictionaryOfList {
        let keys: PrimitiveArray<Int32Type> = rows
            .iter()
            .enumerate()
            .map(|(number, row)| row.embedding.as_ref().map(|_| (rows.len() - 1 - number) as i32))
            .collect();
        let reversed: Vec<Row> = rows.iter().rev().cloned().collect();
        return Arc::new(DictionaryArray::new(keys, embedding_array(&reversed, Lists::List, kind)));
    }
    // What stands under a null row is not to be seen.
    let hidden = vec![Some(3.0); DIMENSION];
    let components = |row: &Row| row.embedding.clone().unwrap_or_else(|| hidden.clone());
    let values: Vec<Option<f32>> = rows.iter().flat_map(components).collect();
    let lengths = rows.iter().map(|row| components(row).len());
    let nulls = Some(NullBuffer::from_iter(rows.iter().map(|row| row.embedding.is_some())));
    let values = floats(&values, kind);
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    match lists {
        Lists::List => Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), values, nulls)),
        Lists::Large => Arc::new(LargeListArray::new(item, OffsetBuffer::from_lengths(lengths), values, nulls)),
        Lists::Fixed => Arc::new(FixedSizeListArray::new(item, DIMENSION as i32, values, nulls)),
        Lists::DictionaryOfList => unreachable!("made above"),
    }
}

/// A batch with both columns, at the top or inside the struct `features`, and others around them.
pub(crate) fn record_batch(ids: ArrayRef, embeddings: ArrayRef, nested: bool) -> RecordBatch {
    let count = ids.len();
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|row| format!("word {row}"))));
    let tags: ArrayRef = Arc::new(ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8, true)),
        OffsetBuffer::new(ScalarBuffer::from((0..=count as i32).collect::<Vec<_>>())),
        Arc::clone(&words),
        None,
    ));
    let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let inner = [("noise", tags.clone()), ("entityId", ids), ("embedding", embeddings)];
    let mut columns = vec![("word", words)];
    if nested {
        let (fields, arrays): (Vec<_>, Vec<_>) =
            inner.iter().map(|(name, array)| (field(name, array), array.clone())).unzip();
        columns.push(("features", Arc::new(StructArray::new(fields.into(), arrays, None))));
    } else {
        columns.extend(inner);
    }
    columns.push(("last", tags));
    let fields: Vec<_> = columns.iter().map(|(name, array)| field(name, array)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

pub(crate) fn options(nested: bool) -> InputOptions {
    let prefix = if nested { "features." } else { "" };
    InputOptions {
        id_column: format!("{prefix}entityId"),
        embedding_column: format!("{prefix}embedding"),
        dimension: Some(DIMENSION),
        ..InputOptions::default()
    }
}

pub(crate) fn parquet_bytes(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

pub(crate) fn arrow_file_bytes(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

pub(crate) fn arrow_stream_bytes(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

/// Storages with files in memory, by name and content.
pub(crate) fn storages_of(files: &[(&str, &[u8])]) -> Storages {
    Storages::new().with_memory(Arc::new(memory_of(files)))
}

pub(crate) fn memory_of(files: &[(&str, &[u8])]) -> MemoryStorage {
    let memory = MemoryStorage::new();
    for (name, content) in files {
        let mut writer = memory.create(&format!("memory:/{name}"), CreateMode::New).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap();
    }
    memory
}

/// Opens the directory of all files.
pub(crate) fn open(storages: &Storages, options: &InputOptions) -> Result<Input> {
    Input::open(&["memory:/in".to_owned()], options, storages)
}

/// All batches of one reader as one.
pub(crate) fn read_all(input: &Input) -> Result<Batch> {
    gather(input.read(input.splits(), 1))
}

pub(crate) fn gather(batches: impl Iterator<Item = Result<Batch>>) -> Result<Batch> {
    let mut all = Batch::default();
    for batch in batches {
        let batch = batch?;
        all.ids.extend(batch.ids);
        all.vectors.extend(batch.vectors);
        all.rejected.extend(batch.rejected);
    }
    Ok(all)
}

pub(crate) fn read_bytes(content: &[u8], options: &InputOptions) -> Result<Batch> {
    let input = open(&storages_of(&[("in/file", content)]), options)?;
    let read = read_all(&input)?;
    assert_eq!(read.rows() as u64, input.rows());
    Ok(read)
}
