//! Publications that are interrupted at every step, on a file system that does everything in as many steps as can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faiss_indexer_storage::{
    CreateMode, FileStatus, MemoryStorage, RandomRead, SequentialWrite, Storage, StorageError, Storages, join,
};

use crate::error::{ErrorKind, Result};
use crate::stage::StageKind;
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::{
    ImportControl, abandon, check_build, finish_publication, import_index, inspect_all, interrupted_publication,
    plan_training, publish, published, start_build, start_extension, verify,
};

/// Something happens at the step of a number.
#[derive(Debug)]
struct Interrupted {
    memory: MemoryStorage,
    steps: AtomicU64,
    failing: u64,
    interruption: Interruption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interruption {
    /// The step fails.
    Refused,
    /// It fails, and so do all that follow.
    Killed,
    /// Another process finishes the publication before it.
    Overtaken,
}

impl Interrupted {
    fn storages(memory: &MemoryStorage, failing: u64, interruption: Interruption) -> (Storages, Arc<Self>) {
        let storage = Arc::new(Self { memory: memory.clone(), steps: AtomicU64::new(0), failing, interruption });
        (Storages::new().with_memory(Arc::clone(&storage) as Arc<dyn Storage>), storage)
    }

    fn step(&self, uri: &str) -> std::result::Result<(), StorageError> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        if self.interruption == Interruption::Overtaken {
            if step == self.failing {
                let storages = Storages::new().with_memory(Arc::new(self.memory.clone()));
                finish_publication(OUTPUT, &storages).unwrap();
            }
            return Ok(());
        }
        if step == self.failing || (self.interruption == Interruption::Killed && step > self.failing) {
            let message = format!("step {step} fails");
            return Err(StorageError::Io { operation: "touch", uri: uri.to_owned(), message });
        }
        Ok(())
    }
}

impl Storage for Interrupted {
    fn stat(&self, uri: &str) -> std::result::Result<Option<FileStatus>, StorageError> {
        self.memory.stat(uri)
    }

    fn list(&self, directory: &str) -> std::result::Result<Vec<String>, StorageError> {
        self.memory.list(directory)
    }

    fn open(&self, uri: &str) -> std::result::Result<Box<dyn RandomRead>, StorageError> {
        self.memory.open(uri)
    }

    fn create(&self, uri: &str, mode: CreateMode) -> std::result::Result<Box<dyn SequentialWrite>, StorageError> {
        self.step(uri)?;
        self.memory.create(uri, mode)
    }

    fn make_directories(&self, uri: &str) -> std::result::Result<(), StorageError> {
        self.step(uri)?;
        self.memory.make_directories(uri)
    }

    /// In two steps, as on file systems whose renames replace nothing; for those, two processes at a time are too many.
    fn rename(&self, from: &str, to: &str) -> std::result::Result<(), StorageError> {
        self.step(to)?;
        if self.interruption != Interruption::Overtaken {
            self.memory.delete(to)?;
            self.step(to)?;
        }
        self.memory.rename(from, to)
    }

    /// A directory in the worst order: the index before the `_SUCCESS` that speaks of it.
    fn delete(&self, uri: &str) -> std::result::Result<(), StorageError> {
        for child in self.memory.list(uri)?.iter().rev() {
            self.delete(child)?;
        }
        self.step(uri)?;
        self.memory.delete(uri)
    }
}

struct Prepared {
    test: TestBuild,
    build: String,
    receipts: Vec<String>,
}

/// Everything but publishing, for any number of shards.
fn prepared(test: TestBuild, rows: &Rows, spec: &[(&str, &str)]) -> Prepared {
    let usual = [("dimension", "8"), ("overwrite", "true"), ("report", "false")];
    let pairs: Vec<_> = usual.iter().chain(spec).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let started = start_build(&pairs, OUTPUT, &test.storages).unwrap();
    let partitions = rows.partitions(1);
    let samples = test.every(StageKind::Sample, &started, &[], &partitions).unwrap();
    let build = plan_training(&started, &samples).unwrap().build;
    let trained = test.task(StageKind::Train, &build, &samples, 0, None).unwrap();
    let shards = test.every(StageKind::Encode, &build, std::slice::from_ref(&trained), &partitions).unwrap();
    let encoded = [vec![trained], shards].concat();
    let tasks = crate::merge_tasks(&build).unwrap();
    let merged: Vec<String> =
        (0..tasks).map(|task| test.task(StageKind::Merge, &build, &encoded, task, None).unwrap()).collect();
    let mut receipts = [samples, encoded, merged].concat();
    if spec.contains(&("report", "true")) {
        receipts.push(test.task(StageKind::Evaluate, &build, &receipts, 0, None).unwrap());
    }
    Prepared { test, build, receipts }
}

/// An index that grew in place and waits to be published.
fn prepared_extension(test: TestBuild, rows: &Rows) -> Prepared {
    let overrides = [("overwrite".to_owned(), "true".to_owned())];
    let extension = start_extension(&[OUTPUT.to_owned()], OUTPUT, &overrides, &test.storages).unwrap();
    let (build, trained) = (extension.build, extension.trained);
    let imported = import_index(&build, &trained, OUTPUT, 0, &test.storages, &ImportControl::default()).unwrap();
    let encoded = test.task(StageKind::Encode, &build, std::slice::from_ref(&trained), 1, Some(rows)).unwrap();
    let mut receipts = vec![trained, imported, encoded];
    receipts.push(test.task(StageKind::Merge, &build, &receipts, 0, None).unwrap());
    Prepared { test, build, receipts }
}

/// All that is published, by name.
fn contents(test: &TestBuild) -> Vec<(String, Vec<u8>)> {
    fn collect(test: &TestBuild, directory: &str, contents: &mut Vec<(String, Vec<u8>)>) {
        for uri in test.memory.list(directory).unwrap() {
            if test.memory.stat(&uri).unwrap().unwrap().is_directory {
                collect(test, &uri, contents);
            } else {
                contents.push((uri.clone(), test.read(&uri)));
            }
        }
    }
    let mut contents_of_all = Vec::new();
    collect(test, OUTPUT, &mut contents_of_all);
    contents_of_all.retain(|(uri, _)| !uri.starts_with(&join(OUTPUT, "_temporary")));
    contents_of_all
}

/// No `_SUCCESS` stands beside a file that it does not describe.
fn check_successes(test: &TestBuild, moment: &str) {
    let mut directories = test.memory.list(OUTPUT).unwrap();
    directories.push(OUTPUT.to_owned());
    for directory in directories {
        if test.memory.stat(&join(&directory, "_SUCCESS")).unwrap().is_some() {
            verify(&directory, &test.storages, &|_| ()).unwrap_or_else(|error| panic!("{moment}: {error}"));
        }
    }
}

type Preparation = Box<dyn Fn() -> Prepared>;

fn scenarios() -> Vec<(&'static str, Preparation)> {
    fn published(spec: &[(&str, &str)]) -> TestBuild {
        let Prepared { test, build, receipts } = prepared(TestBuild::new(), &Rows::new(300, 8), spec);
        publish(&build, &receipts, &test.storages).unwrap();
        test
    }
    const IVF: (&str, &str) = ("factoryString", "IVF4,Flat");
    const FLAT: (&str, &str) = ("factoryString", "Flat");
    let rows = Rows::new(400, 8);
    let replaced = |old: &'static [(&str, &str)], new: &'static [(&str, &str)]| {
        let rows = rows.clone();
        Box::new(move || prepared(published(old), &rows, new)) as Preparation
    };
    let first = rows.clone();
    vec![
        ("first", Box::new(move || prepared(TestBuild::new(), &first, &[IVF]))),
        ("one by one", replaced(&[IVF, ("report", "true")], &[FLAT])),
        ("one by one with a page", replaced(&[IVF], &[FLAT, ("report", "true")])),
        ("one by shards", replaced(&[IVF, ("report", "true")], &[FLAT, ("shards", "2")])),
        ("shards by one", replaced(&[IVF, ("shards", "2")], &[FLAT])),
        ("shards by fewer", replaced(&[IVF, ("shards", "3")], &[FLAT, ("shards", "2")])),
        ("grown", Box::new(move || prepared_extension(published(&[IVF]), &rows.select(300..400)))),
    ]
}

#[test]
fn a_publication_that_fails_or_is_killed_at_any_step_is_finished_later_or_was_not_begun() {
    for (name, prepare) in scenarios() {
        let undisturbed = prepare();
        publish(&undisturbed.build, &undisturbed.receipts, &undisturbed.test.storages).unwrap();
        let names = |contents: &[(String, Vec<u8>)]| contents.iter().map(|(uri, _)| uri.clone()).collect::<Vec<_>>();
        let index = |contents: &[(String, Vec<u8>)]| {
            let indexes = contents.iter().filter(|(uri, _)| uri.ends_with("faiss.index"));
            indexes.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
        };
        let expected = contents(&undisturbed.test);
        let mut outcomes = [0, 0, 0];
        for failing in 0.. {
            let moment = format!("{name}, step {failing}");
            // A step is refused, and the same call is made again.
            let Prepared { test, build, receipts } = prepare();
            let (storages, interrupted) = Interrupted::storages(&test.memory, failing, Interruption::Refused);
            let first = publish(&build, &receipts, &storages);
            check_successes(&test, &moment);
            if let Err(error) = first {
                assert_eq!(error.kind(), ErrorKind::Storage, "{moment}: {error}");
                let pairs = publish(&build, &receipts, &test.storages).unwrap();
                assert!(pairs.iter().any(|(key, value)| key == "rows" && !value.is_empty()));
                assert_eq!(test.published(), undisturbed.test.published(), "{moment}");
            }
            check_successes(&test, &moment);
            assert_eq!(names(&contents(&test)), names(&expected), "{moment}");
            assert!(index(&contents(&test)) == index(&expected), "{moment}");
            let steps = interrupted.steps.load(Ordering::Relaxed);

            // The process is killed, or the build is given up, and another comes.
            for interruption in [Interruption::Killed, Interruption::Refused] {
                let Prepared { test, build, receipts } = prepare();
                let before = contents(&test);
                let (storages, _) = Interrupted::storages(&test.memory, failing, interruption);
                let failed = publish(&build, &receipts, &storages).is_err();
                if interruption == Interruption::Refused {
                    abandon(&build, &test.storages).unwrap();
                }
                check_successes(&test, &moment);
                let finished = finish_publication(OUTPUT, &test.storages).unwrap();
                check_successes(&test, &moment);
                let after = contents(&test);
                if failed && finished.is_none() {
                    assert!(after == before, "{moment}: it was not begun");
                    outcomes[0] += 1;
                } else {
                    assert!(index(&after) == index(&expected), "{moment}");
                    assert_eq!(test.published(), undisturbed.test.published(), "{moment}");
                    outcomes[if failed { 1 } else { 2 }] += 1;
                }
            }
            if steps <= failing {
                break;
            }
        }
        assert!(outcomes[0] > 0 && outcomes[1] > 5 && outcomes[2] > 1, "{name}: {outcomes:?}");
    }
}

#[test]
fn a_publication_that_two_processes_finish_at_the_same_time_is_whole() {
    for (name, prepare) in scenarios() {
        for step in 0.. {
            let moment = format!("{name}, step {step}");
            let Prepared { test, build, receipts } = prepare();
            let (storages, overtaken) = Interrupted::storages(&test.memory, step, Interruption::Overtaken);
            publish(&build, &receipts, &storages).unwrap_or_else(|error| panic!("{moment}: {error}"));
            verify(OUTPUT, &test.storages, &|_| ()).unwrap_or_else(|error| panic!("{moment}: {error}"));
            assert!(!test.published().contains(&"_temporary".to_owned()), "{moment}");
            if overtaken.steps.load(Ordering::Relaxed) <= step {
                break;
            }
        }
    }
}

#[test]
fn temporary_files_of_a_published_build_go_with_the_next_check() {
    let Prepared { test, build, receipts } =
        prepared(TestBuild::new(), &Rows::new(300, 8), &[("factoryString", "Flat")]);
    // The last steps remove temporary files.
    let (storages, steps) = Interrupted::storages(&test.memory, u64::MAX, Interruption::Killed);
    publish(&build, &receipts, &storages).unwrap();
    let last = steps.steps.load(Ordering::Relaxed) - 3;
    let Prepared { test, build, receipts } =
        prepared(TestBuild::new(), &Rows::new(300, 8), &[("factoryString", "Flat")]);
    let (storages, _) = Interrupted::storages(&test.memory, last, Interruption::Killed);
    publish(&build, &receipts, &storages).unwrap();
    assert_eq!(test.published(), ["_SUCCESS", "_temporary", "faiss.index", "faiss.manifest.json"]);
    let error = check_build(&[], OUTPUT, &test.storages).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(test.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json"]);
}

#[test]
fn a_publication_whose_files_are_gone_touches_nothing_and_is_replaced_only_when_asked() {
    for lost in ["published/faiss.manifest.json", ""] {
        let (test, directory) = begun();
        test.memory.delete(&join(&directory, lost)).unwrap();
        let before = contents(&test);
        let error = check_build(&[], OUTPUT, &test.storages).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("_temporary/publication.json"), "{error}");
        assert!(contents(&test) == before);
        test.run(&[("factoryString", "Flat"), ("overwrite", "true")], &Rows::new(300, 8).partitions(1)).unwrap();
        assert_eq!(test.published(), ["_SUCCESS", "faiss.index", "faiss.manifest.json"]);
        check_successes(&test, lost);
    }
}

#[test]
fn another_index_where_one_was_placed_is_not_taken_for_it() {
    let (test, directory) = begun();
    // As if it had been placed.
    let index = test.memory.list(&directory).unwrap().into_iter().find(|uri| uri.contains("/index-")).unwrap();
    let mut bytes = test.read(&index);
    test.memory.delete(&index).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let mut file = test.memory.create(&join(OUTPUT, "faiss.index"), CreateMode::Overwrite).unwrap();
    file.write_all(&bytes).unwrap();
    file.finish().unwrap();
    let error = finish_publication(OUTPUT, &test.storages).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains(&index), "{error}");
}

/// A publication that was killed as soon as it was decided, and the temporary directory of its build.
fn begun() -> (TestBuild, String) {
    for failing in 0.. {
        let Prepared { test, build, receipts } =
            prepared(TestBuild::new(), &Rows::new(300, 8), &[("factoryString", "Flat")]);
        let (storages, _) = Interrupted::storages(&test.memory, failing, Interruption::Killed);
        publish(&build, &receipts, &storages).unwrap_err();
        if let Some(directory) = interrupted_publication(OUTPUT, &test.storages).unwrap() {
            return (test, directory);
        }
    }
    unreachable!()
}

fn put(test: &TestBuild, uri: &str) {
    test.memory.create(uri, CreateMode::New).unwrap().finish().unwrap();
}

#[test]
fn what_is_called_like_a_shard_and_is_none_is_refused_before_any_work_and_stays() {
    let check = |test: &TestBuild, overwrite: &str| -> Result<()> {
        check_build(&[("overwrite".into(), overwrite.into())], OUTPUT, &test.storages)
    };
    for (name, refused) in [
        ("shard_0/part-0.parquet", Some("memory:/out/shard_0 holds part-0.parquet")),
        ("shard_7/faiss.index/part", Some("memory:/out/shard_7")),
        ("shard_1", Some("memory:/out/shard_1 is a file")),
        ("shard_x/part-0.parquet", None),
        ("shard_/part-0.parquet", None),
        ("shard_0/faiss.index", None),
    ] {
        let uri = join(OUTPUT, name);
        let test = TestBuild::new();
        // What came while the build ran is found before anything is touched.
        let late = prepared(TestBuild::new(), &Rows::new(300, 8), &[("factoryString", "Flat")]);
        put(&late.test, &uri);
        let published = publish(&late.build, &late.receipts, &late.test.storages);
        put(&test, &uri);
        let Some(refused) = refused else {
            check(&test, "false").unwrap();
            published.unwrap();
            continue;
        };
        for error in [check(&test, "false"), check(&test, "true"), published.map(drop)].map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
            assert!(error.to_string().contains(refused), "{error}");
        }
        assert!(late.test.memory.stat(&uri).unwrap().is_some() && late.test.published().len() == 2);
    }

    // A finished shard is a finished index.
    let test = TestBuild::new();
    put(&test, &join(OUTPUT, "shard_0/_SUCCESS"));
    assert_eq!(check(&test, "false").unwrap_err().kind(), ErrorKind::AlreadyExists);
    check(&test, "true").unwrap();
}

#[test]
fn shards_are_not_merged_into_the_directory_above_them() {
    let spec = [("factoryString", "Flat"), ("shards", "2")];
    let Prepared { test, build, receipts } = prepared(TestBuild::new(), &Rows::new(300, 8), &spec);
    publish(&build, &receipts, &test.storages).unwrap();
    let before = contents(&test);
    let overwrite = [("overwrite".to_owned(), "true".to_owned())];
    let shards = [0, 1].map(|shard| format!("{OUTPUT}/shard_{shard}"));
    let error = start_extension(&shards, OUTPUT, &overwrite, &test.storages).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidSpec && error.to_string().contains("shard_0"), "{error}");
    assert!(contents(&test) == before && test.published().len() == 4);
}

#[test]
fn a_publication_may_be_repeated_after_its_end_by_its_build_alone() {
    for spec in [&[][..], &[("shards", "2")]] {
        let spec = [spec, &[("factoryString", "IVF4,Flat"), ("overwrite", "false")]].concat();
        let prepared = prepared(TestBuild::new(), &Rows::new(500, 8), &spec);
        let storages = &prepared.test.storages;
        let answer = publish(&prepared.build, &prepared.receipts, storages).unwrap();
        assert_eq!(publish(&prepared.build, &prepared.receipts, storages).unwrap(), answer);
        assert_eq!(published(OUTPUT, storages).unwrap(), answer);
        let other = prepared.build.replacen("\"buildId\":\"", "\"buildId\":\"0", 1);
        assert_eq!(publish(&other, &prepared.receipts, storages).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
}

/// Names of the files below the output, in order.
fn names(test: &TestBuild) -> Vec<String> {
    let uris = contents(test).into_iter().map(|(uri, _)| uri);
    let mut names: Vec<String> = uris.map(|uri| uri.strip_prefix(&join(OUTPUT, "")).unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_index_of_another_name_is_read_and_replaced_as_any_other() {
    let rows = Rows::new(300, 8);
    for (shards, directories) in [("1", &[""][..]), ("2", &["shard_0", "shard_1"])] {
        let mut test = TestBuild::new();
        for name in ["result.index", "result.index", "faiss.index", "other.index"] {
            let spec = [("factoryString", "Flat"), ("shards", shards), ("indexFilename", name)];
            let prepared = prepared(test, &rows, &spec);
            publish(&prepared.build, &prepared.receipts, &prepared.test.storages).unwrap();
            test = prepared.test;
            let of_shards = directories
                .iter()
                .flat_map(|directory| ["_SUCCESS", "faiss.manifest.json", name].map(|name| join(directory, name)));
            let mut expected: Vec<String> =
                ["_SUCCESS", "faiss.manifest.json"].map(str::to_owned).into_iter().chain(of_shards).collect();
            expected.sort();
            expected.dedup();
            assert_eq!(names(&test), expected);
            assert_eq!(verify(OUTPUT, &test.storages, &|_| {}).unwrap().rows, 300);
            assert!(inspect_all(OUTPUT, &test.storages).unwrap().iter().all(|index| index.uri.ends_with(name)));
        }
    }
}

#[test]
fn an_index_that_grows_keeps_its_name() {
    let (rows, more) = (Rows::new(300, 8), Rows::new(400, 8).select(300..400));
    let Prepared { test, build, receipts } =
        prepared(TestBuild::new(), &rows, &[("factoryString", "Flat"), ("indexFilename", "result.index")]);
    publish(&build, &receipts, &test.storages).unwrap();
    let Prepared { test, build, receipts } = prepared_extension(test, &more);
    publish(&build, &receipts, &test.storages).unwrap();
    assert_eq!(names(&test), ["_SUCCESS", "faiss.manifest.json", "result.index"]);
    assert_eq!(verify(OUTPUT, &test.storages, &|_| {}).unwrap().rows, 400);
}

#[test]
fn an_index_that_somebody_else_has_put_there_is_not_replaced_unasked() {
    let test = TestBuild::new();
    let mut file = test.memory.create(&join(OUTPUT, "result.index"), CreateMode::New).unwrap();
    file.write_all(b"of another job").unwrap();
    file.finish().unwrap();
    let check = |overwrite: &str| {
        let spec = [("indexFilename".into(), "result.index".into()), ("overwrite".into(), overwrite.into())];
        check_build(&spec, OUTPUT, &test.storages)
    };
    let error = check("false").unwrap_err();
    assert!(
        error.kind() == ErrorKind::AlreadyExists && error.to_string().contains("/result.index is there"),
        "{error}"
    );
    check("true").unwrap();
}
