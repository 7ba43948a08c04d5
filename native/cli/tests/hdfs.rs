//! Builds from HDFS to HDFS, by a program without a JVM.

#![allow(clippy::panic, clippy::unwrap_used, clippy::as_conversions, reason = "tests report by panicking")]

#[path = "../../storage/tests/mini_hdfs/mod.rs"]
mod mini_hdfs;
mod scenario;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use faiss_indexer_storage::{CreateMode, Storages, join};
use mini_hdfs::MiniHdfs;
use scenario::{Scenario, answer, run, succeed};

const PUBLISHED: [&str; 4] = ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"];
const FLAGS: [&str; 4] = ["--factory-string", "IVF64,PQ8np", "--partition-rows", "20000"];

/// One file system for all, because it takes seconds to start.
#[test]
fn the_program_on_a_real_hdfs() {
    let hdfs = MiniHdfs::start();
    parquet_on_hdfs_gives_the_index_that_local_files_give(&hdfs.uri);
    a_build_that_is_killed_is_resumed_and_gives_the_same_index(&hdfs.uri);
    a_directory_of_another_user_is_refused(&hdfs.uri);
    what_is_missing_is_named(&hdfs.uri);
}

fn parquet_on_hdfs_gives_the_index_that_local_files_give(hdfs: &str) {
    let scenario = Scenario::empty();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../input/tests/golden/default.parquet");
    let (input, output) = (join(hdfs, "rows"), join(hdfs, "index of rows"));
    upload(&golden, &join(&input, "part-0.parquet"));
    let build = |input: &str, output: &str| {
        answer(&mut scenario.command(&["build", "--factory-string", "Flat", "--input", input, "--output", output]))
    };
    build(golden.to_str().unwrap(), "local");
    let summary = build(&input, &output);
    assert_eq!((&summary["rows"], summary["index"].as_str()), (&24.into(), Some(&*join(&output, "faiss.index"))));
    assert!(read(&join(&output, "faiss.index")) == scenario.index("local"));
    assert_eq!(names(&output), PUBLISHED);
    let verified = answer(&mut scenario.command(&["verify", "--json", &output]));
    assert_eq!(verified["rows"], 24, "{verified}");
    let inspected = answer(&mut scenario.command(&["inspect", "--json", &join(&output, "faiss.index")]));
    assert_eq!(inspected["rows"], 24, "{inspected}");
}

fn a_build_that_is_killed_is_resumed_and_gives_the_same_index(hdfs: &str) {
    let scenario = Scenario::new(100_000, 32);
    let local = scenario.built("local", &FLAGS);
    let (vectors, ids, output) = (join(hdfs, "vectors"), join(hdfs, "ids"), join(hdfs, "resumed"));
    for (directory, target) in [("vectors", &vectors), ("ids", &ids)] {
        for name in scenario.names(directory) {
            upload(&scenario.path(directory).join(&name), &join(target, &name));
        }
    }
    let words = ["build", "--input", &vectors, "--ids", &ids, "--output", &output];
    let mut build = scenario.command(&[&words[..], &FLAGS].concat()).spawn().unwrap();
    while !journal(&output).contains(&"encode-00000.json".to_owned()) {
        assert!(build.try_wait().unwrap().is_none(), "the build ended before it was killed");
        sleep(Duration::from_millis(5));
    }
    build.kill().unwrap();
    build.wait().unwrap();
    assert_eq!(names(&output), ["_temporary"]);
    let (_, stderr) = succeed(&mut scenario.command(&[&words[..], &FLAGS, &["--resume"]].concat()));
    assert!(stderr.contains("going on after"), "{stderr}");
    assert!(read(&join(&output, "faiss.index")) == local);
    assert_eq!(names(&output), PUBLISHED);
    succeed(&mut scenario.command(&["verify", &output]));
}

fn a_directory_of_another_user_is_refused(hdfs: &str) {
    let scenario = Scenario::new(1_000, 4);
    let output = join(hdfs, "forbidden/index");
    let mut build = scenario.build(&output, &["--factory-string", "Flat"]);
    let (code, _, stderr) = run(build.env("HADOOP_USER_NAME", "somebody"));
    assert!(code == Some(1) && stderr.contains(&format!("no permission for {output}")), "{stderr}");
    assert!(stderr.contains("user=somebody") && !stderr.contains("\tat "), "{stderr}");
}

fn what_is_missing_is_named(hdfs: &str) {
    let (input, output) = (join(hdfs, "missing"), join(hdfs, "output"));
    let (code, _, stderr) = run(&mut Scenario::empty().command(&["build", "--input", &input, "--output", &output]));
    assert!(code == Some(1) && stderr.contains(&format!("{input} does not exist")), "{stderr}");
}

fn upload(file: &Path, uri: &str) {
    let mut writer = Storages::new().resolve(uri).unwrap().create(uri, CreateMode::New).unwrap();
    writer.write_all(&std::fs::read(file).unwrap()).unwrap();
    writer.finish().unwrap();
}

fn read(uri: &str) -> Vec<u8> {
    let reader = Storages::new().resolve(uri).unwrap().open(uri).unwrap();
    let mut bytes = vec![0; usize::try_from(reader.length()).unwrap()];
    reader.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn names(directory: &str) -> Vec<String> {
    let children = Storages::new().resolve(directory).unwrap().list(directory).unwrap();
    children.iter().map(|uri| uri.rsplit('/').next().unwrap().to_owned()).collect()
}

/// What the journals of the builds into `output` hold.
fn journal(output: &str) -> Vec<String> {
    let temporary = join(output, "_temporary");
    names(&temporary).iter().flat_map(|build| names(&join(&join(&temporary, build), "journal"))).collect()
}
