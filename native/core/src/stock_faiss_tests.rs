//! Our file against the one that stock Faiss writes for the same trained index and all rows in id order, and the
//! same bytes however the rows were partitioned.

use crate::faiss_index::{FaissIndex, OuterIdMap};
use crate::family::Family;
use crate::spec::{IdMap, Metric};
use crate::test_builds::{Built, Rows, TestBuild};
use crate::vectors::RowFilter;

const DIMENSION: usize = 32;
const ROWS: usize = 3_000;

/// Every supported family; `np` leaves out the polysemous order, which takes seconds per sub-quantizer.
const FAMILIES: [&str; 9] = [
    "Flat",
    "SQ8",
    "PQ4np",
    "IVF16,Flat",
    "IVF16,SQ8",
    "IVF16,PQ4np",
    "OPQ4,IVF16,PQ4np",
    "OPQ4_16,IVF16,PQ4np",
    "IVF2,PQ1",
];

fn normalised(rows: &Rows, metric: Metric) -> Rows {
    let mut kept = Rows { vectors: Vec::new(), ..rows.clone() };
    let mut filter = RowFilter::new(rows.dimension, metric);
    filter
        .each(&rows.ids, &rows.vectors, |_, row| {
            kept.vectors.extend_from_slice(row);
            Ok(())
        })
        .unwrap();
    kept
}

fn build(factory: &str, metric: &str, partitions: usize, threads: usize) -> Built {
    let build = TestBuild { threads, ..TestBuild::new() };
    let rows = Rows::new(ROWS, DIMENSION).partitions(partitions);
    build.run(&[("factoryString", factory), ("metric", metric), ("sampleRate", "0.5")], &rows).unwrap()
}

#[test]
fn every_family_and_metric_equals_what_stock_faiss_writes() {
    for factory in FAMILIES {
        for (name, metric) in [("l2", Metric::L2), ("ip", Metric::Ip), ("cosine", Metric::Cosine)] {
            let built = build(factory, name, 3, 1);
            let rows = normalised(&Rows::new(ROWS, DIMENSION).in_id_order(), metric);
            let id_map = Family::parse(factory, 32, metric, IdMap::Auto).unwrap().id_map();
            let mut stock = FaissIndex::read(&built.trained).unwrap();
            let expected = stock.add_and_write(&rows.ids, &rows.vectors, i64::MAX / 2, id_map).unwrap();
            assert!(built.index == expected, "{factory} {name}: {} and {} bytes", built.index.len(), expected.len());
        }
    }
}

#[test]
fn partitions_order_and_threads_do_not_change_a_byte() {
    for factory in FAMILIES {
        let reference = build(factory, "cosine", 1, 1);
        for (partitions, threads) in [(1, 2), (3, 1), (8, 2)] {
            let other = build(factory, "cosine", partitions, threads);
            assert!(reference.index == other.index, "{factory} with {partitions} partitions, {threads} threads");
        }
    }
}

#[test]
fn lists_that_are_mostly_empty_equal_what_stock_faiss_writes() {
    // Three places in space, many lists: Faiss then stores pairs of list and size instead of all sizes.
    let mut rows = Rows::new(600, 8);
    for row in 3..600 {
        let place = row % 3;
        rows.vectors.copy_within(place * 8..(place + 1) * 8, row * 8);
    }
    let build = TestBuild::new();
    let built = build.run(&[("factoryString", "IVF64,Flat"), ("sampleRate", "1")], &rows.partitions(2)).unwrap();
    assert!(built.index.windows(4).any(|bytes| bytes == b"sprs"));
    let ordered = rows.in_id_order();
    let mut stock = FaissIndex::read(&built.trained).unwrap();
    assert!(built.index == stock.add_and_write(&ordered.ids, &ordered.vectors, 1, OuterIdMap::None).unwrap());
}
