//! What the program does with published indexes: inspect, verify, add, merge.

#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, reason = "tests report by panicking")]

mod scenario;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use faiss_indexer_core::{
    Extension, ImportControl, Stage, StageKind, StageRequest, import_index, publish, start_extension,
};
use faiss_indexer_storage::Storages;
use scenario::{Scenario, answer, run, signal, succeed, texts};

const PUBLISHED: [&str; 4] = ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"];
/// What verify looks at, and all that a shard has.
const VERIFIED: [&str; 3] = ["_SUCCESS", "faiss.index", "faiss.manifest.json"];
const ROWS: usize = 20_000;
const OLD_ROWS: usize = 15_000;

/// Rows of which the index `old` has the first; the others are in `new-vectors` and `new-ids`.
fn scenario(flags: &[&str]) -> Scenario {
    let scenario = Scenario::new(ROWS, 16);
    scenario.write_to("old-vectors", "old-ids", 0..OLD_ROWS);
    scenario.write_to("new-vectors", "new-ids", OLD_ROWS..ROWS);
    let words = ["build", "--input", "old-vectors", "--ids", "old-ids", "--output", "old"];
    succeed(&mut scenario.command(&[&words[..], flags].concat()));
    scenario
}

fn add(scenario: &Scenario, index: &str, flags: &[&str]) -> std::process::Command {
    let words = ["add", "--index", index, "--input", "new-vectors", "--ids", "new-ids"];
    scenario.command(&[&words[..], flags].concat())
}

fn copy(scenario: &Scenario, from: &str, to: &str) {
    fs::create_dir_all(scenario.path(to)).unwrap();
    for name in PUBLISHED {
        fs::copy(scenario.path(from).join(name), scenario.path(to).join(name)).unwrap();
    }
}

/// What core makes of the index `old` and the new rows.
fn extended_by_core(scenario: &Scenario) -> Vec<u8> {
    let storages = Storages::new();
    let text = |name: &str| scenario.path(name).to_str().unwrap().to_owned();
    let old = [text("old")];
    let Extension { build, trained, .. } = start_extension(&old, &text("by-core"), &[], &storages).unwrap();
    let stage = |kind, receipts: &[String]| {
        let (build, receipts, storages) = (build.clone(), receipts.to_vec(), storages.clone());
        Stage::open(StageRequest { kind, build, receipts, partition: 1, threads: 1, storages }).unwrap()
    };
    let imported = import_index(&build, &trained, &old[0], 0, &storages, &ImportControl::default()).unwrap();
    let encode = stage(StageKind::Encode, std::slice::from_ref(&trained));
    encode.append(&scenario.ids[OLD_ROWS..], &scenario.vectors[OLD_ROWS * scenario.dimension..]).unwrap();
    let encoded = vec![trained.clone(), imported, encode.finish().unwrap()];
    let (kind, receipts) = (StageKind::Merge, encoded.clone());
    let request =
        StageRequest { kind, build: build.clone(), receipts, partition: 0, threads: 1, storages: storages.clone() };
    let merged = Stage::open(request).unwrap().finish().unwrap();
    publish(&build, &[encoded, vec![merged]].concat(), &storages).unwrap();
    scenario.index("by-core")
}

#[test]
fn added_rows_give_the_bytes_that_core_gives_in_place_or_elsewhere() {
    for factory_string in ["Flat", "OPQ4,IVF16,PQ4np", "IVF16,SQ8"] {
        let scenario = scenario(&["--factory-string", factory_string]);
        let old = scenario.index("old");
        let expected = extended_by_core(&scenario);
        let summary = answer(&mut add(&scenario, "old", &["--output", "elsewhere", "--partition-rows", "2000"]));
        assert_eq!((&summary["rows"], &summary["index"]), (&ROWS.into(), &"elsewhere/faiss.index".into()));
        assert!(scenario.index("elsewhere") == expected && scenario.index("old") == old, "{factory_string}");

        let (_, stderr) = succeed(&mut add(&scenario, "old/", &[]));
        assert!(stderr.contains("import: 15,000 rows done") && stderr.contains("encode: 5,000 rows done"), "{stderr}");
        assert!(scenario.index("old") == expected, "{factory_string}");
        assert_eq!(scenario.names("old"), PUBLISHED);
        succeed(&mut scenario.command(&["verify", "old"]));
    }
}

#[test]
fn an_index_without_training_grows_into_the_one_of_all_rows() {
    let scenario = scenario(&["--factory-string", "Flat"]);
    succeed(&mut add(&scenario, "old", &[]));
    assert!(scenario.index("old") == scenario.built("all", &["--factory-string", "Flat"]));
    // The rows are there already.
    let before = scenario.index("old");
    let (code, stdout, stderr) = run(&mut add(&scenario, "old", &[]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("duplicateIds") && scenario.index("old") == before, "{stderr}");
    assert_eq!(scenario.names("old"), PUBLISHED);
    succeed(&mut add(&scenario, "old", &["--duplicate-ids", "keepFirst"]));
    assert!(scenario.index("old") == before);
}

#[test]
fn what_cannot_be_added_is_refused_and_the_index_stays() {
    let scenario = scenario(&["--factory-string", "IVF16,SQ8"]);
    let old = scenario.index("old");
    let narrow = Scenario::new(10, 8);
    let of = |name: &str| narrow.path(name).to_str().unwrap().to_owned();
    let (vectors, ids) = (of("vectors"), of("ids"));
    let build = |output: &str, flags: &[&str]| succeed(&mut scenario.build(output, flags));
    build("graph", &["--factory-string", "HNSW8"]);
    build("shards", &["--factory-string", "Flat", "--shards", "2"]);
    build("finished", &["--factory-string", "Flat"]);
    let new = ["--input", "new-vectors", "--ids", "new-ids"];
    for (words, expected, part) in [
        (vec!["--index", "old", "--input", &vectors, "--ids", &ids], 2, "dimension 8, the index has 16"),
        ([&["--index", "graph"], &new[..]].concat(), 2, "linked in one graph"),
        ([&["--index", "shards"], &new[..]].concat(), 1, "shards/shard_0"),
        ([&["--index", "shards/shard_0"], &new[..]].concat(), 2, "shard 0 of 2"),
        ([&["--index", "nowhere"], &new[..]].concat(), 1, "nowhere does not exist"),
        ([&["--index", "old/faiss.index"], &new[..]].concat(), 1, "old/faiss.index"),
        ([&["--index", "old", "--output", "finished"], &new[..]].concat(), 2, "overwrite"),
        (vec!["--index", "old", "--input", "missing.npy"], 1, "missing.npy"),
        ([&["--index", "old", "--bad-rows", "keep"], &new[..]].concat(), 2, "badRows"),
    ] {
        let (code, stdout, stderr) = run(scenario.command(&["add"]).args(&words));
        assert_eq!((code, stdout.as_str()), (Some(expected), ""), "{words:?}: {stderr}");
        assert!(stderr.contains(part), "{words:?}: {stderr}");
    }
    assert!(scenario.index("old") == old);
    assert_eq!(scenario.names("old"), PUBLISHED);
    for directory in ["shards", "graph"] {
        succeed(&mut scenario.command(&["verify", directory]));
    }
}

#[test]
fn a_signal_while_rows_are_added_leaves_the_index_as_it_was() {
    let scenario = Scenario::new(200_000, 32);
    scenario.write_to("old-vectors", "old-ids", 0..20_000);
    scenario.write_to("new-vectors", "new-ids", 20_000..200_000);
    let words = ["build", "--input", "old-vectors", "--ids", "old-ids", "--output", "old"];
    succeed(&mut scenario.command(&[&words[..], &["--factory-string", "IVF256,PQ8np"]].concat()));
    let old = scenario.index("old");
    let mut adding = add(&scenario, "old", &["--partition-rows", "10000"]).spawn().unwrap();
    scenario.wait_for("old", "import-00000.json", &mut adding);
    let asked = Instant::now();
    signal(&adding, "INT");
    let (code, stdout, stderr) = texts(&adding.wait_with_output().unwrap());
    assert_eq!((code, stdout.as_str()), (Some(130), ""), "{stderr}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(scenario.index("old") == old);
    assert_eq!(scenario.names("old"), PUBLISHED);
    succeed(&mut scenario.command(&["verify", "old"]));
}

#[test]
fn shards_are_merged_into_the_index_of_a_build_without_shards() {
    for factory_string in ["IVF16,PQ4np", "SQ8", "Flat"] {
        let scenario = Scenario::new(ROWS, 16);
        let whole = scenario.built("whole", &["--factory-string", factory_string]);
        succeed(&mut scenario.build("shards", &["--factory-string", factory_string, "--shards", "3"]));
        let shards = ["shards/shard_2", "shards/shard_0", "shards/shard_1"];
        let words = [&["merge", "--output", "merged", "--input"], &shards[..]].concat();
        let summary = answer(&mut scenario.command(&words));
        assert_eq!(summary["rows"], ROWS);
        assert!(scenario.index("merged") == whole, "{factory_string}");
        assert_eq!(scenario.names("merged"), PUBLISHED);
        succeed(&mut scenario.command(&["verify", "merged"]));
    }
}

#[test]
fn indexes_that_grew_from_one_are_merged_and_others_are_refused() {
    let scenario = scenario(&["--factory-string", "IVF16,SQ8"]);
    succeed(&mut add(&scenario, "old", &["--output", "all"]));
    let merge = |input: &[&str], flags: &[&str]| {
        run(&mut scenario.command(&[&["merge", "--input"], input, &["--output", "merged"], flags].concat()))
    };
    let (code, _, stderr) = merge(&["old", "all"], &[]);
    assert!(code == Some(1) && stderr.contains("duplicateIds"), "{stderr}");
    assert!(scenario.names("merged").is_empty());
    let (code, _, stderr) = merge(&["old", "all"], &["--duplicate-ids", "keepFirst"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(scenario.index("merged") == scenario.index("all"));

    succeed(&mut scenario.build("other", &["--factory-string", "IVF16,SQ8", "--seed", "5"]));
    for (input, expected, part) in [
        (&["old", "other"][..], 1, "were trained differently"),
        (&["old"], 2, "two indexes or more"),
        (&["old", "all"], 2, "overwrite"),
        (&["old", "nowhere"], 1, "nowhere"),
    ] {
        let (code, stdout, stderr) = merge(input, &[]);
        assert_eq!((code, stdout.as_str()), (Some(expected), ""), "{input:?}: {stderr}");
        assert!(stderr.contains(part), "{input:?}: {stderr}");
    }
}

#[test]
fn verify_finds_a_flipped_byte_anywhere_and_a_missing_file() {
    let scenario = scenario(&["--factory-string", "IVF16,PQ4np"]);
    let (stdout, stderr) = succeed(&mut scenario.command(&["verify", "old"]));
    assert!(stdout.starts_with("old: all is as stated. IVF16,PQ4np, 15,000 rows"), "{stdout}");
    assert!(stderr.contains("verify: ") && stderr.contains("iB/s"), "{stderr}");
    let verified = answer(&mut scenario.command(&["verify", "--json", "old"]));
    assert_eq!((&verified["rows"], &verified["fingerprintRecomputed"]), (&OLD_ROWS.into(), &true.into()));

    for name in ["faiss.index", "faiss.manifest.json"] {
        let path = scenario.path("old").join(name);
        let whole = fs::read(&path).unwrap();
        for place in (0..whole.len()).step_by(whole.len() / 12).chain([whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let (code, stdout, stderr) = run(&mut scenario.command(&["verify", "old"]));
            assert_eq!((code, stdout.as_str()), (Some(1), ""), "byte {place} of {name}: {stderr}");
            assert!(stderr.contains(&format!("old/{name} is damaged")), "byte {place} of {name}: {stderr}");
        }
        fs::write(&path, &whole).unwrap();
    }
    for name in VERIFIED {
        copy(&scenario, "old", "copy");
        fs::remove_file(scenario.path("copy").join(name)).unwrap();
        let (code, _, stderr) = run(&mut scenario.command(&["verify", "copy"]));
        assert!(code == Some(1) && stderr.contains(name), "{stderr}");
    }
    let (code, _, stderr) = run(&mut scenario.command(&["verify", "nowhere"]));
    assert!(code == Some(1) && stderr.contains("nowhere holds no published index"), "{stderr}");
}

#[test]
fn shards_are_directories_that_verify_and_inspect_understand() {
    let scenario = Scenario::new(3_000, 16);
    succeed(&mut scenario.build("out", &["--factory-string", "HNSW8", "--shards", "3"]));
    assert_eq!(
        scenario.names("out"),
        ["_SUCCESS", "faiss.manifest.json", "report.html", "shard_0", "shard_1", "shard_2"]
    );
    for shard in 0..3 {
        assert_eq!(scenario.names(&format!("out/shard_{shard}")), VERIFIED);
    }
    let verified = answer(&mut scenario.command(&["verify", "--json", "out"]));
    assert_eq!((&verified["rows"], verified["shards"].as_array().unwrap().len()), (&3_000.into(), 3));
    let described = answer(&mut scenario.command(&["inspect", "--json", "out"]));
    let rows = described["shards"].as_array().unwrap().iter().map(|shard| shard["rows"].as_u64().unwrap());
    assert_eq!(rows.sum::<u64>(), 3_000);
    let (text, _) = succeed(&mut scenario.command(&["inspect", "out"]));
    assert_eq!(text.matches("HNSW8").count(), 6, "{text}");

    let damaged = scenario.path("out/shard_1/faiss.index");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[1_000] ^= 1;
    fs::write(damaged, bytes).unwrap();
    let (code, _, stderr) = run(&mut scenario.command(&["verify", "out"]));
    assert!(code == Some(1) && stderr.contains("out/shard_1/faiss.index is damaged"), "{stderr}");
}

fn golden_files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden");
    let of = |version: &str| fs::read_dir(directory.join(version)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = of("1.7.4").chain(of("1.15.1")).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "index"));
    files.sort();
    files
}

#[test]
fn inspect_reads_the_files_of_old_and_recent_faiss() {
    let scenario = Scenario::empty();
    let files = golden_files();
    assert!(files.len() > 100, "{}", files.len());
    for file in files {
        let expected: serde_json::Value =
            serde_json::from_slice(&fs::read(file.with_file_name("expected.json")).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let path = file.to_str().unwrap();
        let described = answer(&mut scenario.command(&["inspect", "--json", path]));
        for key in ["rows", "dimension"] {
            assert!(described[key].is_u64() && described[key] == expected[name][key], "{path}: {described}");
        }
        assert_eq!(described["bytes"], fs::metadata(&file).unwrap().len(), "{path}");
        let (text, stderr) = succeed(&mut scenario.command(&["inspect", path]));
        let family = described["family"].as_str().unwrap();
        assert!(text.contains(&format!("family          {family}\n")) && stderr.is_empty(), "{text}{stderr}");
    }
}

#[test]
fn inspect_of_something_else_is_an_error_that_names_it() {
    let scenario = Scenario::new(10, 8);
    let whole = fs::read(golden_files().remove(0)).unwrap();
    fs::write(scenario.path("cut"), &whole[..whole.len() - 1]).unwrap();
    fs::write(scenario.path("text"), "no index at all").unwrap();
    fs::write(scenario.path("nothing"), "").unwrap();
    for (name, part) in [
        ("cut", "cut is damaged"),
        ("text", "text is no index file of Faiss"),
        ("nothing", "nothing is damaged"),
        ("vectors", "holds no faiss.index"),
        ("nowhere", "nowhere does not exist"),
    ] {
        let (code, stdout, stderr) = run(&mut scenario.command(&["inspect", name]));
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}
