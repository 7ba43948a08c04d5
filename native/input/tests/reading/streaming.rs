//! Readers: parallel, bounded, stopped promptly, and sparing with the file system.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use faiss_indexer_input::{Input, InputError, InputOptions, Split, SplitPart};
use faiss_indexer_storage::{CreateMode, Storage, Storages};
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;

use crate::counting_storage::CountingStorage;
use crate::npy::npy;
use crate::table::{
    DIMENSION, Floats, Ids, Lists, Row, arrow_file_bytes, embedding_array, expected, gather, good_rows, id_array,
    memory_of, open, options, parquet_bytes, read_all, record_batch, storages_of,
};

fn plain_parquet(rows: usize, rows_per_group: usize) -> Vec<u8> {
    let rows = good_rows(rows);
    let batch = record_batch(id_array(&rows, Ids::Int64), embedding_array(&rows, Lists::List, Floats::Single), false);
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(rows_per_group))
        .set_data_page_size_limit(4_096)
        .set_write_batch_size(64);
    parquet_bytes(&batch, properties.build())
}

fn plain_arrow(rows: usize) -> Vec<u8> {
    let rows = good_rows(rows);
    let batch = record_batch(id_array(&rows, Ids::Int64), embedding_array(&rows, Lists::List, Floats::Single), false);
    arrow_file_bytes(
        &[batch.slice(0, rows.len() / 2), batch.slice(rows.len() / 2, rows.len() / 2)],
        IpcWriteOptions::default(),
    )
}

#[test]
fn several_readers_give_every_row_once() {
    let content = plain_parquet(10_000, 300);
    let storages = storages_of(&[("in/a", &content), ("in/b", &content)]);
    let input = open(&storages, &InputOptions { batch_rows: 128, ..options(false) }).unwrap();
    assert_eq!(input.rows(), 20_000);
    let rows = good_rows(10_000);
    let mut twice = [expected(&rows).vectors, expected(&rows).vectors].concat();
    twice.sort_by(f32::total_cmp);
    for readers in [0, 1, 2, 7, 100] {
        let batches =
            input.read(input.splits(), readers).inspect(|batch| assert!(batch.as_ref().unwrap().rows() <= 128));
        let mut read = gather(batches).unwrap();
        assert_eq!(read.ids.len() * DIMENSION, read.vectors.len());
        read.vectors.sort_by(f32::total_cmp);
        assert_eq!(read.vectors, twice);
    }
}

#[test]
fn some_splits_give_their_rows_and_strange_ones_are_refused() {
    let storages = storages_of(&[("in/a", &plain_parquet(1_000, 300))]);
    let input = open(&storages, &options(false)).unwrap();
    let splits = input.splits();
    let rows: Vec<u64> = splits.iter().map(|split| split.rows).collect();
    assert_eq!(rows, [300, 300, 300, 100]);
    let read = gather(input.read(&splits[1..2], 4)).unwrap();
    assert_eq!(read, expected(&good_rows(1_000)[300..600]));
    assert_eq!(gather(input.read(&[], 4)).unwrap().rows(), 0);
    let strange = Split { part: SplitPart::RowGroup(4), ..splits[0].clone() };
    let error = gather(input.read(&[strange], 1)).unwrap_err();
    assert_eq!(error.to_string(), "the input has no split 'memory:/in/a, row group 4'; did its files change?");
}

#[test]
fn splits_survive_a_journal() {
    let storages = storages_of(&[("in/a", &plain_parquet(1_000, 300))]);
    let input = open(&storages, &options(false)).unwrap();
    let text = serde_json::to_string(input.splits()).unwrap();
    assert!(text.starts_with(r#"[{"file":"memory:/in/a","part":{"rowGroup":0},"rows":300,"bytes":"#), "{text}");
    assert_eq!(serde_json::from_str::<Vec<Split>>(&text).unwrap(), input.splits());
}

#[test]
fn only_the_two_columns_are_read_and_every_byte_once() {
    for content in [plain_parquet(100_000, 1_000_000), plain_parquet(100_000, 20_000), plain_arrow(100_000)] {
        let storage = CountingStorage::new(memory_of(&[("in/file", &content)]));
        let (bytes, requests) = (Arc::clone(&storage.bytes), Arc::clone(&storage.requests));
        let storages = Storages::new().with_memory(Arc::new(storage));
        let input = open(&storages, &options(false)).unwrap();
        let of_splits: u64 = input.splits().iter().map(|split| split.bytes).sum();
        assert!(of_splits * 2 < content.len() as u64, "the other columns are most of the file");
        let description = bytes.swap(0, Ordering::Relaxed);
        assert!(description <= 80 << 10, "{description} bytes were read to open the file");
        requests.store(0, Ordering::Relaxed);
        assert_eq!(read_all(&input).unwrap().rows(), 100_000);
        let read = bytes.load(Ordering::Relaxed);
        assert!(read <= of_splits + 64, "{read} bytes were read of the {of_splits} of both columns");
        assert!(requests.load(Ordering::Relaxed) <= 64, "{requests:?} requests");
    }
}

#[test]
fn the_dimension_is_found_with_few_bytes() {
    for content in [plain_parquet(200_000, 1_000_000), plain_arrow(200_000)] {
        let storage = CountingStorage::new(memory_of(&[("in/file", &content)]));
        let bytes = Arc::clone(&storage.bytes);
        let storages = Storages::new().with_memory(Arc::new(storage));
        let input = open(&storages, &InputOptions { dimension: None, ..options(false) }).unwrap();
        bytes.store(0, Ordering::Relaxed);
        assert_eq!(input.dimension().unwrap(), DIMENSION);
        let first = bytes.swap(0, Ordering::Relaxed);
        assert!(first < 32 << 10, "{first} bytes");
        assert_eq!(input.dimension().unwrap(), DIMENSION);
        assert_eq!(bytes.load(Ordering::Relaxed), 0, "it is remembered");
    }
}

#[test]
fn the_dimension_of_wide_rows_is_found_by_decoding_few_of_them() {
    const WIDTH: usize = 20_000;
    let embedding = |row| Some(vec![Some(row as f32); WIDTH]);
    let mut rows: Vec<Row> = (0..300).map(|row| Row { id: Some(row), embedding: embedding(row) }).collect();
    rows[0].embedding = None;
    let embeddings = embedding_array(&rows, Lists::List, Floats::Single);
    let batch = record_batch(id_array(&rows, Ids::Int64), embeddings, false);
    let arrow = arrow_file_bytes(std::slice::from_ref(&batch), IpcWriteOptions::default());
    let plain = WriterProperties::builder().set_dictionary_enabled(false).set_compression(Compression::UNCOMPRESSED);
    let small_pages = plain.set_data_page_row_count_limit(10).set_write_batch_size(10).build();
    for content in [parquet_bytes(&batch, small_pages), arrow] {
        assert!(content.len() > 20 << 20);
        let storage = CountingStorage::new(memory_of(&[("in/file", &content)]));
        let bytes = Arc::clone(&storage.bytes);
        let storages = Storages::new().with_memory(Arc::new(storage));
        let input = open(&storages, &InputOptions { dimension: None, ..options(false) }).unwrap();
        bytes.store(0, Ordering::Relaxed);
        assert_eq!(input.dimension().unwrap(), WIDTH);
        let read = bytes.load(Ordering::Relaxed);
        assert!(read <= 10 << 20, "{read} bytes");
    }
}

#[test]
fn a_dropped_stream_stops_its_readers() {
    let content = plain_parquet(400_000, 50_000);
    let mut storage = CountingStorage::new(memory_of(&[("in/file", &content)]));
    storage.delay = Duration::from_millis(20);
    let requests = Arc::clone(&storage.requests);
    let storages = Storages::new().with_memory(Arc::new(storage));
    let input = open(&storages, &InputOptions { batch_rows: 100, ..options(false) }).unwrap();
    for taken in [0, 1, 20] {
        let mut stream = input.read(input.splits(), 3);
        assert_eq!(stream.by_ref().take(taken).filter(|batch| batch.is_ok()).count(), taken);
        let start = Instant::now();
        drop(stream);
        assert!(start.elapsed() < Duration::from_millis(1_000), "{:?}", start.elapsed());
        let after = requests.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(requests.load(Ordering::Relaxed), after, "a reader went on");
    }
}

#[test]
fn a_stream_that_nobody_takes_from_reads_little() {
    let content = plain_parquet(400_000, 4_000);
    let storage = CountingStorage::new(memory_of(&[("in/file", &content)]));
    let bytes = Arc::clone(&storage.bytes);
    let storages = Storages::new().with_memory(Arc::new(storage));
    let input = open(&storages, &InputOptions { batch_rows: 1_000, ..options(false) }).unwrap();
    bytes.store(0, Ordering::Relaxed);
    let stream = input.read(input.splits(), 2);
    std::thread::sleep(Duration::from_millis(300));
    // Two readers with a batch each and four that wait: at most six batches, of four to a row group.
    let group: u64 = input.splits()[0].bytes;
    assert!(bytes.load(Ordering::Relaxed) <= 4 * group, "{bytes:?} bytes of row groups of {group}");
    assert_eq!(gather(stream).unwrap().rows(), 400_000);
}

#[test]
fn the_first_error_ends_the_stream() {
    let mut content = plain_parquet(4_000, 1_000);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(content.clone())).unwrap();
    let columns = metadata.row_group(2).columns();
    let embedding = columns.iter().find(|column| column.column_path().string().starts_with("embedding")).unwrap();
    let start = embedding.byte_range().0 as usize;
    content[start..start + 8].fill(0xFF);
    let storages = storages_of(&[("in/file", &content)]);
    let input = open(&storages, &options(false)).unwrap();
    let mut stream = input.read(input.splits(), 3);
    let error = stream.find_map(std::result::Result::err).unwrap();
    let InputError::Unreadable { uri, place, .. } = &error else { panic!("{error}") };
    assert_eq!((uri.as_str(), place.as_str()), ("memory:/in/file", "row group 2"));
    assert!(stream.next().is_none());
}

#[test]
fn the_identity_is_of_names_lengths_and_samples_of_the_contents() {
    let ids = npy("<i8", "(1000,)", &(0..1_000_i64).flat_map(i64::to_le_bytes).collect::<Vec<_>>());
    let floats = |first: f32| -> Vec<u8> {
        let rest = (1..2_000).map(|number| number as f32);
        npy("<f4", "(1000, 2)", &std::iter::once(first).chain(rest).flat_map(f32::to_le_bytes).collect::<Vec<_>>())
    };
    let other_ids = npy("<i8", "(1000,)", &(1..1_001_i64).flat_map(i64::to_le_bytes).collect::<Vec<_>>());
    let (parquet, more, arrow) = (plain_parquet(1_000, 100), plain_parquet(1_001, 100), plain_arrow(1_000));
    let identity = |files: &[(&str, &[u8])], ids: bool| {
        let options =
            InputOptions { ids_uri: ids.then(|| "memory:/ids.npy".to_owned()), dimension: None, ..options(false) };
        open(&storages_of(files), &options).unwrap().identity().unwrap()
    };
    let all = [
        identity(&[("in/a", &parquet)], false),
        identity(&[("in/b", &parquet)], false),
        identity(&[("in/a", &parquet), ("in/b", &parquet)], false),
        identity(&[("in/a", &more)], false),
        identity(&[("in/a", &arrow)], false),
        identity(&[("in/a", &floats(0.0)), ("ids.npy", &ids)], true),
        identity(&[("in/a", &floats(0.5)), ("ids.npy", &ids)], true),
        identity(&[("in/a", &floats(0.0)), ("ids.npy", &other_ids)], true),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(identity(&[("in/a", &parquet)], false), all[0]);
    assert_eq!(identity(&[("in/a", &floats(0.0)), ("ids.npy", &ids)], true), all[5]);
}

#[test]
fn a_file_on_disk_that_is_written_again_has_another_identity_although_no_sample_of_it_differs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.npy");
    let uri = path.to_str().unwrap();
    let write = |content: &[u8], modified: Option<SystemTime>| {
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified.unwrap_or(SystemTime::UNIX_EPOCH)).unwrap();
    };
    let identity = || {
        let options = InputOptions { number_rows: true, dimension: None, ..options(false) };
        Input::open(&[uri.to_owned()], &options, &Storages::new()).unwrap().identity().unwrap()
    };
    let mut content = npy("<f4", "(250000, 4)", &[0; 4_000_000]);
    write(&content, None);
    let before = identity();
    assert_eq!(identity(), before);
    // Between the first two of 16 samples of 4 KiB.
    content[4_000_000 / 32] = 1;
    write(&content, None);
    assert_eq!(identity(), before, "the byte is one of those that are sampled");
    write(&content, Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(1)));
    assert_ne!(identity(), before);
}

#[test]
fn a_file_that_changes_its_length_is_noticed() {
    let memory = memory_of(&[("in/file", &plain_parquet(1_000, 300))]);
    let storages = Storages::new().with_memory(Arc::new(memory.clone()));
    let input = open(&storages, &options(false)).unwrap();
    let mut writer = memory.create("memory:/in/file", CreateMode::Overwrite).unwrap();
    writer.write_all(&plain_parquet(900, 300)).unwrap();
    writer.finish().unwrap();
    assert!(matches!(read_all(&input).unwrap_err(), InputError::Changed { .. }));
}

#[test]
fn input_and_stream_cross_threads() {
    fn crosses<T: Send>(_: &T) {}
    let storages = storages_of(&[("in/a", &plain_parquet(10, 10))]);
    let input: Input = open(&storages, &options(false)).unwrap();
    crosses(&input);
    crosses(&input.read(input.splits(), 1));
}
