//! Whole builds by the program.

#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, reason = "tests report by panicking")]

mod scenario;

use std::fs;

use faiss_indexer_core::{Stage, StageKind, StageRequest, plan_training, publish, start_build};
use faiss_indexer_storage::Storages;
use scenario::{Scenario, answer, run, succeed};

const FACTORY_STRING: &str = "OPQ4,IVF16,PQ4np";
const SEVERAL_PARTITIONS: [&str; 4] = ["--factory-string", FACTORY_STRING, "--partition-rows", "10000"];

/// What core builds of all rows in one partition.
fn built_by_core(scenario: &Scenario, spec: &[(&str, &str)]) -> Vec<u8> {
    let storages = Storages::new();
    let output = scenario.path("by-core").to_str().unwrap().to_owned();
    let dimension = scenario.dimension.to_string();
    let spec = [spec, &[("dimension", dimension.as_str()), ("overwrite", "true")]].concat();
    let spec: Vec<_> = spec.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut build = start_build(&spec, &output, &storages).unwrap();
    let task = |kind, build: &str, receipts: &[String]| {
        let (build, receipts, storages) = (build.to_owned(), receipts.to_vec(), storages.clone());
        let stage = Stage::open(StageRequest { kind, build, receipts, partition: 0, threads: 1, storages }).unwrap();
        if matches!(kind, StageKind::Sample | StageKind::Encode) {
            stage.append(&scenario.ids, &scenario.vectors).unwrap();
        }
        stage.finish().unwrap()
    };
    let sample = loop {
        let sample = task(StageKind::Sample, &build, &[]);
        let decision = plan_training(&build, std::slice::from_ref(&sample)).unwrap();
        build = decision.build;
        if !decision.resample {
            break sample;
        }
    };
    let trained = task(StageKind::Train, &build, std::slice::from_ref(&sample));
    let shard = task(StageKind::Encode, &build, std::slice::from_ref(&trained));
    let merged = task(StageKind::Merge, &build, &[trained.clone(), shard.clone()]);
    publish(&build, &[sample, trained, shard, merged], &storages).unwrap();
    scenario.index("by-core")
}

#[test]
fn the_index_is_the_one_that_core_builds_in_one_partition() {
    let scenario = Scenario::new(50_000, 16);
    for (flags, spec) in [
        (&SEVERAL_PARTITIONS[..], &[("factoryString", FACTORY_STRING)][..]),
        (&["--factory_string=Flat", "--partition_rows=7000", "--threads=3"], &[("factoryString", "Flat")]),
        (
            &["--factory-string", "IVF16,SQ8", "--metric", "cosine", "--seed", "7", "--sample-rate", "0.5"],
            &[("factoryString", "IVF16,SQ8"), ("metric", "cosine"), ("seed", "7"), ("sampleRate", "0.5")],
        ),
    ] {
        let flags = [flags, &["--overwrite"]].concat();
        assert!(scenario.built("out", &flags) == built_by_core(&scenario, spec), "{flags:?}");
        assert_eq!(scenario.names("out"), ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"]);
    }
}

#[test]
fn the_last_line_of_stdout_is_a_json_object_and_stderr_has_plain_lines() {
    let scenario = Scenario::new(20_000, 16);
    let (stdout, stderr) = succeed(&mut scenario.build("out", &SEVERAL_PARTITIONS));
    let summary: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["rows"], 20_000);
    assert_eq!(summary["bytes"], scenario.index("out").len());
    assert_eq!(summary["index"], "out/faiss.index");
    for stage in ["sample", "train", "encode", "merge"] {
        assert!(summary["seconds"][stage].is_number(), "{stdout}");
        assert!(stderr.contains(&format!("{stage}: ")), "{stderr}");
    }
    assert!(stderr.contains("20,000 rows") && !stderr.contains('\x1b') && !stderr.contains('\r'), "{stderr:?}");
}

#[test]
fn quiet_says_nothing_and_the_chosen_family_is_said_with_its_reason() {
    let scenario = Scenario::new(3_000, 16);
    let (_, stderr) = succeed(&mut scenario.build("quiet", &["--quiet", "--factory-string", "Flat"]));
    assert_eq!(stderr, "");
    let (_, stderr) = succeed(&mut scenario.build("chosen", &["--progress", "none"]));
    assert!(stderr.contains("chose factoryString="), "{stderr}");
}

#[test]
fn a_failed_build_has_exit_code_1_and_leaves_no_temporary_files() {
    let mut scenario = Scenario::new(40_000, 16);
    scenario.vectors[16 * 39_000 + 3] = f32::NAN;
    scenario.write();
    let (code, stdout, stderr) = run(&mut scenario.build("out", &SEVERAL_PARTITIONS));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("error: 1 bad rows: 1 with NaN"), "{stderr}");
    assert_eq!(scenario.names("out"), [""; 0]);
    let (_, stderr) = succeed(&mut scenario.build("out", &[&SEVERAL_PARTITIONS[..], &["--bad-rows=skip"]].concat()));
    assert!(stderr.contains("left out 1 bad rows"), "{stderr}");
}

#[test]
fn resume_without_an_unfinished_build_says_so_and_begins_one() {
    let scenario = Scenario::new(2_000, 16);
    let (_, stderr) = succeed(&mut scenario.build("out", &["--resume", "--factory-string", "Flat"]));
    assert!(stderr.contains("out holds no unfinished build"), "{stderr}");
    assert_eq!(scenario.names("out"), ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"]);
}

#[test]
fn resume_refuses_another_spec_or_input_and_repeats_steps_whose_files_are_lost() {
    let scenario = Scenario::new(60_000, 16);
    let undisturbed = scenario.built("undisturbed", &SEVERAL_PARTITIONS);
    let mut killed = scenario.build("out", &SEVERAL_PARTITIONS).spawn().unwrap();
    scenario.wait_for("out", "encode-00000.json", &mut killed);
    killed.kill().unwrap();
    killed.wait().unwrap();

    let resume = [&SEVERAL_PARTITIONS[..], &["--resume"]].concat();
    for (flag, named) in [
        ("--metric=cosine", "metric differs: the unfinished build has \"l2\", this one \"cosine\""),
        ("--seed=5", "seed differs"),
        ("--id-column=id", "id-column differs: the unfinished build has entityId, this one id"),
    ] {
        let (code, _, stderr) = run(&mut scenario.build("out", &[&resume[..], &[flag]].concat()));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(named) && stderr.contains("--resume"), "{stderr}");
    }
    // A rename keeps the time of a file, which an input may go by.
    let moved = |from: &str, to: &str| fs::rename(scenario.path(from), scenario.path(to)).unwrap();
    moved("ids", "all-ids");
    moved("vectors", "all-vectors");
    scenario.write_first(59_999);
    let (code, _, stderr) = run(&mut scenario.build("out", &resume));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("input differs"), "{stderr}");
    moved("ids", "other-ids");
    moved("vectors", "other-vectors");
    moved("all-ids", "ids");
    moved("all-vectors", "vectors");

    let build_directory = scenario.journal("out").unwrap().parent().unwrap().to_owned();
    let files = fs::read_dir(&build_directory).unwrap().map(|entry| entry.unwrap().path());
    let run_file = files.into_iter().find(|path| path.to_str().unwrap().contains("shard-00000")).unwrap();
    fs::remove_file(run_file).unwrap();
    let (_, stderr) = succeed(&mut scenario.build("out", &resume));
    assert!(stderr.contains("going on after") && stderr.contains("encode-00000 has to be done again"), "{stderr}");
    assert!(scenario.index("out") == undisturbed);
    assert_eq!(scenario.names("out"), ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"]);
}

#[test]
fn a_graph_beyond_the_memory_limit_is_refused_before_rows_are_read() {
    let scenario = Scenario::new(20_000, 64);
    // The files look whole from outside.
    let path = scenario.path("vectors/000.npy");
    let mut bytes = fs::read(&path).unwrap();
    bytes[200..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    for (factory_string, limit) in [("HNSW32", "50MiB"), ("NSG32", "50MiB"), ("HNSW32,SQ8", "16MiB")] {
        let flags = ["--factory-string", factory_string, "--memory-limit", limit];
        let (code, stdout, stderr) = run(&mut scenario.build("out", &flags));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains("20000 rows of 64") && stderr.contains("--shards N"), "{stderr}");
        assert!(!stderr.contains("sample") && !scenario.path("out").exists(), "{stderr}");
    }
    // Enough for it: then the rows are read, and are no numbers.
    let (code, _, stderr) = run(&mut scenario.build("out", &["--factory-string", "HNSW32"]));
    assert!(code == Some(1) && stderr.contains("NaN"), "{stderr}");
}

#[test]
fn all_formats_of_the_same_rows_give_the_same_index() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../input/tests/golden");
    let scenario = Scenario::empty();
    let build = |input: &str, flags: &[&str]| {
        let input = golden.join(input);
        let words = ["build", "--factory-string", "Flat", "--output", "out", "--overwrite", "--input"];
        let mut command = scenario.command(&[&words[..], &[input.to_str().unwrap()], flags].concat());
        command.arg("--quiet");
        command
    };
    let ids = golden.join("ids.npy");
    succeed(&mut build("embeddings.npy", &["--ids", ids.to_str().unwrap()]));
    let expected = scenario.index("out");
    let nested = ["--id-column", "item.entityId", "--embedding-column", "item.embedding"];
    for (input, flags) in [
        ("default.parquet", &[][..]),
        ("byte_stream_split.parquet", &[]),
        ("delta_ids_in_row_groups.parquet", &[]),
        ("dictionary_ids.parquet", &[]),
        ("fixed_size_list.parquet", &[]),
        ("half_lz4.parquet", &[]),
        ("large_list_of_double_brotli.parquet", &[]),
        ("small_pages_of_version_2.parquet", &[]),
        ("nested.parquet", &nested),
        ("default.arrow", &[]),
        ("feather.arrow", &[]),
        ("growing_dictionary_stream.arrow", &[]),
    ] {
        assert_eq!(answer(&mut build(input, flags))["rows"], 24, "{input}");
        assert!(scenario.index("out") == expected, "{input}");
    }
    let (code, _, stderr) = run(&mut build("with_nulls.parquet", &[]));
    assert!(code == Some(1) && stderr.contains("4 bad rows"), "{stderr}");
    let summary = answer(&mut build("with_nulls.parquet", &["--bad-rows", "skip"]));
    assert_eq!((&summary["rows"], &summary["badRows"]), (&20.into(), &4.into()));
    let given = answer(&mut build("with_nulls.parquet", &["--bad-rows", "skip", "--dimension", "3"]));
    assert_eq!(given["rows"], 20);
    let (code, _, stderr) = run(&mut build("with_nulls.parquet", &["--bad-rows", "skip", "--dimension", "2"]));
    assert!(code == Some(1) && stderr.contains("dimension=2 fits 1 rows only"), "{stderr}");
    let unfit = ["--factory-string", "PQ2np", "--progress", "none"];
    let input = golden.join("default.parquet");
    let words = ["build", "--output", "unfit", "--input", input.to_str().unwrap()];
    let (code, _, stderr) = run(&mut scenario.command(&[&words[..], &unfit].concat()));
    let origin = "default.parquet has 3 components; --dimension says otherwise)";
    assert!(code == Some(2) && stderr.contains("(row 0 of /") && stderr.contains(origin), "{stderr}");
}
