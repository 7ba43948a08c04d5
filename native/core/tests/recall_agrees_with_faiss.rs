//! Recall as this library measures it and as stock faiss-cpu does, on the same index file of stock faiss-cpu.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use faiss_indexer_core::evaluation::{ExactSearch, LoadedIndex, Queries, SearchSettings, Setting, evaluate};
use faiss_indexer_core::{Cancellation, Workers};

const DIMENSION: usize = 32;
const ROWS: usize = 5_000;
const QUERIES: usize = 200;

struct Rows {
    ids: Vec<i64>,
    vectors: Vec<f32>,
}

/// Clustered rows under ids that are neither dense nor in order.
fn rows() -> Rows {
    let mut state = 0x1234_5678_9ABC_DEF0_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0
    };
    let centers: Vec<f32> = (0..40 * DIMENSION).map(|_| random()).collect();
    let vectors = (0..ROWS * DIMENSION)
        .map(|place| centers[place / DIMENSION % 40 * DIMENSION + place % DIMENSION] + 0.5 * random())
        .collect();
    let ids = (0..i64::try_from(ROWS).unwrap()).map(|row| (row * 7_919 + 13) % 1_000_003 - 500_000).collect();
    Rows { ids, vectors }
}

fn measure_with_stock_faiss(
    directory: &Path,
    factory: &str,
    metric: &str,
    dial: &str,
    values: &[u64],
) -> Vec<[f64; 2]> {
    let python = std::env::var("FAISS_INDEXER_PYTHON_CURRENT")
        .expect("FAISS_INDEXER_PYTHON_CURRENT is set by scripts/environment; make test-rust does that");
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/recall/measure.py");
    let output = Command::new(python)
        .arg(script)
        .arg(directory)
        .args([&DIMENSION.to_string(), factory, metric, dial])
        .args(values.iter().map(u64::to_string))
        // Threads of OpenMP wait for each other in busy loops, which takes minutes beside other tests.
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let points: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    points.as_array().unwrap().iter().map(|point| ["1", "10"].map(|k| point[k].as_f64().unwrap())).collect()
}

fn agrees(factory: &str, metric: &str, setting: Option<Setting>, values: &[u64]) {
    let rows = rows();
    let directory = tempfile::tempdir().unwrap();
    let bytes = |name: &str, content: Vec<u8>| fs::write(directory.path().join(name), content).unwrap();
    let some: Vec<usize> = (0..QUERIES).map(|query| query * 17 % ROWS).collect();
    let own: Vec<i64> = some.iter().map(|row| rows.ids[*row]).collect();
    bytes("rows.f32", rows.vectors.iter().flat_map(|component| component.to_le_bytes()).collect());
    bytes("ids.i64", rows.ids.iter().flat_map(|id| id.to_le_bytes()).collect());
    bytes("queries.i64", own.iter().flat_map(|id| id.to_le_bytes()).collect());
    let dial = match setting {
        Some(Setting::Nprobe) => "nprobe",
        Some(Setting::EfSearch) => "efSearch",
        Some(_) => "search_L",
        None => "none",
    };
    let expected = measure_with_stock_faiss(directory.path(), factory, metric, dial, values);

    let vectors: Vec<f32> =
        some.iter().flat_map(|row| rows.vectors[row * DIMENSION..(row + 1) * DIMENSION].to_vec()).collect();
    let queries = Arc::new(Queries::new(&vectors, Some(own), DIMENSION, metric).unwrap());
    let (workers, cancellation) = (Workers::new(2, "test").unwrap(), Cancellation::default());
    let mut exact = ExactSearch::new(Arc::clone(&queries), 10).unwrap();
    exact.append(&rows.ids, &rows.vectors, &workers, &cancellation).unwrap();
    let truth = exact.finish();
    let index = LoadedIndex::open(&directory.path().join("faiss.index")).unwrap();
    assert_eq!((index.rows(), index.setting()), (5_000, setting), "{factory}");
    let settings = |value| setting.map_or_else(SearchSettings::default, |setting| SearchSettings::of(setting, value));
    let sweep: Vec<SearchSettings> = values.iter().map(|value| settings(*value)).collect();
    let measured = evaluate(&[index], &queries, &truth, &[1, 10], &sweep, &workers, &cancellation).unwrap();
    for ((point, expected), value) in measured.points.iter().zip(&expected).zip(values) {
        for (k, expected) in [1, 10].iter().zip(expected) {
            let recall = point.at(*k).unwrap();
            let message =
                format!("{factory}, {metric}, {dial} {value}: recall@{k} is {recall}, faiss-cpu has {expected}");
            assert!((recall - expected).abs() < 0.0005, "{message}");
        }
    }
    let least = measured.points.iter().map(|point| point.at(10).unwrap()).fold(1.0, f64::min);
    assert!(least > 0.05, "{factory}: recall {least} would agree with anything");
}

#[test]
fn recall_of_inverted_lists_agrees() {
    for (factory, metric) in [
        ("IVF32,Flat", "l2"),
        ("IVF32,PQ8np", "l2"),
        ("OPQ8,IVF32,PQ8np", "l2"),
        ("IVF32,SQ8", "ip"),
        ("IVF32,SQ8", "cosine"),
        ("IVF32_HNSW8,SQ8", "l2"),
        ("PCA16,IVF32,Flat", "l2"),
        ("IVF32,PQ8x4fs", "l2"),
        ("IVF32,PQ8x4fs,RFlat", "l2"),
        ("IVF32,PQ8np,Refine(SQ8)", "ip"),
    ] {
        agrees(factory, metric, Some(Setting::Nprobe), &[1, 4, 32]);
    }
}

#[test]
fn recall_of_exhaustive_families_agrees() {
    for (factory, metric) in [("Flat", "l2"), ("Flat", "cosine"), ("SQ8", "ip"), ("PQ8np", "l2"), ("PQ16x4fs", "l2")] {
        agrees(factory, metric, None, &[0]);
    }
}

#[test]
fn recall_of_graphs_agrees() {
    agrees("HNSW16", "l2", Some(Setting::EfSearch), &[16, 64]);
    agrees("HNSW16,SQ8", "cosine", Some(Setting::EfSearch), &[16, 64]);
    agrees("NSG16", "l2", Some(Setting::SearchLength), &[16, 64]);
}

#[test]
fn a_file_that_is_no_index_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("faiss.index");
    for content in [&b""[..], b"null", b"no index at all, but long enough to be one"] {
        fs::write(&path, content).unwrap();
        assert!(LoadedIndex::open(&path).is_err());
    }
    assert!(LoadedIndex::open(&directory.path().join("absent")).is_err());
}

#[test]
fn queries_of_another_dimension_or_metric_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let rows = rows();
    let bytes = |name: &str, content: Vec<u8>| fs::write(directory.path().join(name), content).unwrap();
    bytes("rows.f32", rows.vectors.iter().flat_map(|component| component.to_le_bytes()).collect());
    bytes("ids.i64", rows.ids.iter().flat_map(|id| id.to_le_bytes()).collect());
    bytes("queries.i64", rows.ids[0].to_le_bytes().to_vec());
    measure_with_stock_faiss(directory.path(), "Flat", "l2", "none", &[0]);
    let index = [LoadedIndex::open(&directory.path().join("faiss.index")).unwrap()];
    for (dimension, metric, part) in [(16, "l2", "16 dimensions"), (32, "ip", "ranks by")] {
        let queries = Arc::new(Queries::new(&vec![1.0; dimension], None, dimension, metric).unwrap());
        let truth = ExactSearch::new(Arc::clone(&queries), 1).unwrap().finish();
        let (workers, cancellation) = (Workers::new(1, "test").unwrap(), Cancellation::default());
        let sweep = [SearchSettings::default()];
        let error = evaluate(&index, &queries, &truth, &[1], &sweep, &workers, &cancellation).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
