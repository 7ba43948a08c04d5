//! Builds with a report.

use std::sync::Arc;

use faiss_indexer_storage::{CreateMode, Storage};

use crate::cancellation::Cancellation;
use crate::error::ErrorKind;
use crate::evaluation::{ExactSearch, LoadedIndex, Queries, SearchSettings, evaluate};
use crate::stage::StageKind;
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::workers::Workers;
use crate::{plan_training, start_build};

const REPORT: (&str, &str) = ("report", "true");

fn manifest(build: &TestBuild) -> serde_json::Value {
    serde_json::from_slice(&build.read(&format!("{OUTPUT}/faiss.manifest.json"))).unwrap()
}

/// Recall and lists as the manifest has them, without times.
fn measured(build: &TestBuild) -> (serde_json::Value, serde_json::Value, serde_json::Value) {
    let mut manifest = manifest(build);
    for point in manifest["recall"]["points"].as_array_mut().unwrap() {
        assert!(point["secondsPerQuery"].take().as_f64().unwrap() > 0.0);
    }
    (manifest["recall"].take(), manifest["lists"].take(), manifest["suggestedNprobe"].take())
}

fn share(point: &serde_json::Value, k: usize) -> Option<f64> {
    let all = point["recall"].as_array().unwrap();
    all.iter().find(|recall| recall["k"] == k).and_then(|recall| recall["share"].as_f64())
}

#[test]
fn partitions_and_threads_do_not_change_what_is_measured() {
    let mut rows = Rows::new(3_000, 16);
    // Rows that are there twice, under other ids.
    rows.vectors.copy_within(0..16 * 300, 16 * 1_500);
    for (factory, metric) in [("IVF16,PQ4np", "l2"), ("IVF16,SQ8", "cosine")] {
        let spec = [("factoryString", factory), ("metric", metric), REPORT];
        let reference = TestBuild::new();
        let built = reference.run(&spec, &rows.partitions(1)).unwrap();
        let expected = measured(&reference);
        let points = expected.0["points"].as_array().unwrap();
        assert_eq!(points.iter().map(|point| point["value"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 4, 8, 16]);
        assert_eq!((expected.0["queries"].as_u64(), expected.0["setting"].as_str()), (Some(200), Some("nprobe")));
        assert!(share(&points[0], 10) < share(&points[4], 10), "{expected:?}");
        assert_eq!(expected.1["lists"], 16);
        assert!(expected.2.is_u64());
        for (partitions, threads) in [(3, 2), (8, 1)] {
            let build = TestBuild { threads, ..TestBuild::new() };
            assert!(build.run(&spec, &rows.partitions(partitions)).unwrap().index == built.index);
            assert_eq!(measured(&build), expected, "{factory}, {partitions} partitions, {threads} threads");
        }
    }
}

#[test]
fn what_is_measured_is_what_a_search_over_all_rows_says() {
    let rows = Rows::new(2_000, 16);
    let build = TestBuild::new();
    let built = build.run(&[("factoryString", "IVF8,PQ4np"), REPORT], &rows.partitions(4)).unwrap();
    let recall = measured(&build).0;

    let mut chosen: Vec<usize> = (0..rows.ids.len()).collect();
    chosen.sort_by_key(|row| crate::row_hash::query_hash(rows.ids[*row], 1234));
    let some = rows.select(chosen.into_iter().take(200)).in_id_order();
    let queries = Arc::new(Queries::new(&some.vectors, Some(some.ids), 16, "l2").unwrap());
    let (workers, cancellation) = (Workers::new(1, "test").unwrap(), Cancellation::default());
    let mut exact = ExactSearch::new(Arc::clone(&queries), 20).unwrap();
    exact.append(&rows.ids, &rows.vectors, &workers, &cancellation).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &built.index).unwrap();
    let index = [LoadedIndex::open(file.path()).unwrap()];
    let sweep = [1, 2, 4, 8].map(|nprobe| SearchSettings { nprobe: Some(nprobe), ef_search: None });
    let expected = evaluate(&index, &queries, &exact.finish(), &[1, 10], &sweep, &workers, &cancellation).unwrap();
    for (point, expected) in recall["points"].as_array().unwrap().iter().zip(&expected.points) {
        assert_eq!((share(point, 1), share(point, 10)), (expected.at(1), expected.at(10)));
    }
}

#[test]
fn exhaustive_families_find_everything() {
    for metric in ["l2", "ip", "cosine"] {
        let build = TestBuild::new();
        let spec = [("factoryString", "Flat"), ("metric", metric), REPORT];
        build.run(&spec, &Rows::new(500, 8).partitions(3)).unwrap();
        let (recall, lists, nprobe) = measured(&build);
        assert_eq!(recall["points"].as_array().unwrap().len(), 1);
        let found = [1, 10].map(|k| share(&recall["points"][0], k));
        assert_eq!(found, [Some(1.0), Some(1.0)], "{metric}");
        assert!(nprobe.is_null() && lists.is_null());
    }
}

#[test]
fn the_page_is_published_with_the_index_and_goes_when_an_index_without_one_replaces_it() {
    let rows = Rows::new(1_000, 8).partitions(2);
    let build = TestBuild::new();
    build.run(&[("factoryString", "IVF4,Flat"), REPORT], &rows).unwrap();
    assert_eq!(build.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"]);
    let page = String::from_utf8(build.read(&format!("{OUTPUT}/report.html"))).unwrap();
    for part in ["<h1>IVF4,Flat</h1>", "1,000", "suggested nprobe", "imbalance factor", "evaluate", "Peak memory"] {
        assert!(page.contains(part), "{part}");
    }
    build.run(&[("factoryString", "IVF4,Flat"), ("overwrite", "true"), ("report", "false")], &rows).unwrap();
    assert_eq!(build.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json"]);
    assert!(manifest(&build)["recall"].is_null());
}

#[test]
fn a_build_of_one_row_has_a_page_that_says_what_it_lacks() {
    let build = TestBuild::new();
    build.run(&[("factoryString", "Flat"), REPORT], &Rows::new(1, 8).partitions(2)).unwrap();
    let page = String::from_utf8(build.read(&format!("{OUTPUT}/report.html"))).unwrap();
    assert!(page.contains("no two rows to compare"), "{page}");
    assert!(manifest(&build)["recall"].is_null());
}

/// A build up to its merged file: the build and the receipts that the evaluate stage gets.
fn merged(build: &TestBuild, report: &str) -> (String, Vec<String>) {
    let pairs = [("dimension", "8"), ("factoryString", "IVF4,Flat"), ("report", report)];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let rows = Rows::new(1_000, 8);
    let started = start_build(&pairs, OUTPUT, &build.storages).unwrap();
    let samples = build.every(StageKind::Sample, &started, &[], &rows.partitions(1)).unwrap();
    let planned = plan_training(&started, &samples).unwrap().build;
    let mut receipts = vec![build.task(StageKind::Train, &planned, &samples, 0, None).unwrap()];
    receipts.push(build.task(StageKind::Encode, &planned, &receipts, 0, Some(&rows)).unwrap());
    receipts.push(build.task(StageKind::Merge, &planned, &receipts, 0, None).unwrap());
    (planned, receipts)
}

#[test]
fn damaged_queries_and_neighbours_are_named_in_a_note_and_lists_are_counted() {
    let build = TestBuild::new();
    let (planned, receipts) = merged(&build, "true");
    let evaluate = || -> serde_json::Value {
        serde_json::from_str(&build.task(StageKind::Evaluate, &planned, &receipts, 0, None).unwrap()).unwrap()
    };
    assert_eq!(evaluate()["notes"].as_array().unwrap().len(), 0);
    for (receipt, part) in [(0, "queries"), (1, "truth")] {
        let receipt: serde_json::Value = serde_json::from_str(&receipts[receipt]).unwrap();
        let uri = receipt[part]["uri"].as_str().unwrap();
        let intact = build.read(uri);
        let replace = |bytes: &[u8]| {
            let mut file = build.memory.create(uri, CreateMode::Overwrite).unwrap();
            file.write_all(bytes).unwrap();
            file.finish().unwrap();
        };
        let mut flipped = intact.clone();
        flipped[intact.len() / 2] ^= 1;
        let longer = [&intact[..], &[0; 1 << 20]].concat();
        for damaged in [&flipped, &intact[..intact.len() - 8], &longer[..], &[]] {
            replace(damaged);
            let evaluated = evaluate();
            let note = evaluated["notes"][0].as_str().unwrap();
            assert!(note.starts_with("Recall was not measured: ") && note.contains(uri), "{note}");
            assert_eq!(evaluated["evaluation"]["lists"]["lists"], 4);
        }
        replace(&intact);
    }
    assert_eq!(evaluate()["notes"].as_array().unwrap().len(), 0);
}

#[test]
fn an_index_that_cannot_be_read_is_named_in_a_note() {
    let build = TestBuild::new();
    let (planned, receipts) = merged(&build, "true");
    let receipt: serde_json::Value = serde_json::from_str(&receipts[2]).unwrap();
    let uri = receipt["uri"].as_str().unwrap();
    let damaged = |bytes: &[u8]| {
        let mut file = build.memory.create(uri, CreateMode::Overwrite).unwrap();
        file.write_all(bytes).unwrap();
        file.finish().unwrap();
    };
    damaged(b"IwXX");
    assert_unmeasured(&build, &planned, &receipts, "Faiss");
    build.memory.delete(uri).unwrap();
    assert_unmeasured(&build, &planned, &receipts, uri);
}

fn assert_unmeasured(build: &TestBuild, planned: &str, receipts: &[String], why: &str) {
    let evaluated = build.task(StageKind::Evaluate, planned, receipts, 0, None).unwrap();
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated).unwrap();
    let note = evaluated["notes"][0].as_str().unwrap();
    assert!(note.starts_with("The index was not measured: ") && note.contains(why), "{note}");
    assert!(evaluated["evaluation"].is_null());
}

#[test]
fn rows_that_came_encoded_leave_recall_unmeasured_and_lists_counted() {
    let build = TestBuild::new();
    let (planned, mut receipts) = merged(&build, "true");
    let mut shard: serde_json::Value = serde_json::from_str(&receipts[1]).unwrap();
    shard.as_object_mut().unwrap().remove("truth");
    receipts[1] = shard.to_string();
    let evaluated = build.task(StageKind::Evaluate, &planned, &receipts, 0, None).unwrap();
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated).unwrap();
    assert!(evaluated["notes"][0].as_str().unwrap().contains("exact search needs all of them"));
    assert_eq!(evaluated["evaluation"]["lists"]["lists"], 4);
    assert_eq!(evaluated["evaluation"]["points"].as_array().unwrap().len(), 0);
}

#[test]
fn a_build_without_report_has_no_queries_and_no_stage_evaluate() {
    let build = TestBuild::new();
    let (planned, receipts) = merged(&build, "false");
    assert!(receipts.iter().all(|receipt| !receipt.contains("queries") && !receipt.contains("truth")));
    let error = build.task(StageKind::Evaluate, &planned, &receipts, 0, None).unwrap_err();
    assert!(error.to_string().contains("report=false"), "{error}");
}

#[test]
fn a_cancelled_evaluation_stops() {
    let build = TestBuild::new();
    let (planned, receipts) = merged(&build, "true");
    let stage = build.open(StageKind::Evaluate, &planned, &receipts, 0).unwrap();
    stage.cancel();
    assert_eq!(stage.finish().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn an_index_on_a_local_disk_is_measured_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().to_str().unwrap();
    let rows = Rows::new(600, 8);
    let build = TestBuild::new();
    let pairs = [("dimension", "8"), ("factoryString", "IVF4,Flat"), REPORT];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let started = start_build(&pairs, output, &build.storages).unwrap();
    let samples = build.every(StageKind::Sample, &started, &[], &rows.partitions(1)).unwrap();
    let planned = plan_training(&started, &samples).unwrap().build;
    let mut receipts = vec![build.task(StageKind::Train, &planned, &samples, 0, None).unwrap()];
    receipts.push(build.task(StageKind::Encode, &planned, &receipts, 0, Some(&rows)).unwrap());
    receipts.push(build.task(StageKind::Merge, &planned, &receipts, 0, None).unwrap());
    receipts.push(build.task(StageKind::Evaluate, &planned, &receipts, 0, None).unwrap());
    let all = [samples, receipts].concat();
    crate::publish(&planned, &all, &build.storages).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"]);
}
#[test]
fn shards_are_searched_together() {
    let rows = Rows::new(1_000, 8);
    let files: Vec<tempfile::NamedTempFile> = rows
        .partitions(2)
        .iter()
        .map(|part| {
            let built = TestBuild::new().run(&[("factoryString", "IVF4,Flat")], std::slice::from_ref(part)).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), built.index).unwrap();
            file
        })
        .collect();
    let indexes: Vec<LoadedIndex> = files.iter().map(|file| LoadedIndex::open(file.path()).unwrap()).collect();
    let some = rows.select((0..100).map(|row| row * 7));
    let queries = Arc::new(Queries::new(&some.vectors, Some(some.ids), 8, "l2").unwrap());
    let (workers, cancellation) = (Workers::new(2, "test").unwrap(), Cancellation::default());
    let mut exact = ExactSearch::new(Arc::clone(&queries), 10).unwrap();
    exact.append(&rows.ids, &rows.vectors, &workers, &cancellation).unwrap();
    let truth = exact.finish();
    let sweep = [1, 4].map(|nprobe| SearchSettings { nprobe: Some(nprobe), ef_search: None });
    let measured = evaluate(&indexes, &queries, &truth, &[1, 10], &sweep, &workers, &cancellation).unwrap();
    assert_eq!((measured.rows, measured.lists.as_ref().unwrap().lists), (1_000, 8));
    assert!(measured.points[0].at(10).unwrap() < 1.0);
    assert_eq!((measured.points[1].at(1), measured.points[1].at(10)), (Some(1.0), Some(1.0)));
    let half = evaluate(&indexes[..1], &queries, &truth, &[10], &sweep, &workers, &cancellation).unwrap();
    assert!((0.3..0.7).contains(&half.points[1].at(10).unwrap()), "{half:?}");
}

#[test]
fn an_id_that_is_kept_once_is_one_neighbour() {
    let mut rows = Rows::new(1_000, 8);
    // Every row is there twice: the same id, the same vector.
    rows = rows.select((0..1_000).chain(0..1_000));
    let build = TestBuild::new();
    build.run(&[("factoryString", "Flat"), ("duplicateIds", "keepFirst"), REPORT], &rows.partitions(3)).unwrap();
    let recall = measured(&build).0;
    assert_eq!([1, 10].map(|k| share(&recall["points"][0], k)), [Some(1.0), Some(1.0)]);
}
