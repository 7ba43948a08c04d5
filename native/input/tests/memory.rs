//! Peak memory of reading files that are one row group, one record batch or one table of 200 MB.

#![allow(clippy::as_conversions, clippy::panic, clippy::unwrap_used, reason = "tests report by panicking")]

mod process_memory;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, ListArray, RecordBatch};
use arrow_buffer::OffsetBuffer;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{DataType, Field, Schema};
use faiss_indexer_input::{Input, InputOptions};
use faiss_indexer_storage::Storages;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use process_memory::memory_bytes;

const ROWS: usize = 400_000;
const DIMENSION: usize = 128;
const FILE_BYTES: u64 = 200 << 20;

/// What the documentation of the crate allows two readers, and the process itself.
const RESIDENT_BYTES: u64 = 96 << 20;

/// Names the file that this program, started again, is to write.
const FILE_TO_WRITE: &str = "FAISS_INDEXER_TEST_FILE_TO_WRITE";

const KINDS: [&str; 5] = ["parquet", "parquet-snappy", "arrow", "arrow-zstd", "npy"];

fn component(row: usize, column: usize) -> f32 {
    ((row * 31 + column * 17) % 8_191) as f32 / 4.0
}

fn batch(rows: std::ops::Range<usize>, fixed: bool) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row as i64)));
    let values = rows.clone().flat_map(|row| (0..DIMENSION).map(move |column| component(row, column)));
    let values: ArrayRef = Arc::new(Float32Array::from_iter_values(values));
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let embeddings: ArrayRef = match fixed {
        true => Arc::new(FixedSizeListArray::new(item, DIMENSION as i32, values, None)),
        false => {
            let lengths = OffsetBuffer::from_lengths(rows.map(|_| DIMENSION));
            Arc::new(ListArray::new(item, lengths, values, None))
        }
    };
    let field = |name: &str, array: &ArrayRef| Field::new(name, array.data_type().clone(), true);
    let schema = Schema::new(vec![field("entityId", &ids), field("embedding", &embeddings)]);
    RecordBatch::try_new(Arc::new(schema), vec![ids, embeddings]).unwrap()
}

fn write(path: &Path) {
    let file = BufWriter::new(File::create(path).unwrap());
    match path.file_name().unwrap().to_str().unwrap() {
        kind @ ("parquet" | "parquet-snappy") => {
            let compression = if kind == "parquet" { Compression::UNCOMPRESSED } else { Compression::SNAPPY };
            let properties = WriterProperties::builder()
                .set_compression(compression)
                .set_dictionary_enabled(false)
                .set_max_row_group_row_count(Some(ROWS))
                .build();
            let mut writer = ArrowWriter::try_new(file, batch(0..1, false).schema(), Some(properties)).unwrap();
            for first in (0..ROWS).step_by(10_000) {
                writer.write(&batch(first..first + 10_000, false)).unwrap();
            }
            writer.close().unwrap();
        }
        kind @ ("arrow" | "arrow-zstd") => {
            let compression = (kind == "arrow-zstd").then_some(CompressionType::ZSTD);
            let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
            let batch = batch(0..ROWS, compression.is_some());
            let mut writer = FileWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
        }
        _ => {
            let header = |descr: &str, shape: String| {
                let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
                let padded = format!("{text:<117}\n");
                [b"\x93NUMPY\x01\x00", &118_u16.to_le_bytes()[..], padded.as_bytes()].concat()
            };
            let mut file = file;
            file.write_all(&header("<f4", format!("{ROWS}, {DIMENSION}"))).unwrap();
            for row in 0..ROWS {
                let row: Vec<u8> = (0..DIMENSION).flat_map(|column| component(row, column).to_le_bytes()).collect();
                file.write_all(&row).unwrap();
            }
            file.flush().unwrap();
            let ids: Vec<u8> = (0..ROWS as i64).flat_map(i64::to_le_bytes).collect();
            std::fs::write(path.with_extension("ids"), [header("<i8", format!("{ROWS},")), ids].concat()).unwrap();
        }
    }
}

#[test]
fn two_readers_of_a_large_file_stay_within_the_documented_memory() {
    if let Some(path) = std::env::var_os(FILE_TO_WRITE) {
        write(Path::new(&path));
        return;
    }
    for kind in KINDS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(kind);
        let written = Command::new(std::env::current_exe().unwrap()).env(FILE_TO_WRITE, &path).output().unwrap();
        assert!(written.status.success(), "{written:?}");
        if !matches!(kind, "parquet-snappy" | "arrow-zstd") {
            assert!(path.metadata().unwrap().len() > FILE_BYTES * 9 / 10);
        }

        let ids_uri = (kind == "npy").then(|| path.with_extension("ids").to_str().unwrap().to_owned());
        let options = InputOptions { ids_uri, ..InputOptions::default() };
        let input = Input::open(&[path.to_str().unwrap().to_owned()], &options, &Storages::new()).unwrap();
        assert_eq!(input.dimension().unwrap(), DIMENSION);
        let (mut rows, mut wrong) = (0, 0);
        for batch in input.read(input.splits(), 2) {
            let batch = batch.unwrap();
            rows += batch.ids.len();
            for (id, vector) in batch.ids.iter().zip(batch.vectors.chunks_exact(DIMENSION)) {
                wrong += usize::from(vector[5] != component(*id as usize, 5));
            }
        }
        assert_eq!((rows, wrong), (ROWS, 0), "{kind}");
        let peak = memory_bytes("VmHWM");
        assert!(peak <= RESIDENT_BYTES, "{kind}: {} MiB", peak >> 20);
    }
}
