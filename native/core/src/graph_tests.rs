//! Indexes of one task against those that Faiss fills on its own.

use std::time::{Duration, Instant};

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::{FaissIndex, FaissMetric, OuterIdMap};
use crate::graph_hnsw::build_at;
use crate::graph_index::{GraphIndex, Level, Write};
use crate::graph_pace::Pace;
use crate::single_task::build_single_task;
use crate::stage::Progress;
use crate::test_builds::Rows;
use crate::workers::Workers;

/// Clustered rows of which a third are copies of others.
fn rows_with_copies(count: usize, dimension: usize) -> Rows {
    let mut rows = Rows::new(count, dimension);
    for row in (0..count).filter(|row| row % 3 == 2) {
        let original = row * 7 % count.min(40);
        rows.vectors.copy_within(original * dimension..(original + 1) * dimension, row * dimension);
    }
    rows
}

/// A trained index: its file, and the index itself for Faiss to go on with.
fn trained(factory: &str, metric: FaissMetric, rows: &Rows) -> (Vec<u8>, FaissIndex) {
    let mut index = FaissIndex::create(u64::try_from(rows.dimension).unwrap(), factory, metric).unwrap();
    index.train_alone(&rows.vectors).unwrap();
    (index.write().unwrap(), index)
}

fn build(trained: &[u8], rows: &Rows, threads: usize) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut write = |piece: &[u8]| {
        assert!(piece.len() <= 1 << 20);
        file.extend_from_slice(piece);
        Ok(())
    };
    build_into(&mut write, trained, rows, threads, &Cancellation::default())?;
    Ok(file)
}

fn build_into(
    write: &mut Write<'_>,
    trained: &[u8],
    rows: &Rows,
    threads: usize,
    cancellation: &Cancellation,
) -> Result<()> {
    let workers = Workers::new(threads, "test").unwrap();
    let (ids, vectors) = (rows.ids.clone(), rows.vectors.clone());
    build_single_task(trained, ids, vectors, write, &workers, cancellation, &Progress::default())
}

/// In one call.
const ALL_ROWS: i64 = i64::MAX;
const METRICS: [FaissMetric; 2] = [FaissMetric::L2, FaissMetric::InnerProduct];

fn assert_equals_stock(factory: &str, metric: FaissMetric, rows: &Rows, threads: &[usize]) {
    let (trained, mut stock) = trained(factory, metric, rows);
    let expected = stock.add_and_write(&rows.ids, &rows.vectors, ALL_ROWS, OuterIdMap::Plain).unwrap();
    for &threads in threads {
        assert!(build(&trained, rows, threads).unwrap() == expected, "{factory} {metric:?} on {threads} threads");
    }
}

#[test]
fn hnsw_equals_what_stock_faiss_writes_on_any_number_of_threads() {
    let rows = rows_with_copies(3_000, 24);
    for factory in ["HNSW8", "HNSW16,Flat", "HNSW32,SQ8", "HNSW16,SQfp16", "HNSW8,PQ4np", "HNSW4,SQ4"] {
        for metric in METRICS {
            assert_equals_stock(factory, metric, &rows, &[1, 2, 4]);
        }
    }
    for metric in [FaissMetric::L1, FaissMetric::Linf] {
        assert_equals_stock("HNSW16", metric, &rows, &[1, 2, 4]);
    }
}

#[test]
fn nsg_equals_what_stock_faiss_writes_on_any_number_of_threads() {
    let rows = rows_with_copies(400, 8);
    for factory in ["NSG16", "NSG32,Flat", "NSG32,SQ8", "NSG48,PQ4np"] {
        for metric in METRICS {
            assert_equals_stock(factory, metric, &rows, &[1, 3]);
        }
    }
}

#[test]
fn hnsw_equals_what_stock_faiss_writes_however_many_rows_are_searched_at_once() {
    let rows = rows_with_copies(1_200, 16);
    for factory in ["HNSW4", "HNSW16,SQ8", "HNSW8,PQ4np"] {
        for metric in METRICS {
            let (trained, mut stock) = trained(factory, metric, &rows);
            let expected = stock.add_and_write(&rows.ids, &rows.vectors, ALL_ROWS, OuterIdMap::Plain).unwrap();
            for at_once in [1, 2, 7, 64, 500] {
                let workers = Workers::new(3, "test").unwrap();
                let (cancellation, progress) = (Cancellation::default(), Progress::default());
                let mut index = GraphIndex::read(&trained).unwrap();
                let mut whole = index.whole();
                let Level::Hnsw { mut storage } = whole.level() else { panic!("{factory} is not HNSW") };
                storage.encode(&rows.vectors, &workers, &cancellation).unwrap();
                let (pace, vectors) = (Pace::always(at_once), Some(rows.vectors.as_slice()));
                build_at(pace, &mut whole, vectors, rows.ids.len(), &workers, &cancellation, &progress).unwrap();
                let mut file = Vec::new();
                let mut write = |piece: &[u8]| {
                    file.extend_from_slice(piece);
                    Ok(())
                };
                index.write(rows.ids.clone(), &mut write, &cancellation).unwrap();
                assert!(file == expected, "{factory} {metric:?}, {at_once} rows at once");
            }
        }
    }
}

#[test]
fn rows_that_are_all_alike_and_very_few_rows_equal_what_stock_faiss_writes() {
    let mut alike = Rows::new(500, 8);
    let first = alike.row(0).to_vec();
    alike.vectors = first.repeat(500);
    for factory in ["HNSW4", "HNSW16,SQ8"] {
        for metric in METRICS {
            assert_equals_stock(factory, metric, &alike, &[1, 2]);
        }
    }
    let training = Rows::new(300, 8);
    for factory in ["HNSW8", "HNSW8,SQ8", "PCA4,HNSW8,RFlat", "OPQ2_4,HNSW8,PQ2np"] {
        for count in [0, 1, 2, 3, 33] {
            let rows = training.select(0..count);
            let (trained, mut stock) = trained(factory, FaissMetric::L2, &training);
            let expected = stock.add_and_write(&rows.ids, &rows.vectors, ALL_ROWS, OuterIdMap::Plain).unwrap();
            assert!(build(&trained, &rows, 2).unwrap() == expected, "{factory} with {count} rows");
        }
    }
}

#[test]
fn rows_that_nsg_cannot_link_are_an_error_and_no_endless_search() {
    for factory in ["NSG16", "NSG4,SQ8"] {
        let mut alike = Rows::new(2_000, 8);
        alike.vectors = alike.row(0).repeat(2_000);
        let (trained, _) = trained(factory, FaissMetric::L2, &alike);
        let error = build(&trained, &alike, 2).unwrap_err();
        assert!(error.to_string().contains("too many rows are alike"), "{factory}: {error}");
    }
}

#[test]
fn several_builds_that_search_locally_at_the_same_time_equal_what_stock_faiss_writes() {
    let rows = rows_with_copies(300, 8);
    let (trained, mut stock) = trained("LSQ2x4", FaissMetric::L2, &rows);
    let expected = stock.add_and_write(&rows.ids, &rows.vectors, ALL_ROWS, OuterIdMap::Plain).unwrap();
    std::thread::scope(|scope| {
        let builds: Vec<_> = (0..4).map(|_| scope.spawn(|| build(&trained, &rows, 1).unwrap())).collect();
        assert!(builds.into_iter().all(|build| build.join().unwrap() == expected));
    });
}

#[test]
fn whatever_is_around_a_graph_and_families_without_one_equal_what_stock_faiss_writes() {
    // More rows than one block of encoding, and no whole number of its tiles.
    let rows = rows_with_copies(3_333, 64);
    for factory in [
        "PCA32,HNSW8,SQ8",
        "OPQ4_32,HNSW8,PQ4np",
        "L2norm,HNSW8",
        "HNSW8,PQ2np",
        "HNSW8,SQ8,RFlat",
        "PCAR16,HNSW8,Refine(SQ8)",
        "SQ8",
        "PCA32,PQ2np,RFlat",
    ] {
        assert_equals_stock(factory, FaissMetric::L2, &rows, &[1, 2]);
    }
    assert_equals_stock("LSQ2x4", FaissMetric::L2, &rows.select(0..300), &[1, 2]);
    assert_equals_stock("PCA8,NSG8,RFlat", FaissMetric::L2, &rows.select(0..300), &[2]);
}

#[test]
fn an_id_map_of_the_factory_string_is_the_one_that_is_written() {
    let rows = rows_with_copies(500, 8);
    for factory in ["IDMap,HNSW8", "IDMap2,HNSW8,SQ8"] {
        let (trained, mut stock) = trained(factory, FaissMetric::L2, &rows);
        let expected = stock.add_and_write(&rows.ids, &rows.vectors, ALL_ROWS, OuterIdMap::None).unwrap();
        assert!(build(&trained, &rows, 2).unwrap() == expected, "{factory}");
    }
}

#[test]
fn too_few_rows_for_nsg_are_an_error_and_no_endless_search() {
    let rows = rows_with_copies(130, 8);
    for (factory, count) in [("NSG16", 0), ("NSG16", 1), ("NSG16", 100), ("NSG100", 130)] {
        let (trained, _) = trained(factory, FaissMetric::L2, &rows);
        let error = build(&trained, &rows.select(0..count), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooFewRows, "{factory} with {count} rows: {error}");
    }
}

#[test]
fn a_build_stops_within_a_fifth_of_a_second_of_its_cancellation() {
    for (factory, count) in [("HNSW32", 60_000), ("NSG32", 30_000)] {
        let rows = Rows::new(count, 32);
        let (trained, _) = trained(factory, FaissMetric::L2, &rows);
        let cancellation = Cancellation::default();
        let (result, late) = std::thread::scope(|scope| {
            let build = scope.spawn(|| {
                let result = build_into(&mut |_| Ok(()), &trained, &rows, 2, &cancellation);
                (result, Instant::now())
            });
            std::thread::sleep(Duration::from_millis(400));
            cancellation.cancel();
            let cancelled = Instant::now();
            let (result, ended) = build.join().unwrap();
            (result, ended.saturating_duration_since(cancelled))
        });
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled, "{factory}");
        // The promise is 200 ms of work; other tests share the processors.
        assert!(late < Duration::from_secs(2), "{factory}: {late:?}");
    }
}

#[test]
fn a_failure_to_write_comes_back_as_it_was() {
    let rows = rows_with_copies(500, 8);
    let (trained, _) = trained("HNSW8", FaissMetric::L2, &rows);
    let mut write = |_: &[u8]| Err(BuildError::new(ErrorKind::PermissionDenied, "the shelf is locked"));
    let error = build_into(&mut write, &trained, &rows, 1, &Cancellation::default()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::PermissionDenied, "the shelf is locked"));
}

#[test]
fn rows_transformed_in_blocks_are_rounded_as_in_one_call() {
    for (factory, dimension, count) in
        [("PCA32,Flat", 64, 13_337), ("PCA150,Flat", 300, 2_011), ("OPQ2_4,Flat", 8, 9_001)]
    {
        let rows = rows_with_copies(count, dimension);
        let (trained, _) = trained(factory, FaissMetric::L2, &rows.select(0..2_000));
        let mut index = GraphIndex::read(&trained).unwrap();
        let whole = index.whole();
        let workers = Workers::new(2, "test").unwrap();
        let blocks = whole.transform(&rows.vectors, &workers, &Cancellation::default()).unwrap();
        assert!(blocks == whole.transform_in_one_call(&rows.vectors).unwrap(), "{factory}");
    }
}
