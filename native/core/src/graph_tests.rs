//! Indexes of one task against those that Faiss fills on its own.

use crate::cancellation::Cancellation;
use crate::faiss_index::{FaissIndex, FaissMetric};
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
    (index.write(0, false, 0).unwrap(), index)
}

fn build(trained: &[u8], rows: &Rows, threads: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let workers = Workers::new(threads, "test").unwrap();
    let (ids, vectors) = (rows.ids.clone(), rows.vectors.clone());
    let mut write = |piece: &[u8]| {
        file.extend_from_slice(piece);
        Ok(())
    };
    build_single_task(trained, ids, vectors, &mut write, &workers, &Cancellation::default(), &Progress::default())
        .unwrap();
    file
}

const METRICS: [FaissMetric; 2] = [FaissMetric::L2, FaissMetric::InnerProduct];

fn assert_equals_stock(factory: &str, metric: FaissMetric, rows: &Rows, threads: &[usize]) {
    let (trained, mut stock) = trained(factory, metric, rows);
    let expected = stock.add_and_write(&rows.ids, &rows.vectors, true).unwrap();
    for &threads in threads {
        assert!(build(&trained, rows, threads) == expected, "{factory} {metric:?} on {threads} threads");
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
            assert_equals_stock(factory, metric, &rows, &[1, 2, 4]);
        }
    }
}
