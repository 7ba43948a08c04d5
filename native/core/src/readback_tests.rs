//! Our files in the hands of stock faiss-cpu: the current one finds the same neighbours as in the index that it makes
//! itself of the same trained index and rows; an old one reads whatever it knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::faiss_index::OuterIdMap;
use crate::family::Family;
use crate::spec::{IdMap, Metric};
use crate::supported_families::{
    CODES, GRAPHS, Group, ID_MAPS, LISTS, LOCAL_SEARCHES, REFINED, SUMS, TRANSFORMS, as_indexed, id_maps, pairs, parse,
    rows_for, word,
};
use crate::test_builds::TestBuild;

const QUERIES: usize = 60;

/// One directory of what `tests/readback/compare.py` reads.
fn export(directory: &Path, name: &str, metric: Metric, id_map: IdMap) {
    let family: Family = parse(name, metric, id_map).unwrap();
    let rows = rows_for(name);
    let build = TestBuild { threads: 2, ..TestBuild::new() };
    let (metric_word, id_map_word) = (word(metric), word(id_map));
    let spec = [("factoryString", name), ("metric", &metric_word), ("idMap", &id_map_word), ("sampleRate", "1")];
    let built = build.run(&spec, &rows.partitions(5)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let seen = as_indexed(&rows, metric);
    // Between two rows: near one of them, and equal to none.
    let queries: Vec<f32> = (0..QUERIES * rows.dimension)
        .map(|place| (3.0 * seen.vectors[place] + seen.vectors[place + 20 * rows.dimension]) / 4.0)
        .collect();
    let file = |name: &str, bytes: Vec<u8>| fs::write(directory.join(name), bytes).unwrap();
    let floats = |floats: &[f32]| floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>();
    fs::create_dir(directory).unwrap();
    file("trained.index", built.trained);
    file("ours.index", built.index);
    file("rows.f32", floats(&seen.vectors));
    file("queries.f32", floats(&queries));
    file("ids.i64", seen.ids.iter().flat_map(|id| id.to_le_bytes()).collect());
    let id_map = match family.id_map() {
        OuterIdMap::None => "none",
        OuterIdMap::Plain => "IDMap",
        OuterIdMap::Reversible => "IDMap2",
    };
    let case = json!({"name": format!("{name} {metric_word} idMap={id_map_word}"), "idMap": id_map});
    file("case.json", case.to_string().into_bytes());
}

/// Runs a script of `tests/readback` and returns what it prints.
fn run(variable: &str, script: &str, directory: &Path) -> String {
    let python = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is set by scripts/environment; make test-rust does that"));
    let output = Command::new(python)
        // No compiled modules in the source tree.
        .arg("-B")
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/readback").join(script))
        .arg(directory)
        // Threads of OpenMP wait for each other in busy loops, which takes minutes beside other tests.
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Exports families and returns their number.
fn export_all(families: impl Iterator<Item = (&'static str, Metric, IdMap)>, directory: &Path) -> usize {
    let export = |(number, (name, metric, id_map))| {
        export(&directory.join(format!("{number:04}")), name, metric, id_map);
    };
    families.enumerate().map(export).count()
}

fn agrees_with_current_faiss(groups: &[Group]) {
    let directory = tempfile::tempdir().unwrap();
    let families = pairs(groups)
        .flat_map(|(name, metric)| id_maps(name, metric).into_iter().map(move |id_map| (name, metric, id_map)));
    let count = export_all(families, directory.path());
    let text = run("FAISS_INDEXER_PYTHON_CURRENT", "compare.py", directory.path());
    assert!(text.ends_with(&format!("{count} cases agree\n")), "{text}");
}

#[test]
fn current_faiss_agrees_on_codes_in_one_sequence() {
    agrees_with_current_faiss(CODES);
}

#[test]
fn current_faiss_agrees_on_sums_of_codewords() {
    agrees_with_current_faiss(SUMS);
}

#[test]
fn current_faiss_agrees_on_sums_of_codewords_of_one_task() {
    agrees_with_current_faiss(LOCAL_SEARCHES);
}

#[test]
fn current_faiss_agrees_on_inverted_lists() {
    agrees_with_current_faiss(LISTS);
}

#[test]
fn current_faiss_agrees_on_transforms() {
    agrees_with_current_faiss(TRANSFORMS);
}

#[test]
fn current_faiss_agrees_on_refined_indexes() {
    agrees_with_current_faiss(REFINED);
}

#[test]
fn current_faiss_agrees_on_id_maps_of_the_string() {
    agrees_with_current_faiss(ID_MAPS);
}

#[test]
fn current_faiss_agrees_on_graphs() {
    agrees_with_current_faiss(GRAPHS);
}

/// Parts of factory strings that Faiss 1.7.4 cannot read; it searches blocks of 32 rows only.
const NEWER_THAN_1_7_4: [&str; 5] = ["SQbf16", "SQ8_direct_signed", "RaBitQ", "fs_64", "fs_96"];

#[test]
fn old_faiss_reads_and_searches_what_it_knows() {
    let directory = tempfile::tempdir().unwrap();
    // Each family under one of its metrics.
    let families = [CODES, SUMS, LOCAL_SEARCHES, LISTS, TRANSFORMS, REFINED, ID_MAPS, GRAPHS].into_iter().flatten();
    let known = families
        .flat_map(|(metrics, names)| names.iter().map(|name| (*name, metrics[0], IdMap::Auto)))
        .filter(|(name, ..)| !NEWER_THAN_1_7_4.iter().any(|part| name.contains(part)));
    let count = export_all(known, directory.path());
    let text = run("FAISS_INDEXER_PYTHON_OLD", "load.py", directory.path());
    assert!(count > 100 && text.ends_with(&format!("{count} indexes answer\n")), "{text}");
}
