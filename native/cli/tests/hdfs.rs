//! Builds from HDFS to HDFS, by a program without a JVM.

#![allow(clippy::panic, clippy::unwrap_used, clippy::as_conversions, reason = "tests report by panicking")]

#[path = "../../storage/tests/mini_hdfs/mod.rs"]
mod mini_hdfs;
mod scenario;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use faiss_indexer_storage::{CreateMode, HdfsStorage, Storage, Storages, join};
use mini_hdfs::MiniHdfs;
use scenario::{Scenario, answer, run, succeed, texts};

const PUBLISHED: [&str; 4] = ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"];
const FLAGS: [&str; 4] = ["--factory-string", "IVF64,PQ8np", "--partition-rows", "20000"];

/// One file system for all, because it takes seconds to start.
#[test]
fn the_program_on_a_real_hdfs() {
    let hdfs = MiniHdfs::start();
    parquet_on_hdfs_gives_the_index_that_local_files_give(&hdfs.uri);
    a_build_that_is_killed_is_resumed_and_gives_the_same_index(&hdfs.uri);
    a_merge_in_parts_that_is_killed_is_resumed_and_gives_the_index_of_one_task(&hdfs.uri);
    an_addition_in_place_that_is_killed_while_it_publishes_is_finished_by_the_same_command(&hdfs.uri);
    a_directory_of_another_user_is_refused(&hdfs.uri);
    what_is_missing_is_named(&hdfs.uri);
}

#[test]
fn the_program_goes_on_when_a_name_node_is_lost() {
    let mut hdfs = MiniHdfs::start_pair();
    let scenario = Scenario::new(100_000, 32);
    hdfs.configure(scenario.directory.path());
    let storage = HdfsStorage::with_settings(hdfs.settings.clone());
    let flags = ["--factory-string", "IVF64,Flat", "--partition-rows", "10000", "--merge-parts", "4"];
    let local = scenario.built("local", &flags);
    let output = "hdfs://pair/index";
    let mut build = scenario.build(output, &flags);
    let mut build = build.env("HADOOP_CONF_DIR", scenario.directory.path()).spawn().unwrap();
    while !journal_in(&storage, output).contains(&"encode-00002.json".to_owned()) {
        assert!(build.try_wait().unwrap().is_none(), "the build ended before the third partition");
        sleep(Duration::from_millis(5));
    }
    hdfs.fail_over();
    let (code, _, stderr) = texts(&build.wait_with_output().unwrap());
    // A name node that stops may take an answer with it, and nobody knows then what it has done.
    if code != Some(0) && stderr.contains("the same command with --resume") {
        assert_eq!(code, Some(1), "{stderr}");
        let mut resumed = scenario.build(output, &[&flags[..], &["--resume"]].concat());
        succeed(resumed.env("HADOOP_CONF_DIR", scenario.directory.path()));
    } else {
        assert_eq!(code, Some(0), "{stderr}");
    }
    assert!(read_from(&storage, &join(output, "faiss.index")) == local);
    assert_eq!(names_in(&storage, output), PUBLISHED);
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

fn a_merge_in_parts_that_is_killed_is_resumed_and_gives_the_index_of_one_task(hdfs: &str) {
    let scenario = Scenario::new(50_000, 32);
    let flags = ["--factory-string", "IVF64,Flat"];
    let local = scenario.built("local", &flags);
    let output = join(hdfs, "in parts");
    let in_parts = [&flags[..], &["--merge-parts", "8"]].concat();
    let mut build = scenario.build(&output, &in_parts).spawn().unwrap();
    while !journal(&output).contains(&"merge-00002.json".to_owned()) {
        assert!(build.try_wait().unwrap().is_none(), "the build ended before it was killed");
        sleep(Duration::from_millis(5));
    }
    build.kill().unwrap();
    build.wait().unwrap();
    let (_, stderr) = succeed(&mut scenario.build(&output, &[&in_parts[..], &["--resume"]].concat()));
    assert!(stderr.contains("going on after") && !stderr.contains("done again"), "{stderr}");
    assert!(read(&join(&output, "faiss.index")) == local);
    assert_eq!(names(&output), PUBLISHED);
}

fn an_addition_in_place_that_is_killed_while_it_publishes_is_finished_by_the_same_command(hdfs: &str) {
    let scenario = Scenario::new(6_000, 16);
    scenario.write_to("old-vectors", "old-ids", 0..5_000);
    scenario.write_to("new-vectors", "new-ids", 5_000..6_000);
    let build = |output: &str| {
        let words =
            ["build", "--input", "old-vectors", "--ids", "old-ids", "--factory-string", "IVF16,SQ8", "--output"];
        succeed(&mut scenario.command(&[&words[..], &[output]].concat()));
    };
    let add = |index: &str| scenario.command(&["add", "--index", index, "--input", "new-vectors", "--ids", "new-ids"]);
    build("undisturbed");
    succeed(&mut add("undisturbed"));
    let storage = Storages::new().resolve(hdfs).unwrap();
    // Publishing takes some milliseconds, so a kill may come too late.
    let killed = (0..20).map(|number| join(hdfs, &format!("grown-{number}"))).find(|index| {
        build(index);
        let publication = join(index, "_temporary/publication.json");
        let mut adding = add(index).spawn().unwrap();
        while storage.stat(&publication).unwrap().is_none() && adding.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        adding.kill().unwrap();
        adding.wait().unwrap();
        storage.stat(&publication).unwrap().is_some()
    });
    let index = killed.unwrap();
    let (_, stderr) = succeed(&mut add(&index));
    assert!(stderr.contains("the same command was stopped while it published"), "{stderr}");
    assert!(read(&join(&index, "faiss.index")) == scenario.index("undisturbed"));
    assert_eq!(names(&index), PUBLISHED);
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
    read_from(Storages::new().resolve(uri).unwrap().as_ref(), uri)
}

fn read_from(storage: &dyn Storage, uri: &str) -> Vec<u8> {
    let reader = storage.open(uri).unwrap();
    let mut bytes = vec![0; usize::try_from(reader.length()).unwrap()];
    reader.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn names(directory: &str) -> Vec<String> {
    names_in(Storages::new().resolve(directory).unwrap().as_ref(), directory)
}

fn names_in(storage: &dyn Storage, directory: &str) -> Vec<String> {
    let children = storage.list(directory).unwrap();
    children.iter().map(|uri| uri.rsplit('/').next().unwrap().to_owned()).collect()
}

/// What the journals of the builds into `output` hold.
fn journal(output: &str) -> Vec<String> {
    journal_in(Storages::new().resolve(output).unwrap().as_ref(), output)
}

fn journal_in(storage: &dyn Storage, output: &str) -> Vec<String> {
    let temporary = join(output, "_temporary");
    let builds = names_in(storage, &temporary);
    builds.iter().flat_map(|build| names_in(storage, &join(&join(&temporary, build), "journal"))).collect()
}
