//! Whole builds of every supported family against the file that stock Faiss writes for the same trained index and all
//! rows in id order, however the rows were partitioned.

use crate::cancellation::Cancellation;
use crate::faiss_index::{FaissIndex, OuterIdMap};
use crate::faiss_search::SearchableIndex;
use crate::family::MergePlan;
use crate::spec::{IdMap, Metric};
use crate::supported_families::{
    CODES, DIMENSION, GRAPHS, Group, ID_MAPS, LISTS, LOCAL_SEARCHES, REFINED, SUMS, TRANSFORMS, as_indexed, id_maps,
    pairs, parse, rows_for, word,
};
use crate::test_builds::{Rows, TestBuild};

const ALL_ROWS: i64 = i64::MAX / 2;

/// Rows per call in which Faiss gets them. The last bits of products of matrices depend on a row's place in its call
/// (encode_shim.cpp), so a code is defined by a call of its own; but a graph, and a search for codewords that starts
/// at random, by one call for all rows.
fn rows_per_call(plan: MergePlan) -> i64 {
    if plan == MergePlan::SingleTask { ALL_ROWS } else { 1 }
}

fn build(family: &str, metric: Metric, id_map: IdMap, rows: &Rows, partitions: usize, threads: usize) -> [Vec<u8>; 2] {
    let build = TestBuild { threads, ..TestBuild::new() };
    let (metric, id_map) = (word(metric), word(id_map));
    let spec = [("factoryString", family), ("metric", &metric), ("idMap", &id_map), ("sampleRate", "1")];
    let built = build.run(&spec, &rows.partitions(partitions)).unwrap_or_else(|error| panic!("{family}: {error}"));
    [built.index, built.trained]
}

fn differences(family: &str, metric: Metric) -> Vec<String> {
    let rows = rows_for(family);
    let ordered = as_indexed(&rows, metric);
    let mut found = Vec::new();
    for id_map in id_maps(family, metric) {
        let parsed = parse(family, metric, id_map).unwrap();
        let mut expected: Option<[Vec<u8>; 2]> = None;
        for (partitions, threads) in [(1, 1), (5, 2)] {
            let [index, trained] = build(family, metric, id_map, &rows, partitions, threads);
            let [stock, first_trained] = expected.get_or_insert_with(|| {
                let (per_call, outer) = (rows_per_call(parsed.merge_plan()), parsed.id_map());
                let mut stock = FaissIndex::read(&trained).unwrap();
                [stock.add_and_write(&ordered.ids, &ordered.vectors, per_call, outer).unwrap(), trained.clone()]
            });
            let name = format!("{family} {metric:?} {id_map:?}, {partitions} partitions on {threads} threads");
            if trained != *first_trained {
                found.push(format!("{name}: trained otherwise"));
            } else if index != *stock {
                let same = index.iter().zip(stock.iter()).take_while(|(ours, theirs)| ours == theirs).count();
                found.push(format!("{name}: {} and {} bytes, alike up to {same}", index.len(), stock.len()));
            }
        }
    }
    found
}

fn equals_stock_faiss(groups: &[Group]) {
    let found: Vec<String> = pairs(groups).flat_map(|(family, metric)| differences(family, metric)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn codes_in_one_sequence_equal_what_stock_faiss_writes() {
    equals_stock_faiss(CODES);
}

#[test]
fn sums_of_codewords_equal_what_stock_faiss_writes() {
    equals_stock_faiss(SUMS);
}

#[test]
fn sums_of_codewords_of_one_task_equal_what_stock_faiss_writes() {
    equals_stock_faiss(LOCAL_SEARCHES);
}

#[test]
fn inverted_lists_equal_what_stock_faiss_writes() {
    equals_stock_faiss(LISTS);
}

#[test]
fn transforms_equal_what_stock_faiss_writes() {
    equals_stock_faiss(TRANSFORMS);
}

#[test]
fn refined_indexes_equal_what_stock_faiss_writes() {
    equals_stock_faiss(REFINED);
}

#[test]
fn id_maps_of_the_string_equal_what_stock_faiss_writes() {
    equals_stock_faiss(ID_MAPS);
}

#[test]
fn graphs_equal_what_stock_faiss_writes() {
    equals_stock_faiss(GRAPHS);
}

#[test]
fn rows_that_share_an_id_are_all_there_or_once_under_an_id_map() {
    let rows = Rows::new(1_000, DIMENSION);
    // Repeats with the vectors of other rows, and exact copies.
    let mut repeated = rows.select((0..1_000).chain(100..130));
    for (place, row) in (0..40).enumerate() {
        repeated.ids.push(rows.ids[row * 3]);
        repeated.vectors.extend_from_slice(rows.row(900 - place));
    }
    for family in ["IVF16,SQ8", "IVF16,PQ4np,RFlat", "IVF16,PQ8x4fs", "IVF16,PQ4+8", "SQ8,RFlat", "PQ8x4fs", "Flat"] {
        let run = |policy: &str, id_map: &str, partitions| {
            let spec = [("factoryString", family), ("duplicateIds", policy), ("idMap", id_map), ("sampleRate", "1")];
            TestBuild { threads: 2, ..TestBuild::new() }.run(&spec, &repeated.partitions(partitions)).unwrap()
        };
        for id_map in ["auto", "always"] {
            let [kept, all] = [("keepFirst", 1_000), ("allow", 1_070)].map(|(policy, count)| {
                let one = run(policy, id_map, 1);
                for partitions in [2, 5] {
                    let name = format!("{family} {policy} {id_map}, {partitions} partitions");
                    assert!(run(policy, id_map, partitions).index == one.index, "{name}");
                }
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), &one.index).unwrap();
                let mut index = SearchableIndex::open(file.path()).unwrap();
                index.turn_dial(16);
                assert_eq!(index.rows(), count, "{family} {policy} {id_map}");
                let [lone, twice] = [500, 100].map(|row| {
                    let found = index.search(rows.row(row), repeated.ids.len(), &Cancellation::default()).unwrap().1;
                    found.iter().filter(|id| **id == rows.ids[row]).count()
                });
                assert_eq!(lone, 1, "{family} {policy} {id_map}");
                twice
            });
            assert_eq!((kept, all), (1, 2), "{family} {id_map}");
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
