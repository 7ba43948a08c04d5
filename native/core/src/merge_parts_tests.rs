//! Builds whose index is merged in parts by several tasks, then made one file.

use faiss_indexer_storage::{CreateMode, Storage};

use crate::error::ErrorKind;
use crate::receipts::Receipts;
use crate::stage::StageKind;
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::{assemble_tasks, lost_receipts, merge_tasks, plan_training, publish, start_build, verify};

/// A build up to what its merge has made.
struct Merged {
    build: String,
    samples: Vec<String>,
    encoded: Vec<String>,
    merged: Vec<String>,
}

fn merged(test: &TestBuild, output: &str, spec: &[(&str, &str)], partitions: &[Rows]) -> Merged {
    let dimension = partitions[0].dimension.to_string();
    let all = [("dimension", dimension.as_str()), ("report", "false"), ("sampleRate", "1")].into_iter();
    let pairs: Vec<_> = all.chain(spec.iter().copied()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let started = start_build(&pairs, output, &test.storages).unwrap();
    let samples = test.every(StageKind::Sample, &started, &[], partitions).unwrap();
    let build = plan_training(&started, &samples).unwrap().build;
    let trained = test.task(StageKind::Train, &build, &samples, 0, None).unwrap();
    let shards = test.every(StageKind::Encode, &build, std::slice::from_ref(&trained), partitions).unwrap();
    let encoded = [vec![trained], shards].concat();
    let merge = |task| test.task(StageKind::Merge, &build, &encoded, task, None).unwrap();
    let merged = (0..merge_tasks(&build).unwrap()).map(merge).collect();
    Merged { build, samples, encoded, merged }
}

impl Merged {
    fn receipts(&self) -> Vec<String> {
        [self.encoded.clone(), self.merged.clone()].concat()
    }

    fn parts(&self) -> Vec<String> {
        let parts = Receipts::parse(&self.merged).unwrap().parts;
        parts.into_iter().map(|part| part.uri).collect()
    }

    fn publish(&self, test: &TestBuild) -> Vec<(String, String)> {
        let assemble = |shard| test.task(StageKind::Assemble, &self.build, &self.receipts(), shard, None).unwrap();
        let assembled = (0..assemble_tasks(&self.build).unwrap()).map(assemble).collect();
        publish(&self.build, &[self.samples.clone(), self.receipts(), assembled].concat(), &test.storages).unwrap()
    }
}

fn read(test: &TestBuild, uri: &str) -> Vec<u8> {
    let file = test.storages.resolve(uri).unwrap().open(uri).unwrap();
    let mut bytes = vec![0; usize::try_from(file.length()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

const FAMILIES: [(&str, &str); 9] = [
    ("Flat", "auto"),
    ("SQ8", "auto"),
    ("PQ4x4fs", "auto"),
    ("IVF8,Flat", "auto"),
    ("IVF8,SQ8", "always"),
    ("IVF8,PQ4x4fs", "auto"),
    ("IVF8,PQ4x4fs", "always"),
    ("IVF8,PQ4x4,Refine(SQ8)", "auto"),
    ("IVF1,Flat", "auto"),
];

#[test]
fn eight_parts_are_the_index_of_one_task_whether_the_storage_joins_or_copies() {
    let rows = Rows::new(3_000, 8);
    for (family, id_map) in FAMILIES {
        let whole = TestBuild::new()
            .run(&[("factoryString", family), ("idMap", id_map), ("sampleRate", "1")], &rows.partitions(4));
        let whole = whole.unwrap();
        let directory = tempfile::tempdir().unwrap();
        for output in [OUTPUT, directory.path().to_str().unwrap()] {
            let test = TestBuild::new();
            let spec = [("factoryString", family), ("idMap", id_map), ("mergeParts", "8")];
            let merged = merged(&test, output, &spec, &rows.partitions(3));
            assert_eq!(merged.merged.len(), 8);
            assert_eq!(merged.parts().iter().map(|part| read(&test, part).len()).sum::<usize>(), whole.index.len());
            let published = merged.publish(&test);
            assert!(read(&test, &format!("{output}/faiss.index")) == whole.index, "{family} {id_map} in {output}");
            let crc32c = format!("{:08x}", crc32c::crc32c(&whole.index));
            assert!(published.contains(&("crc32c".to_owned(), crc32c)), "{published:?}");
            verify(output, &test.storages, &|_| ()).unwrap();
            let left = test.storages.resolve(output).unwrap().list(output).unwrap();
            assert!(!left.iter().any(|uri| uri.contains("_temporary")), "{left:?}");
        }
    }
}

#[test]
fn every_shard_is_merged_in_parts_of_its_own() {
    let rows = Rows::new(2_000, 8);
    let build = |parts| {
        let test = TestBuild::new();
        let spec = [("factoryString", "IVF4,SQ8"), ("shards", "3"), ("mergeParts", parts)];
        let merged = merged(&test, OUTPUT, &spec, &rows.partitions(2));
        merged.publish(&test);
        let shard = |number| read(&test, &format!("{OUTPUT}/shard_{number}/faiss.index"));
        (merged.merged.len(), [0, 1, 2].map(shard))
    };
    let (tasks, in_parts) = build("5");
    assert_eq!(tasks, 15);
    assert!(in_parts == build("1").1);
}

#[test]
fn what_is_built_by_one_task_is_never_merged_in_parts() {
    let test = TestBuild::new();
    let merged = merged(&test, OUTPUT, &[("factoryString", "HNSW8"), ("mergeParts", "8")], &[Rows::new(300, 8)]);
    assert_eq!((merged.merged.len(), assemble_tasks(&merged.build).unwrap()), (1, 0));
    merged.publish(&test);
}

#[test]
fn parts_follow_the_size_of_the_index_where_the_storage_joins_them() {
    let test = TestBuild::new();
    let directory = tempfile::tempdir().unwrap();
    for (output, family, rows, expected) in [
        (OUTPUT, "Flat", 1_000, 1),
        (OUTPUT, "Flat", 20_000_000, 7),
        (OUTPUT, "Flat", 2_000_000_000, 64),
        (OUTPUT, "IVF16,SQ4", 200_000_000, 10),
        (directory.path().to_str().unwrap(), "Flat", 20_000_000, 1),
    ] {
        let pairs = [("dimension", "96"), ("factoryString", family)].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let started = start_build(&pairs, output, &test.storages).unwrap();
        let sample = test.task(StageKind::Sample, &started, &[], 0, Some(&Rows::new(2_000, 96))).unwrap();
        let many = sample.replace("\"goodRows\":2000", &format!("\"goodRows\":{rows}"));
        let decision = plan_training(&started, &[many]).unwrap();
        assert_eq!(decision.merge_tasks, expected, "{family} {rows} {output}");
        assert_eq!(decision.assemble_tasks, u32::from(expected > 1));
        crate::abandon(&decision.build, &test.storages).unwrap();
    }
}

#[test]
fn parts_that_another_attempt_has_joined_are_found_joined() {
    let test = TestBuild::new();
    let merged = merged(&test, OUTPUT, &[("factoryString", "Flat"), ("mergeParts", "4")], &[Rows::new(300, 8)]);
    let assemble = || test.task(StageKind::Assemble, &merged.build, &merged.receipts(), 0, None);
    let first = Receipts::parse(&[assemble().unwrap()]).unwrap().merged.remove(0);
    let second = Receipts::parse(&[assemble().unwrap()]).unwrap().merged.remove(0);
    assert_eq!((&first.uri, &first.crc32c, first.bytes), (&second.uri, &second.crc32c, second.bytes));
    assert_eq!(first.uri, merged.parts()[0]);
}

#[test]
fn parts_that_were_joined_are_not_lost_with_or_without_the_receipt_of_the_join() {
    let rows = Rows::new(600, 8);
    let spec = [("factoryString", "IVF4,SQ8"), ("shards", "2"), ("mergeParts", "4")];
    // As it was when the build began, before its plan chose the parts.
    let started = |build: &str| build.replace("\"mergeParts\":4,\"left", "\"mergeParts\":1,\"left");
    let test = TestBuild::new();
    let merged = merged(&test, OUTPUT, &spec, &rows.partitions(2));
    let build = started(&merged.build);
    assert_ne!(build, merged.build);
    let lost = |receipts: &[String]| {
        let lost = lost_receipts(&build, receipts, &test.storages).unwrap();
        lost.into_iter().map(|(place, _)| place).collect::<Vec<_>>()
    };
    let assemble = |shard| test.task(StageKind::Assemble, &merged.build, &merged.receipts(), shard, None).unwrap();
    let joined = assemble(0);
    assert_eq!(lost(&merged.receipts()), [0; 0]);
    let with_join = [merged.receipts(), vec![joined]].concat();
    assert_eq!(lost(&with_join), [0; 0]);
    // A part of the other shard, which is not joined, is as lost as ever.
    let parts = merged.parts();
    test.memory.delete(&parts[5]).unwrap();
    assert_eq!(lost(&with_join), [merged.encoded.len() + 5]);
    // Without the file that they became, all parts are lost, and the receipt of the join.
    test.memory.delete(&parts[0]).unwrap();
    let first = merged.encoded.len();
    assert_eq!(lost(&with_join), [first, first + 1, first + 2, first + 3, first + 5, first + 8]);
}

#[test]
fn a_missing_part_is_named_and_nothing_is_joined() {
    let test = TestBuild::new();
    let merged = merged(&test, OUTPUT, &[("factoryString", "Flat"), ("mergeParts", "4")], &[Rows::new(300, 8)]);
    let parts = merged.parts();
    let before = read(&test, &parts[0]);
    test.memory.delete(&parts[2]).unwrap();
    let error = test.task(StageKind::Assemble, &merged.build, &merged.receipts(), 0, None).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains(&parts[2]), "{error}");
    assert!(read(&test, &parts[0]) == before);
    let fewer = [merged.encoded.clone(), merged.merged[..3].to_vec()].concat();
    let error = test.task(StageKind::Assemble, &merged.build, &fewer, 0, None).unwrap_err();
    assert!(error.to_string().contains("3 receipts of parts"), "{error}");
}

#[test]
fn a_part_that_changed_before_it_was_copied_is_named() {
    let test = TestBuild::new();
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().to_str().unwrap();
    let merged = merged(&test, output, &[("factoryString", "Flat"), ("mergeParts", "4")], &[Rows::new(300, 8)]);
    let part = merged.parts().remove(1);
    let mut bytes = read(&test, &part);
    bytes[100] ^= 1;
    let mut file = test.storages.resolve(&part).unwrap().create(&part, CreateMode::Overwrite).unwrap();
    file.write_all(&bytes).unwrap();
    file.finish().unwrap();
    let error = test.task(StageKind::Assemble, &merged.build, &merged.receipts(), 0, None).unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptFile && error.to_string().contains(&part), "{error}");
}

#[test]
fn a_run_that_some_task_read_damaged_is_named_when_the_parts_are_joined() {
    let test = TestBuild::new();
    let partitions = Rows::new(900, 8).partitions(3);
    let mut merged = merged(&test, OUTPUT, &[("factoryString", "IVF4,SQ8"), ("mergeParts", "4")], &partitions);
    let encoded = Receipts::parse(&merged.encoded).unwrap();
    let run = &encoded.shards[1].runs[0].uri;
    let mut bytes = read(&test, run);
    // Among the codes, which every task reads a part of.
    let place = bytes.len() - 900 * 8 / 3 - 50;
    bytes[place] ^= 1;
    let mut file = test.memory.create(run, CreateMode::Overwrite).unwrap();
    file.write_all(&bytes).unwrap();
    file.finish().unwrap();
    let again: Vec<String> =
        (0..4).map(|task| test.task(StageKind::Merge, &merged.build, &merged.encoded, task, None).unwrap()).collect();
    merged.merged = again;
    let error = test.task(StageKind::Assemble, &merged.build, &merged.receipts(), 0, None).unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptFile && error.to_string().contains(run), "{error}");
}
