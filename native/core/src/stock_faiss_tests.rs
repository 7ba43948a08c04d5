//! Whole builds of every supported family against the file that stock Faiss writes for the same trained index and all
//! rows in id order, however the rows were partitioned.

use crate::faiss_index::{FaissIndex, OuterIdMap};
use crate::family::MergePlan;
use crate::spec::{IdMap, Metric};
use crate::supported_families::{
    CODES, GRAPHS, Group, ID_MAPS, LISTS, LOCAL_SEARCHES, REFINED, SUMS, TRANSFORMS, as_indexed, pairs, parse,
    rows_for, word,
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
    let id_maps = [IdMap::Auto, IdMap::Always].map(|id_map| (id_map, parse(family, metric, id_map).unwrap().id_map()));
    // Where the id map is there anyway, asking for it changes nothing but the spec.
    let distinct = if id_maps[0].1 == id_maps[1].1 { 1 } else { 2 };
    for (id_map, outer) in id_maps.into_iter().take(distinct) {
        let mut expected: Option<[Vec<u8>; 2]> = None;
        for (partitions, threads) in [(1, 1), (5, 2)] {
            let [index, trained] = build(family, metric, id_map, &rows, partitions, threads);
            let [stock, first_trained] = expected.get_or_insert_with(|| {
                let per_call = rows_per_call(parse(family, metric, id_map).unwrap().merge_plan());
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
    assert!(built.index == stock.add_and_write(&ordered.ids, &ordered.vectors, ALL_ROWS, OuterIdMap::None).unwrap());
}
