//! Recall as the program prints it, against recall as faiss-cpu has it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::as_conversions, reason = "tests")]

mod scenario;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use scenario::{Scenario, answer, run, signal, succeed};

const DIMENSION: usize = 16;
const QUERIES: usize = 100;
const QUERY_FLAGS: [&str; 8] =
    ["--queries", "queries", "--query-ids", "query-ids", "--input", "vectors", "--ids", "ids"];

/// Rows, and queries near some of them, under ids of rows.
fn scenario() -> Scenario {
    let mut scenario = Scenario::new(20_000, DIMENSION);
    // Where IndexShards of Faiss joins results, a negative id is no row.
    scenario.ids.iter_mut().for_each(|id| *id += 500_000);
    scenario.write();
    let mut queries = Scenario::new(QUERIES, DIMENSION);
    queries.directory = scenario.directory;
    for query in 0..QUERIES {
        let row = query * 151;
        queries.ids[query] = scenario.ids[row];
        for component in 0..DIMENSION {
            let moved = scenario.vectors[row * DIMENSION + component] + 0.05 * ((query * 7 + component * 3) % 5) as f32;
            queries.vectors[query * DIMENSION + component] = moved;
        }
    }
    queries.write_to("queries", "query-ids", 0..QUERIES);
    for (name, floats) in [("rows.f32", &scenario.vectors), ("queries.f32", &queries.vectors)] {
        let bytes: Vec<u8> = floats.iter().flat_map(|component| component.to_le_bytes()).collect();
        fs::write(queries.path(name), bytes).unwrap();
    }
    let ids: Vec<u8> = scenario.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    fs::write(queries.path("ids.i64"), ids).unwrap();
    Scenario { directory: queries.directory, ..scenario }
}

/// A list for each value, with the recall at each k.
fn faiss_recall(
    scenario: &Scenario,
    metric: &str,
    dial: &str,
    values: &str,
    ks: &str,
    indexes: &[PathBuf],
) -> Vec<Vec<f64>> {
    let python = std::env::var("FAISS_INDEXER_PYTHON_CURRENT")
        .expect("FAISS_INDEXER_PYTHON_CURRENT is set by scripts/environment; make test-rust does that");
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/recall/plain.py");
    let output = Command::new(python)
        .arg(script)
        .arg(scenario.directory.path())
        .args([&DIMENSION.to_string(), metric, dial, values, ks])
        .args(indexes)
        // Threads of OpenMP wait for each other in busy loops, which takes minutes beside other tests.
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn evaluate(scenario: &Scenario, index: &str, flags: &[&str]) -> Command {
    scenario.command(&[&["evaluate", "--index", index], &QUERY_FLAGS[..], flags].concat())
}

#[test]
fn recall_agrees_with_faiss_to_three_digits() {
    let scenario = scenario();
    for (factory, metric, shards, dial, values) in [
        ("IVF16,PQ4np", "l2", 1, "nprobe", "1,4,16"),
        ("OPQ8,IVF16,PQ8np", "cosine", 1, "nprobe", "1,16"),
        ("IVF16,SQ8", "ip", 3, "nprobe", "1,4"),
        ("Flat", "l2", 1, "none", "0"),
        ("PQ4np", "l2", 1, "none", "0"),
        ("HNSW8", "l2", 1, "efSearch", "10,40"),
        ("HNSW8,SQ8", "cosine", 2, "efSearch", "10,40"),
    ] {
        let count = shards.to_string();
        let flags = ["--factory-string", factory, "--metric", metric, "--shards", &count, "--overwrite"];
        succeed(&mut scenario.build("out", &flags));
        let indexes: Vec<PathBuf> = match shards {
            1 => vec![scenario.path("out/faiss.index")],
            _ => (0..shards).map(|shard| scenario.path(&format!("out/shard_{shard}/faiss.index"))).collect(),
        };
        let sweep = match dial {
            "nprobe" => vec!["--nprobe", values],
            "efSearch" => vec!["--ef-search", values],
            _ => vec![],
        };
        let measured = answer(&mut evaluate(&scenario, "out", &[&["--json", "--k", "1,10"], &sweep[..]].concat()));
        assert_eq!((measured["rows"].as_u64(), measured["queries"].as_u64()), (Some(20_000), Some(QUERIES as u64)));
        assert_eq!(measured["metric"], metric);
        let expected = faiss_recall(&scenario, metric, dial, values, "1,10", &indexes);
        let points = measured["points"].as_array().unwrap();
        assert_eq!(points.len(), expected.len());
        for (point, expected) in points.iter().zip(expected) {
            for (recall, expected) in point["recall"].as_array().unwrap().iter().zip(expected) {
                let share = recall["share"].as_f64().unwrap();
                assert!((share - expected).abs() < 0.0005, "{factory}, {metric}: {point}, faiss-cpu has {expected}");
                assert!(share > 0.05, "{factory}: {share} would agree with anything");
            }
        }
    }
}

#[test]
fn people_get_a_table_and_queries_that_are_rows_can_leave_themselves_out() {
    let scenario = scenario();
    succeed(&mut scenario.build("out", &["--factory-string", "IVF16,Flat"]));
    let (stdout, stderr) = succeed(&mut evaluate(&scenario, "out", &[]));
    let lines: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(stdout.starts_with("out: IVF16,Flat, l2, 20,000 rows; 100 queries\n\n"), "{stdout}");
    assert_eq!(lines[2], ["nprobe", "recall@10", "ms/query"]);
    let values: Vec<&str> = lines[3..].iter().map(|line| line[0]).collect();
    assert_eq!(values, ["1", "2", "4", "8", "16"]);
    assert_eq!(lines[7][1], "1.0000");
    assert!(stderr.contains("verify: ") && stderr.contains("exact: 20,000 rows done"), "{stderr}");

    // Ids of queries matter only to leave own rows out.
    let words = ["evaluate", "--index", "out", "--queries", "queries", "--input", "vectors", "--ids", "ids"];
    let (without_ids, _) = succeed(&mut scenario.command(&words));
    let recall = |table: &str| -> Vec<String> {
        table.lines().skip(3).map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(recall(&without_ids), recall(&stdout));
    let (code, _, stderr) = run(&mut scenario.command(&[&words[..], &["--exclude-own"]].concat()));
    assert!(code == Some(2) && stderr.contains("(--query-ids)"), "{stderr}");

    // Rows of the data find themselves unless they are left out.
    let own = ["evaluate", "--index", "out", "--queries", "vectors/000.npy", "--query-ids", "ids/000.npy"];
    let own = [&own[..], &["--input", "vectors", "--ids", "ids", "--k", "1", "--nprobe", "1", "--json"]].concat();
    let with = answer(&mut scenario.command(&own));
    let without = answer(&mut scenario.command(&[&own[..], &["--exclude-own"]].concat()));
    let share = |measured: &serde_json::Value| measured["points"][0]["recall"][0]["share"].as_f64().unwrap();
    assert_eq!(share(&with), 1.0);
    assert!(share(&without) < 1.0, "{without}");
    assert_eq!((&with["ownRowsLeftOut"], &without["ownRowsLeftOut"]), (&false.into(), &true.into()));
}

#[test]
fn an_index_file_alone_is_evaluated_by_the_metric_that_it_or_the_user_says() {
    let scenario = scenario();
    succeed(&mut scenario.build("out", &["--factory-string", "Flat", "--metric", "cosine"]));
    fs::copy(scenario.path("out/faiss.index"), scenario.path("alone.index")).unwrap();
    let measured = answer(&mut evaluate(&scenario, "alone.index", &["--metric", "cosine", "--json"]));
    assert_eq!(measured["points"][0]["recall"][0]["share"], 1.0);
    let measured = answer(&mut evaluate(&scenario, "alone.index", &["--json"]));
    assert_eq!(measured["metric"], "ip");
    let (code, _, stderr) = run(&mut evaluate(&scenario, "alone.index", &["--metric", "l2"]));
    assert!(code == Some(2) && stderr.contains("ranks by"), "{stderr}");
}

#[test]
fn what_cannot_be_evaluated_is_an_error_that_says_why() {
    let scenario = scenario();
    succeed(&mut scenario.build("lists", &["--factory-string", "IVF16,Flat"]));
    succeed(&mut scenario.build("flat", &["--factory-string", "Flat"]));
    let (code, _, stderr) =
        run(&mut scenario.command(&["evaluate", "--index", "flat", "--queries", "queries", "--ids", "ids"]));
    assert!(code == Some(2) && stderr.contains("--input is missing") && stderr.contains("For example"), "{stderr}");
    for (index, flags, expected, part) in [
        ("lists", &["--ef-search", "16"][..], 2, "--ef-search means nothing to IVF16,Flat"),
        ("flat", &["--nprobe", "16"], 2, "--nprobe means nothing to"),
        ("flat", &["--k", "0"], 2, "0 is not in 1.."),
        ("lists", &["--nprobe", "1,x"], 2, "invalid value 'x'"),
        ("nowhere", &[], 1, "nowhere does not exist"),
        ("lists", &["--metric", "euclid"], 2, "l2, ip, cosine"),
        ("lists", &["--metric", "ip"], 2, "metric='ip' is not that of lists/faiss.index, which was built for l2"),
    ] {
        let (code, stdout, stderr) = run(&mut evaluate(&scenario, index, flags));
        assert_eq!((code, stdout.as_str()), (Some(expected), ""), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }

    let narrow = Scenario::new(10, 8);
    let query = narrow.path("vectors/000.npy");
    let (query, ids) = (query.to_str().unwrap(), narrow.path("ids/000.npy"));
    let words = ["evaluate", "--index", "flat", "--input", "vectors", "--ids", "ids", "--queries", query];
    let (code, _, stderr) = run(&mut scenario.command(&[&words[..], &["--query-ids", ids.to_str().unwrap()]].concat()));
    assert!(code == Some(2) && stderr.contains("000.npy") && stderr.contains("16"), "{stderr}");

    let part = ["evaluate", "--index", "flat", "--input", "vectors/000.npy", "--ids", "ids/000.npy"];
    let (_, stderr) =
        succeed(&mut scenario.command(&[&part[..], &["--queries", "queries", "--query-ids", "query-ids"]].concat()));
    assert!(stderr.contains("the index has 20000 rows and the input 5000"), "{stderr}");
}

#[test]
fn a_damaged_index_is_an_error_and_no_crash() {
    let scenario = scenario();
    succeed(&mut scenario.build("out", &["--factory-string", "HNSW8"]));
    let whole = scenario.index("out");
    let published = scenario.path("out/faiss.index");
    for place in (0..whole.len()).step_by(whole.len() / 10) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x80;
        fs::write(&published, damaged).unwrap();
        let (code, stdout, stderr) = run(&mut evaluate(&scenario, "out", &[]));
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "byte {place}: {stderr}");
        assert!(stderr.contains("error: out/faiss.index is "), "byte {place}: {stderr}");
    }
    // Without a manifest nothing tells that neighbours are no rows, until the search reads beyond the memory it has.
    let mut wild = whole.clone();
    wild[400_000..1_000_000].fill(0x7f);
    fs::write(scenario.path("wild.index"), wild).unwrap();
    let (code, stdout, stderr) = run(&mut evaluate(&scenario, "wild.index", &[]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("wild.index is damaged, or memory is short"), "{stderr}");

    fs::write(scenario.path("cut.index"), &whole[..whole.len() / 2]).unwrap();
    let (code, _, stderr) = run(&mut evaluate(&scenario, "cut.index", &[]));
    assert!(code == Some(1) && stderr.contains("cut.index is damaged"), "{stderr}");
}

#[test]
fn queries_that_do_not_fit_are_named_with_their_file_and_id() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../input/tests/golden");
    let (rows, bad) = (golden.join("default.parquet"), golden.join("with_nulls.parquet"));
    let (rows, bad) = (rows.to_str().unwrap(), bad.to_str().unwrap());
    let scenario = Scenario::empty();
    succeed(&mut scenario.command(&["build", "--input", rows, "--output", "out", "--factory-string", "Flat"]));
    let queries = ["evaluate", "--index", "out", "--input", rows, "--queries"];
    let (code, _, stderr) = run(&mut scenario.command(&[&queries[..], &[bad]].concat()));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("with_nulls.parquet cannot be the queries of an index of dimension 3: a row has no id"),
        "{stderr}"
    );
    let (code, _, stderr) = run(&mut scenario.command(&[&queries[..], &[rows, "--metric", "L2"]].concat()));
    assert_eq!(code, Some(0), "another word for the metric of the index: {stderr}");
}

#[test]
fn the_process_that_searches_a_file_without_a_manifest_ends_with_the_one_that_was_started() {
    let scenario = Scenario::new(40_000, 64);
    succeed(&mut scenario.build("out", &["--factory-string", "Flat"]));
    fs::copy(scenario.path("out/faiss.index"), scenario.path("alone.index")).unwrap();
    // Minutes of exact search.
    let words = ["evaluate", "--index", "alone.index", "--input", "vectors", "--ids", "ids", "--queries", "vectors"];
    for signal_name in ["TERM", "KILL"] {
        let mut outer = scenario.command(&[&words[..], &["--k", "1000"]].concat()).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let inner = loop {
            assert!(outer.try_wait().unwrap().is_none(), "it ended before it could be stopped");
            let child = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
            if !child.is_empty() {
                break PathBuf::from(format!("/proc/{child}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let environment = || fs::read(inner.join("environ")).unwrap_or_default();
        let is_at_work = || String::from_utf8_lossy(&environment()).contains("FAISS_INDEXER_OWN_PROCESS");
        while !is_at_work() {
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&outer, signal_name);
        assert_ne!(outer.wait().unwrap().code(), Some(0));
        let stopped = Instant::now();
        while is_at_work() {
            assert!(stopped.elapsed() < Duration::from_secs(5), "it searches on after SIG{signal_name}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_build_with_report_measures_the_index_and_can_be_resumed() {
    let scenario = Scenario::new(20_000, DIMENSION);
    let flags = ["--factory-string", "IVF16,PQ4np", "--report", "--partition-rows", "5000"];
    let published = ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"];
    let summary = answer(&mut scenario.build("out", &flags));
    assert!(summary["seconds"]["evaluate"].is_number() && summary["suggestedNprobe"].is_number(), "{summary}");
    assert_eq!(scenario.names("out"), published);
    let manifest = |output: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(scenario.path(output).join("faiss.manifest.json")).unwrap()).unwrap()
    };
    let recall = manifest("out")["recall"].clone();
    assert!(recall["points"].as_array().unwrap().len() > 3, "{recall}");
    assert!(fs::read_to_string(scenario.path("out/report.html")).unwrap().contains("recall"));

    let mut killed = scenario.build("resumed", &flags).spawn().unwrap();
    scenario.wait_for("resumed", "encode-00000.json", &mut killed);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let (_, stderr) = succeed(&mut scenario.build("resumed", &[&flags[..], &["--resume"]].concat()));
    assert!(stderr.contains("going on after") && stderr.contains("evaluate: done in"), "{stderr}");
    assert!(scenario.index("resumed") == scenario.index("out"));
    let shares = |recall: &serde_json::Value| -> Vec<serde_json::Value> {
        recall["points"].as_array().unwrap().iter().map(|point| point["recall"].clone()).collect()
    };
    assert_eq!(shares(&manifest("resumed")["recall"]), shares(&recall));

    let summary = answer(&mut scenario.build("shards", &[&flags[..], &["--shards", "2"]].concat()));
    assert_eq!(summary["shards"], 2);
    assert!(scenario.names("shards").contains(&"report.html".to_owned()));
}
