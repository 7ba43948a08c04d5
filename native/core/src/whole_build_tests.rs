//! Whole builds: policies, limits, damage, cancellation, and what is left behind.

use faiss_indexer_storage::{CreateMode, Storage};

use crate::error::ErrorKind;
use crate::stage::{RejectedRow, StageKind};
use crate::test_builds::{Built, OUTPUT, Rows, TestBuild};
use crate::{abandon, bad_rows, check_build, plan_training, start_build};

const FAMILY: (&str, &str) = ("factoryString", "IVF4,PQ2np");

fn value<'a>(built: &'a Built, key: &str) -> &'a str {
    &built.pairs.iter().find(|(name, _)| name == key).unwrap().1
}

fn manifest(build: &TestBuild) -> serde_json::Value {
    serde_json::from_slice(&build.read(&format!("{OUTPUT}/faiss.manifest.json"))).unwrap()
}

fn started(build: &TestBuild, dimension: usize, spec: &[(&str, &str)]) -> crate::Result<String> {
    let mut pairs = vec![("dimension".to_owned(), dimension.to_string())];
    pairs.extend(spec.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    start_build(&pairs, OUTPUT, &build.storages)
}

#[test]
fn a_finished_build_leaves_index_manifest_and_success_only() {
    let build = TestBuild::new();
    let built = build.run(&[FAMILY], &Rows::new(1_000, 8).partitions(3)).unwrap();
    assert_eq!(build.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json"]);
    assert_eq!((value(&built, "rows"), value(&built, "index")), ("1000", "memory:/out/faiss.index"));
    let manifest = manifest(&build);
    assert_eq!(manifest["rows"], 1_000);
    assert_eq!(manifest["index"]["crc32c"], value(&built, "crc32c"));
    assert_eq!(manifest["index"]["bytes"], built.index.len());
    let summary: serde_json::Value = serde_json::from_str(value(&built, "json")).unwrap();
    for key in ["rows", "bytes", "seconds", "fingerprint", "index"] {
        assert!(!summary[key].is_null(), "{key} in {summary}");
    }
}

#[test]
fn a_finished_index_is_replaced_only_when_asked() {
    let build = TestBuild::new();
    let rows = Rows::new(1_000, 8).partitions(1);
    let first = build.run(&[FAMILY], &rows).unwrap();
    let error = build.run(&[FAMILY], &rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains(OUTPUT), "{error}");
    assert_eq!(build.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json"]);

    let second = build.run(&[("factoryString", "Flat"), ("overwrite", "true")], &rows).unwrap();
    assert!(second.index != first.index);
    assert_eq!(manifest(&build)["factoryString"], "Flat");
}

#[test]
fn an_index_published_meanwhile_is_left_alone_by_the_slower_build() {
    let rows = Rows::new(1_000, 8).partitions(1);
    // Told to overwrite, the slower build finds that publishing has removed its files.
    for (overwrite, kind) in [("false", ErrorKind::AlreadyExists), ("true", ErrorKind::NotFound)] {
        let build = TestBuild::new();
        let slow = build.merged(&[("factoryString", "Flat"), ("overwrite", overwrite)], &rows).unwrap();
        let fast = build.run(&[FAMILY], &rows).unwrap();
        let error = crate::publish(&slow.build, &slow.receipts, &build.storages).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(build.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json"]);
        assert!(build.read(&format!("{OUTPUT}/faiss.index")) == fast.index);
    }
}

#[test]
fn a_dimension_that_most_rows_do_not_have_is_refused_even_when_bad_rows_are_skipped() {
    let build = TestBuild::new();
    let started = started(&build, 8, &[FAMILY, ("badRows", "skip")]).unwrap();
    let stage = build.open(StageKind::Sample, &started, &[], 0).unwrap();
    stage.append(&[1], &[0.5; 8]).unwrap();
    for id in 2..4 {
        stage.reject(RejectedRow::WrongDimension { id, dimension: 192 }).unwrap();
    }
    let error = plan_training(&started, &[stage.finish().unwrap()]).unwrap_err();
    assert!(error.to_string().contains("dimension=8") && error.to_string().contains("2 rows"), "{error}");
}

#[test]
fn an_id_that_half_of_the_rows_share_does_not_empty_the_sample() {
    let mut rows = Rows::new(2_000, 8);
    for id in rows.ids.iter_mut().step_by(2) {
        *id = -1;
    }
    for seed in ["1", "2", "3", "4", "5", "6"] {
        let build = |partitions| {
            let spec = [("factoryString", "IVF4,Flat"), ("duplicateIds", "allow"), ("seed", seed)];
            TestBuild::new().run(&spec, &rows.partitions(partitions)).unwrap()
        };
        assert!(build(1).index == build(3).index, "seed {seed}");
    }
}

#[test]
fn rows_that_are_missing_in_part_are_counted_and_named() {
    let build = TestBuild::new();
    let started = started(&build, 8, &[FAMILY]).unwrap();
    let stage = build.open(StageKind::Sample, &started, &[], 0).unwrap();
    stage.reject(RejectedRow::NullId).unwrap();
    stage.reject(RejectedRow::NullEmbedding { id: 7 }).unwrap();
    stage.reject(RejectedRow::WrongDimension { id: 5, dimension: 9 }).unwrap();
    stage.reject(RejectedRow::NullComponent { id: 3 }).unwrap();
    stage.append(&[11], &[f32::NAN; 8]).unwrap();
    let receipt = stage.finish().unwrap();
    let error = plan_training(&started, &[receipt]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRows);
    for part in ["5 bad rows", "[id 7]", "9 instead of 8", "[id 5]", "[id 3]", "[id 11]", "badRows=skip"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_receipt_tells_how_many_rows_of_each_kind_a_task_left_out() {
    let build = TestBuild::new();
    let rows = Rows::new(1_000, 8);
    let started = started(&build, 8, &[FAMILY, ("badRows", "skip"), ("sampleRate", "1")]).unwrap();
    let with_bad_rows = |kind, planned: &str, receipts: &[String]| {
        let stage = build.open(kind, planned, receipts, 0).unwrap();
        stage.append(&rows.ids, &rows.vectors).unwrap();
        stage.reject(RejectedRow::NullId).unwrap();
        stage.append(&[2_000_001, 2_000_002], &[f32::NAN; 16]).unwrap();
        let receipt = stage.finish().unwrap();
        assert_eq!(stage.progress().rows, 1_003, "bad rows are dealt with, too");
        receipt
    };
    let expected = vec![("without an id", 1), ("with NaN or an infinite number", 2)];
    let sampled = with_bad_rows(StageKind::Sample, &started, &[]);
    assert_eq!(bad_rows(&sampled).unwrap(), expected);
    let planned = plan_training(&started, std::slice::from_ref(&sampled)).unwrap().build;
    let trained = build.task(StageKind::Train, &planned, &[sampled], 0, None).unwrap();
    assert_eq!(bad_rows(&trained).unwrap(), []);
    let encoded = with_bad_rows(StageKind::Encode, &planned, &[trained]);
    assert_eq!(bad_rows(&encoded).unwrap(), expected);
    assert!(bad_rows("{}").is_err());
}

#[test]
fn skipped_rows_leave_the_index_of_the_good_rows_and_are_in_the_manifest() {
    let rows = Rows::new(1_000, 8);
    let expected = TestBuild::new().run(&[FAMILY, ("metric", "cosine")], &rows.partitions(1)).unwrap();
    let mut with_bad = rows.clone();
    for (id, component) in [(2_000_001, f32::NAN), (2_000_002, 0.0), (2_000_003, f32::INFINITY)] {
        with_bad.ids.push(id);
        with_bad.vectors.extend([component; 8]);
    }
    let build = TestBuild::new();
    let spec = [FAMILY, ("metric", "cosine"), ("badRows", "skip")];
    let built = build.run(&spec, &with_bad.partitions(3)).unwrap();
    assert!(built.index == expected.index);
    let ledger = &manifest(&build)["badRows"];
    assert_eq!(ledger["notFinite"]["rows"], 2);
    assert_eq!(ledger["zeroNorm"]["firstIds"][0], 2_000_002);
}

#[test]
fn inputs_without_enough_rows_are_refused_with_both_numbers() {
    for (rows, factory, parts) in [
        (255, "PQ2np", ["at least 256", "has 255"]),
        (15, "IVF16,Flat", ["at least 16", "has 15"]),
        (0, "Flat", ["no rows", "index can hold"]),
    ] {
        let error = TestBuild::new().run(&[("factoryString", factory)], &Rows::new(rows, 8).partitions(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooFewRows, "{factory}");
        assert!(parts.iter().all(|part| error.to_string().contains(part)), "{error}");
    }
}

#[test]
fn partitions_without_rows_change_nothing() {
    let rows = Rows::new(600, 8);
    let reference = TestBuild::new().run(&[FAMILY], &rows.partitions(1)).unwrap();
    let mut partitions = rows.partitions(2);
    partitions.insert(1, rows.select([]));
    assert!(TestBuild::new().run(&[FAMILY], &partitions).unwrap().index == reference.index);
}

#[test]
fn repeated_ids_are_refused_by_default_kept_once_or_kept_all() {
    let rows = Rows::new(1_000, 8);
    let mut repeated = rows.clone();
    for (original, vector_of) in [(3, 3), (5, 800), (5, 900), (999, 2)] {
        repeated.ids.push(rows.ids[original]);
        repeated.vectors.extend_from_slice(rows.row(vector_of));
    }
    for factory in ["IVF4,PQ2np", "Flat", "SQ8"] {
        let run = |policy, partitions| {
            let build = TestBuild::new();
            let spec = [("factoryString", factory), ("duplicateIds", policy), ("sampleRate", "1")];
            build.run(&spec, &repeated.partitions(partitions))
        };
        let error = run("fail", 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DuplicateIds);
        let mut first = [rows.ids[3], rows.ids[5], rows.ids[999]];
        first.sort_unstable();
        let names = format!("4 rows repeat an id [first ids {}, {}, {}]", first[0], first[1], first[2]);
        assert!(error.to_string().contains(&names), "{error}");

        for (policy, count) in [("keepFirst", "1000"), ("allow", "1004")] {
            let one = run(policy, 1).unwrap();
            assert_eq!(value(&one, "rows"), count, "{factory} {policy}");
            for partitions in [2, 5] {
                assert!(run(policy, partitions).unwrap().index == one.index, "{factory} {policy} {partitions}");
            }
        }
    }
}

#[test]
fn keeping_the_first_of_equal_rows_gives_the_index_without_repeats() {
    let rows = Rows::new(1_000, 8);
    // Not among the training rows of either build if training takes all rows once: Flat does not train.
    let twice = rows.select((0..1_000).chain(100..200));
    let reference = TestBuild::new().run(&[("factoryString", "Flat")], &rows.partitions(1)).unwrap();
    let spec = [("factoryString", "Flat"), ("duplicateIds", "keepFirst")];
    assert!(TestBuild::new().run(&spec, &twice.partitions(4)).unwrap().index == reference.index);
}

#[test]
fn a_small_memory_limit_spills_runs_and_gives_the_same_bytes() {
    let rows = Rows::new(200_000, 8);
    let spec = [("factoryString", "IVF4,Flat"), ("memoryLimit", "16MiB")];
    let build = TestBuild::new();
    let small = build.run(&spec, &rows.partitions(1)).unwrap();
    let large = TestBuild::new().run(&spec[..1], &rows.partitions(1)).unwrap();
    assert!(small.index == large.index);

    let started = started(&build, 8, &[("overwrite", "true"), ("factoryString", "Flat"), ("memoryLimit", "16MiB")]);
    let started = started.unwrap();
    let samples = build.every(StageKind::Sample, &started, &[], &rows.partitions(1)).unwrap();
    let planned = plan_training(&started, &samples).unwrap().build;
    let trained = build.task(StageKind::Train, &planned, &samples, 0, None).unwrap();
    let shard = build.task(StageKind::Encode, &planned, &[trained], 0, Some(&rows)).unwrap();
    let shard: serde_json::Value = serde_json::from_str(&shard).unwrap();
    assert!(shard["runs"].as_array().unwrap().len() > 1, "{shard}");
}

#[test]
fn rows_are_spread_over_shards_by_their_ids_whatever_the_partitions() {
    let rows = Rows::new(1_000, 8);
    let shards = |partitions| {
        let build = TestBuild::new();
        let started = started(&build, 8, &[FAMILY, ("shards", "3"), ("sampleRate", "1")]).unwrap();
        let partitions = rows.partitions(partitions);
        let samples = build.every(StageKind::Sample, &started, &[], &partitions).unwrap();
        let planned = plan_training(&started, &samples).unwrap().build;
        let trained = build.task(StageKind::Train, &planned, &samples, 0, None).unwrap();
        let encoded = build.every(StageKind::Encode, &planned, std::slice::from_ref(&trained), &partitions).unwrap();
        let for_merge = [vec![trained], encoded].concat();
        let merge = |shard| build.task(StageKind::Merge, &planned, &for_merge, shard, None);
        assert_eq!(merge(3).unwrap_err().kind(), ErrorKind::InvalidSpec);
        (0..3).map(|shard| serde_json::from_str(&merge(shard).unwrap()).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let (one, five) = (shards(1), shards(5));
    let rows_of = |shard: &serde_json::Value| shard["rows"].as_u64().unwrap();
    assert_eq!(one.iter().map(rows_of).sum::<u64>(), 1_000);
    for (number, (one, five)) in one.iter().zip(&five).enumerate() {
        assert!((250..420).contains(&rows_of(one)), "{one}");
        assert_eq!((&one["crc32c"], &one["shard"]), (&five["crc32c"], &five["shard"]));
        assert_eq!(one["shard"], number);
    }
}

#[test]
fn the_family_is_chosen_from_the_rows_when_none_is_named() {
    let build = TestBuild::new();
    let built = build.run(&[], &Rows::new(500, 8).partitions(2)).unwrap();
    assert_eq!(value(&built, "factoryString"), "Flat");
}

#[test]
fn shards_of_another_training_and_damaged_runs_are_refused() {
    let build = TestBuild::new();
    let rows = Rows::new(1_000, 8);
    let prepare = |seed| {
        // About a third of the rows trains, so another seed gives another training.
        let spec = [("factoryString", "IVF4,Flat"), ("seed", seed), ("sampleRate", "0.3")];
        let started = started(&build, 8, &spec).unwrap();
        let samples = build.every(StageKind::Sample, &started, &[], &rows.partitions(1)).unwrap();
        let decision = plan_training(&started, &samples).unwrap();
        assert!(!decision.resample);
        let planned = decision.build;
        let trained = build.task(StageKind::Train, &planned, &samples, 0, None).unwrap();
        let shard = build.task(StageKind::Encode, &planned, std::slice::from_ref(&trained), 0, Some(&rows)).unwrap();
        (planned, trained, shard)
    };
    let (planned, trained, shard) = prepare("1");
    let (_, other_training, foreign) = prepare("2");
    assert_ne!(trained, other_training);
    let merge = |shard: &str| build.task(StageKind::Merge, &planned, &[trained.clone(), shard.to_owned()], 0, None);
    assert!(merge(&shard).is_ok());
    assert_eq!(merge(&foreign).unwrap_err().kind(), ErrorKind::FingerprintMismatch);

    let receipt: serde_json::Value = serde_json::from_str(&shard).unwrap();
    let uri = receipt["runs"][0]["uri"].as_str().unwrap();
    let intact = build.read(uri);
    let replace = |bytes: &[u8]| {
        let mut file = build.memory.create(uri, CreateMode::Overwrite).unwrap();
        file.write_all(bytes).unwrap();
        file.finish().unwrap();
    };
    for position in [90, 100, 120, 1_000, 9_000, 30_000, intact.len() - 1] {
        let mut damaged = intact.clone();
        damaged[position] ^= 0x10;
        replace(&damaged);
        let error = merge(&shard).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::CorruptFile | ErrorKind::FingerprintMismatch), "{position}: {error}");
        assert!(error.to_string().contains(uri), "{error}");
    }
    replace(&intact[..intact.len() - 1]);
    assert_eq!(merge(&shard).unwrap_err().kind(), ErrorKind::CorruptFile);
}

#[test]
fn an_input_that_changes_between_stages_is_refused() {
    let build = TestBuild::new();
    let rows = Rows::new(1_000, 8);
    let started = started(&build, 8, &[("factoryString", "Flat")]).unwrap();
    let samples = build.every(StageKind::Sample, &started, &[], &rows.partitions(1)).unwrap();
    let planned = plan_training(&started, &samples).unwrap().build;
    let trained = build.task(StageKind::Train, &planned, &samples, 0, None).unwrap();
    let fewer = rows.select(0..999);
    let shard = build.task(StageKind::Encode, &planned, std::slice::from_ref(&trained), 0, Some(&fewer)).unwrap();
    let error = build.task(StageKind::Merge, &planned, &[trained, shard], 0, None).unwrap_err();
    assert!(error.to_string().contains("1000") && error.to_string().contains("999"), "{error}");
}

#[test]
fn a_cancelled_stage_fails_and_stays_closed() {
    let build = TestBuild::new();
    let started = started(&build, 8, &[FAMILY]).unwrap();
    let stage = build.open(StageKind::Sample, &started, &[], 0).unwrap();
    stage.cancel();
    assert_eq!(stage.append(&[1], &[0.0; 8]).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(stage.finish().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn training_stops_soon_after_it_is_cancelled() {
    use std::time::{Duration, Instant};
    let build = TestBuild::new();
    let rows = Rows::new(20_000, 64);
    let spec = [("factoryString", "OPQ16,IVF64,PQ16np"), ("sampleRate", "1")];
    let started = started(&build, 64, &spec).unwrap();
    let samples = build.every(StageKind::Sample, &started, &[], &rows.partitions(1)).unwrap();
    let planned = plan_training(&started, &samples).unwrap().build;
    let stage = build.open(StageKind::Train, &planned, &samples, 0).unwrap();
    let (error, waited) = std::thread::scope(|scope| {
        let training = scope.spawn(|| stage.finish().unwrap_err());
        std::thread::sleep(Duration::from_millis(700));
        let cancelled = Instant::now();
        stage.cancel();
        (training.join().unwrap(), cancelled.elapsed())
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    // Left alone, training takes half a minute; 200 ms are promised but for steps of two seconds.
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[test]
fn training_that_cannot_be_interrupted_writes_nothing_after_it_is_cancelled() {
    let build = TestBuild::new();
    let rows = Rows::new(5_000, 64);
    let started = started(&build, 64, &[("factoryString", "LSQ8x6"), ("sampleRate", "1")]).unwrap();
    let samples = build.every(StageKind::Sample, &started, &[], &rows.partitions(1)).unwrap();
    let planned = plan_training(&started, &samples).unwrap().build;
    let stage = build.open(StageKind::Train, &planned, &samples, 0).unwrap();
    let error = std::thread::scope(|scope| {
        let training = scope.spawn(|| stage.finish().unwrap_err());
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!training.is_finished());
        stage.cancel();
        abandon(&started, &build.storages).unwrap();
        training.join().unwrap()
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(build.published(), Vec::<String>::new());
}

#[test]
fn abandoning_a_build_leaves_nothing() {
    let build = TestBuild::new();
    let started = started(&build, 8, &[FAMILY]).unwrap();
    build.every(StageKind::Sample, &started, &[], &Rows::new(1_000, 8).partitions(2)).unwrap();
    assert!(abandon(&started, &build.storages).unwrap());
    assert_eq!(build.published(), Vec::<String>::new());
    assert!(!abandon(&started, &build.storages).unwrap(), "nothing was left to abandon");
}

#[test]
fn a_spec_that_cannot_be_built_writes_nothing() {
    for spec in [("factoryString", "PQ48"), ("metric", "euclid"), ("factory", "Flat")] {
        let build = TestBuild::new();
        assert_eq!(started(&build, 100, &[spec]).unwrap_err().kind(), ErrorKind::InvalidSpec);
        assert_eq!(build.published(), Vec::<String>::new());
    }
}

#[test]
fn what_needs_no_dimension_is_checked_before_it_is_known() {
    let build = TestBuild::new();
    let check = |key: &str, value: &str| check_build(&[(key.into(), value.into())], OUTPUT, &build.storages);
    check("factoryString", "PQ48").unwrap();
    for (key, value) in [("factoryString", "PQ"), ("metric", "euclid"), ("factory", "Flat")] {
        assert_eq!(check(key, value).unwrap_err().kind(), ErrorKind::InvalidSpec, "{key}");
    }
    assert_eq!(build.published(), Vec::<String>::new());
    build.run(&[FAMILY], &Rows::new(1_000, 8).partitions(1)).unwrap();
    assert_eq!(check("factoryString", "Flat").unwrap_err().kind(), ErrorKind::AlreadyExists);
    check("overwrite", "true").unwrap();
}

#[test]
fn a_build_without_its_dimension_does_not_start() {
    let build = TestBuild::new();
    assert_eq!(start_build(&[], OUTPUT, &build.storages).unwrap_err().kind(), ErrorKind::InvalidSpec);
    assert_eq!(build.published(), Vec::<String>::new());
}
