//! Published indexes that grow and that are merged, against stock Faiss with all rows in id order.

use std::sync::Arc;

use faiss_indexer_storage::{
    CreateMode, FileStatus, MemoryStorage, RandomRead, Result as StorageResult, SequentialWrite, Storage, StorageError,
    Storages,
};

use crate::error::{ErrorKind, Result};
use crate::extension::extensible_manifest;
use crate::faiss_index::FaissIndex;
use crate::family::Family;
use crate::index_file::tests::golden_files;
use crate::index_file::{IndexFile, PackedReader};
use crate::spec::{IdMap, Metric};
use crate::stage::{RejectedRow, Stage, StageKind, StageRequest};
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::{
    ImportControl, import_index, inspect, merge_tasks, plan_training, publish, start_build, start_extension, verify,
};

/// Families and where they keep ids.
const FAMILIES: [(&str, &str); 24] = [
    ("Flat", "auto"),
    ("SQ8", "auto"),
    ("SQfp16", "auto"),
    ("PQ2np", "auto"),
    ("PQ4x4fs", "auto"),
    ("PQ4x4fs_64", "auto"),
    ("RQ2x4", "auto"),
    ("LSH", "auto"),
    ("RaBitQ", "auto"),
    ("PCA4,SQ8", "auto"),
    ("PQ2np,RFlat", "auto"),
    ("IDMap2,Flat", "auto"),
    ("IVF4,Flat", "auto"),
    ("IVF64,SQ8", "auto"),
    ("IVF4,PQ2np", "auto"),
    ("IVF4,PQ2np", "always"),
    ("OPQ2_4,IVF4,PQ2np", "auto"),
    ("OPQ2,IVF4,PQ2np", "always"),
    ("IVF4,PQ4x4fs", "auto"),
    ("IVF4,PQ4x4fsr", "always"),
    ("IVF4,RaBitQ", "auto"),
    ("IVF4_HNSW4,Flat", "auto"),
    ("IVF4,PQ2np,Refine(SQ8)", "auto"),
    ("IVF4,PQ2+2", "auto"),
];
const EXTENDED: &str = "memory:/extended";

fn copy(build: &TestBuild, from: &str, to: &str) {
    for name in ["_SUCCESS", "faiss.index", "faiss.manifest.json"] {
        let mut file = build.memory.create(&format!("{to}/{name}"), CreateMode::Overwrite).unwrap();
        file.write_all(&build.read(&format!("{from}/{name}"))).unwrap();
        file.finish().unwrap();
    }
}

/// Extends the published `indexes` by `rows` and returns the finished file.
fn extend(build: &TestBuild, indexes: &[&str], rows: Option<&Rows>, overrides: &[(&str, &str)]) -> Result<Vec<u8>> {
    let indexes: Vec<String> = indexes.iter().map(|index| (*index).to_owned()).collect();
    let overrides: Vec<_> = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let extension = start_extension(&indexes, EXTENDED, &overrides, &build.storages)?;
    let (planned, trained) = (extension.build, extension.trained);
    let mut receipts = vec![trained.clone()];
    for (partition, index) in (0..).zip(&indexes) {
        let control = ImportControl::default();
        receipts.push(import_index(&planned, &trained, index, partition, &build.storages, &control)?);
        assert!(control.progress().rows > 0);
    }
    if let Some(rows) = rows {
        receipts.push(build.task(StageKind::Encode, &planned, &[trained], 99, Some(rows))?);
    }
    receipts.push(build.task(StageKind::Merge, &planned, &receipts, 0, None)?);
    publish(&planned, &receipts, &build.storages)?;
    Ok(build.read(&format!("{EXTENDED}/faiss.index")))
}

fn stock(trained: &[u8], rows: &Rows, factory: &str, id_map: &str) -> Vec<u8> {
    let ordered = rows.in_id_order();
    let id_map = if id_map == "always" { IdMap::Always } else { IdMap::Auto };
    let id_map = Family::parse(factory, 8, Metric::L2, id_map).unwrap().id_map();
    FaissIndex::read(trained).unwrap().add_and_write(&ordered.ids, &ordered.vectors, i64::MAX / 2, id_map).unwrap()
}

#[test]
fn an_index_that_grew_equals_what_stock_faiss_writes_with_all_rows() {
    for (factory, id_map) in FAMILIES {
        let build = TestBuild::new();
        let rows = Rows::new(900, 8);
        let spec = [("factoryString", factory), ("sampleRate", "1"), ("idMap", id_map)];
        let first = build.run(&spec, &rows.select(0..500).partitions(2)).unwrap();
        let grown = extend(&build, &[OUTPUT], Some(&rows.select(500..900)), &[]).unwrap();
        assert!(grown == stock(&first.trained, &rows, factory, id_map), "{factory} {id_map}");
        let verified = verify(EXTENDED, &build.storages, &|_| ()).unwrap();
        assert!(verified.fingerprint_recomputed && verified.rows == 900, "{factory} {id_map}");
        let manifest = extensible_manifest(EXTENDED, &build.storages).unwrap();
        assert_eq!(
            manifest.fingerprint,
            extensible_manifest(OUTPUT, &build.storages).unwrap().fingerprint,
            "{factory} {id_map}"
        );
    }
}

#[test]
fn indexes_that_share_their_training_become_one() {
    for (factory, id_map) in FAMILIES {
        let build = TestBuild::new();
        let rows = Rows::new(900, 8);
        let spec = [("factoryString", factory), ("sampleRate", "1"), ("idMap", id_map)];
        let first = build.run(&spec, &rows.select(0..500).partitions(1)).unwrap();
        let other = "memory:/other";
        // An index of other rows with the same training: the first one's training and nothing of its rows.
        let extension = start_extension(&[OUTPUT.to_owned()], other, &[], &build.storages).unwrap();
        let (planned, trained) = (extension.build, extension.trained);
        let shard = build
            .task(StageKind::Encode, &planned, std::slice::from_ref(&trained), 0, Some(&rows.select(500..900)))
            .unwrap();
        let merged = build.task(StageKind::Merge, &planned, &[trained.clone(), shard.clone()], 0, None).unwrap();
        publish(&planned, &[trained, shard, merged], &build.storages).unwrap();

        let united = extend(&build, &[other, OUTPUT], None, &[]).unwrap();
        assert!(united == stock(&first.trained, &rows, factory, id_map), "{factory} {id_map}");
    }
}

#[test]
fn an_index_may_grow_in_place() {
    let build = TestBuild::new();
    let rows = Rows::new(300, 8);
    let first = build.run(&[("factoryString", "IVF4,Flat")], &rows.select(0..200).partitions(1)).unwrap();
    let error = start_extension(&[OUTPUT.to_owned()], OUTPUT, &[], &build.storages).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);

    let overrides = [("overwrite".to_owned(), "true".to_owned())];
    let extension = start_extension(&[OUTPUT.to_owned()], OUTPUT, &overrides, &build.storages).unwrap();
    let (planned, trained) = (extension.build, extension.trained);
    let control = ImportControl::default();
    let imported = import_index(&planned, &trained, OUTPUT, 0, &build.storages, &control).unwrap();
    let new = build
        .task(StageKind::Encode, &planned, std::slice::from_ref(&trained), 1, Some(&rows.select(200..300)))
        .unwrap();
    let receipts = vec![trained, imported, new];
    let merged = build.task(StageKind::Merge, &planned, &receipts, 0, None).unwrap();
    publish(&planned, &[receipts, vec![merged]].concat(), &build.storages).unwrap();
    assert!(build.read(&format!("{OUTPUT}/faiss.index")) == stock(&first.trained, &rows, "IVF4,Flat", "auto"));
    assert_eq!(build.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json"]);
}

#[test]
fn indexes_of_different_training_and_fixed_keys_are_refused() {
    let build = TestBuild::new();
    let rows = Rows::new(1_000, 8).partitions(1);
    // About a third of the rows trains, so another seed gives another training.
    let spec = [("factoryString", "IVF4,Flat"), ("sampleRate", "0.3"), ("overwrite", "true")];
    let run = |seed| build.run(&[spec.as_slice(), &[("seed", seed)]].concat(), &rows);
    run("1").unwrap();
    copy(&build, OUTPUT, "memory:/first");
    run("2").unwrap();
    let error = extend(&build, &["memory:/first", OUTPUT], None, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
    assert!(error.to_string().contains("memory:/first") && error.to_string().contains(OUTPUT), "{error}");

    let error = extend(&build, &[OUTPUT], None, &[("metric", "ip")]).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidSpec && error.to_string().contains("metric"), "{error}");
    let error = extend(&build, &["memory:/nowhere"], None, &[]).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("memory:/nowhere"), "{error}");
    build.memory.delete(&format!("{OUTPUT}/faiss.manifest.json")).unwrap();
    let error = extend(&build, &[OUTPUT], None, &[]).unwrap_err();
    assert!(error.to_string().contains("faiss.manifest.json"), "{error}");
    // Nothing was begun.
    assert!(build.memory.list(EXTENDED).unwrap().is_empty());
}

#[test]
fn a_graph_is_refused_with_the_reason() {
    let files = golden_files();
    for name in ["hnsw_sq", "nsg"] {
        let build = TestBuild::new();
        build.run(&[("factoryString", "Flat")], &Rows::new(300, 8).partitions(1)).unwrap();
        let golden = files.iter().find(|golden| golden.name == name).unwrap();
        let mut file = build.memory.create(&format!("{OUTPUT}/faiss.index"), CreateMode::Overwrite).unwrap();
        file.write_all(&std::fs::read(&golden.uri).unwrap()).unwrap();
        file.finish().unwrap();
        let error = extend(&build, &[OUTPUT], None, &[]).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidSpec && error.to_string().contains("one graph"), "{error}");
    }
}

#[test]
fn a_damaged_index_is_not_taken_over() {
    let build = TestBuild::new();
    build.run(&[("factoryString", "IVF4,Flat")], &Rows::new(300, 8).partitions(1)).unwrap();
    let uri = format!("{OUTPUT}/faiss.index");
    let mut bytes = build.read(&uri);
    // A byte of a vector: all else is as it was.
    let last_vectors = bytes.len() - 8 * 100;
    bytes[last_vectors] ^= 4;
    let mut file = build.memory.create(&uri, CreateMode::Overwrite).unwrap();
    file.write_all(&bytes).unwrap();
    file.finish().unwrap();
    let error = extend(&build, &[OUTPUT], None, &[]).unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptFile && error.to_string().contains("CRC-32C"), "{error}");
}

#[test]
fn bad_and_repeated_rows_of_an_extension_follow_the_policies() {
    let build = TestBuild::new();
    let rows = Rows::new(300, 8);
    build.run(&[("factoryString", "Flat")], &rows.select(0..200).partitions(1)).unwrap();
    let error = extend(&build, &[OUTPUT], Some(&rows.select(199..300)), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateIds);

    for (policy, expected) in [("fail", None), ("skip", Some(300))] {
        let overrides = [("badRows".to_owned(), policy.to_owned()), ("overwrite".to_owned(), "true".to_owned())];
        let extension = start_extension(&[OUTPUT.to_owned()], EXTENDED, &overrides, &build.storages).unwrap();
        let (planned, trained) = (extension.build, extension.trained);
        let stage = build.open(StageKind::Encode, &planned, std::slice::from_ref(&trained), 1).unwrap();
        let new = rows.select(200..300);
        stage.append(&new.ids, &new.vectors).unwrap();
        stage.reject(RejectedRow::NullEmbedding { id: 7 }).unwrap();
        let shard = stage.finish().unwrap();
        let control = ImportControl::default();
        let imported = import_index(&planned, &trained, OUTPUT, 0, &build.storages, &control).unwrap();
        let receipts = vec![trained, imported, shard];
        let request = StageRequest {
            kind: StageKind::Merge,
            build: planned.clone(),
            receipts: receipts.clone(),
            partition: 0,
            threads: 1,
            storages: build.storages.clone(),
        };
        let merged = Stage::open(request).unwrap().finish();
        let Some(rows) = expected else {
            let error = merged.unwrap_err();
            assert!(error.kind() == ErrorKind::BadRows && error.to_string().contains("[id 7]"), "{error}");
            continue;
        };
        publish(&planned, &[receipts, vec![merged.unwrap()]].concat(), &build.storages).unwrap();
        let description = inspect(EXTENDED, &build.storages).unwrap();
        assert_eq!(description.rows, rows);
        assert_eq!(description.manifest.unwrap()["badRows"]["nullEmbedding"]["rows"], 1);
    }
}

/// A build of `shards` indexes that skips a bad row and leaves out one of two rows with the same id.
fn build_with_left_out_rows(build: &TestBuild, shards: &str) {
    let rows = Rows::new(300, 8);
    let mut with_bad = rows.select((0..300).chain([5]));
    with_bad.ids.push(2_000_000);
    with_bad.vectors.extend([f32::NAN; 8]);
    let pairs = [
        ("dimension", "8"),
        ("factoryString", "Flat"),
        ("badRows", "skip"),
        ("duplicateIds", "keepFirst"),
        ("shards", shards),
    ];
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let started = start_build(&pairs, OUTPUT, &build.storages).unwrap();
    let sample = build.task(StageKind::Sample, &started, &[], 0, Some(&with_bad)).unwrap();
    let planned = plan_training(&started, std::slice::from_ref(&sample)).unwrap().build;
    let trained = build.task(StageKind::Train, &planned, std::slice::from_ref(&sample), 0, None).unwrap();
    let encoded = build.task(StageKind::Encode, &planned, std::slice::from_ref(&trained), 0, Some(&with_bad)).unwrap();
    let encoded = vec![trained, encoded];
    let merge = |shard| build.task(StageKind::Merge, &planned, &encoded, shard, None).unwrap();
    let merged: Vec<String> = (0..merge_tasks(&planned).unwrap()).map(merge).collect();
    publish(&planned, &[vec![sample], encoded, merged].concat(), &build.storages).unwrap();
}

#[test]
fn rows_that_earlier_builds_left_out_stay_counted_once() {
    for shards in ["1", "3"] {
        let build = TestBuild::new();
        build_with_left_out_rows(&build, shards);
        let of_shards = ["memory:/out/shard_0", "memory:/out/shard_1", "memory:/out/shard_2"];
        let indexes = if shards == "1" { &[OUTPUT][..] } else { &of_shards };
        let mut new = Rows::new(310, 8).select(300..310);
        new.ids.push(2_000_001);
        new.vectors.extend([f32::NAN; 8]);
        extend(&build, indexes, Some(&new), &[("badRows", "skip"), ("report", "false")]).unwrap();
        let manifest = extensible_manifest(EXTENDED, &build.storages).unwrap();
        assert_eq!((manifest.rows, manifest.bad_rows.rows()), (310, 2), "{shards}");
        assert_eq!((manifest.duplicate_rows_left_out, manifest.duplicates.rows), (1, 1), "{shards}");
        assert_eq!(manifest.duplicates.first_ids, [Rows::new(300, 8).ids[5]]);

        // The bad row of the first build is none of the new ones, which may not be bad.
        let more = Rows::new(320, 8).select(310..320);
        extend(&build, indexes, Some(&more), &[("badRows", "fail"), ("overwrite", "true")]).unwrap();
        let manifest = extensible_manifest(EXTENDED, &build.storages).unwrap();
        assert_eq!((manifest.rows, manifest.bad_rows.rows()), (310, 1), "{shards}");
    }
}

#[test]
fn an_extension_that_cannot_write_its_trained_state_leaves_nothing_behind() {
    /// Refuses to create files.
    #[derive(Debug)]
    struct Full(MemoryStorage);

    impl Storage for Full {
        fn stat(&self, uri: &str) -> StorageResult<Option<FileStatus>> {
            self.0.stat(uri)
        }
        fn list(&self, directory: &str) -> StorageResult<Vec<String>> {
            self.0.list(directory)
        }
        fn open(&self, uri: &str) -> StorageResult<Box<dyn RandomRead>> {
            self.0.open(uri)
        }
        fn create(&self, uri: &str, mode: CreateMode) -> StorageResult<Box<dyn SequentialWrite>> {
            drop(self.0.create(uri, mode)?);
            let message = "no space".to_owned();
            Err(StorageError::Io { operation: "create", uri: uri.to_owned(), message })
        }
        fn make_directories(&self, uri: &str) -> StorageResult<()> {
            self.0.make_directories(uri)
        }
        fn rename(&self, from: &str, to: &str) -> StorageResult<()> {
            self.0.rename(from, to)
        }
        fn delete(&self, uri: &str) -> StorageResult<()> {
            self.0.delete(uri)
        }
    }

    let build = TestBuild::new();
    build.run(&[("factoryString", "Flat")], &Rows::new(300, 8).partitions(1)).unwrap();
    let storages = Storages::new().with_memory(Arc::new(Full(build.memory.clone())));
    let error = start_extension(&[OUTPUT.to_owned()], EXTENDED, &[], &storages).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(build.memory.list(EXTENDED).unwrap().is_empty());
}

#[test]
fn an_import_can_be_cancelled() {
    let build = TestBuild::new();
    build.run(&[("factoryString", "Flat")], &Rows::new(100, 8).partitions(1)).unwrap();
    let extension = start_extension(&[OUTPUT.to_owned()], EXTENDED, &[], &build.storages).unwrap();
    let control = ImportControl::default();
    control.cancel();
    let error = import_index(&extension.build, &extension.trained, OUTPUT, 0, &build.storages, &control).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn packed_codes_are_the_codes_that_faiss_packed() {
    let files = golden_files();
    let open = |version: &str, name: &str| {
        let golden = files.iter().find(|golden| golden.version == version && golden.name == name).unwrap();
        IndexFile::open(&golden.uri, &Storages::new()).unwrap()
    };
    let plain = |index: &IndexFile, range: std::ops::Range<u64>| {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        index.file.read_exact_at(range.start, &mut bytes).unwrap();
        bytes
    };
    for version in ["1.7.4", "1.15.1"] {
        let expected = open(version, "codes_flat");
        let expected = plain(&expected, expected.root.codes.as_ref().unwrap().data.clone());
        for name in ["codes_packed", "codes_packed_64"] {
            let index = open(version, name);
            let codes = index.root.codes.clone().unwrap();
            let mut reader = PackedReader::new(index.file.as_ref(), index.root.packing.unwrap(), codes.data);
            let mut found = Vec::new();
            while found.len() < expected.len() {
                reader.read(100, &mut found).unwrap();
            }
            assert!(found.starts_with(&expected), "{version} {name}");
        }

        let (flat, packed) = (open(version, "lists_flat"), open(version, "lists_packed"));
        let (_, flat_lists) = flat.with_lists().unwrap();
        let (node, packed_lists) = packed.with_lists().unwrap();
        let mut flat_reader = flat_lists.lists(flat.file.as_ref(), &flat.uri);
        let mut packed_reader = packed_lists.lists(packed.file.as_ref(), &packed.uri);
        let mut lists = 0;
        while let Some(list) = flat_reader.next().unwrap() {
            let other = packed_reader.next().unwrap().unwrap();
            assert_eq!((list.number, list.rows), (other.number, other.rows));
            assert!(plain(&flat, list.ids) == plain(&packed, other.ids), "{version}");
            let mut reader = PackedReader::new(packed.file.as_ref(), node.packing.unwrap(), other.codes);
            let mut found = Vec::new();
            reader.read(1 << 20, &mut found).unwrap();
            assert!(found.starts_with(&plain(&flat, list.codes)), "{version} list {}", list.number);
            lists += 1;
        }
        assert_eq!(lists, 4);
    }
}
