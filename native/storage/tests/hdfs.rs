//! The backend of HDFS keeps the promises of the trait on a real one.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests report by panicking")]

mod mini_hdfs;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use faiss_indexer_storage::{CreateMode, HdfsStorage, Storage, StorageError, Storages, conformance, join};
use hdfs_native::ClientBuilder;
use mini_hdfs::MiniHdfs;

type Check = fn(&dyn Storage, &str);

/// One file system for all, because it takes seconds to start.
#[test]
fn hdfs_storage_on_a_real_hdfs() {
    let hdfs = MiniHdfs::start();
    let checks: [(&str, Check); 7] = [
        ("the suite", conformance::run),
        ("concurrent", several_threads_read_one_file_across_its_blocks),
        ("modified", the_time_of_change_is_that_of_the_name_node),
        ("killed", what_a_killed_process_left_of_its_files_is_removed_and_finished_files_stay),
        ("race", of_two_writers_of_one_new_file_the_second_to_finish_is_refused),
        ("below", a_file_where_a_directory_should_be_is_named),
        ("elsewhere", a_rename_into_another_file_system_is_refused),
    ];
    for (name, check) in checks {
        check(&HdfsStorage::new(), &join(&hdfs.uri, name));
    }
    let found = Storages::new().resolve(&hdfs.uri).unwrap().stat(&hdfs.uri).unwrap().unwrap();
    assert!(found.is_directory);
    without_its_data_a_file_cannot_be_read(hdfs);
}

fn several_threads_read_one_file_across_its_blocks(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    let bytes: Vec<u8> = (0..7_000_003_u64).map(|i| (i * i / 7).to_le_bytes()[0]).collect();
    let mut writer = storage.create(&uri, CreateMode::New).unwrap();
    writer.write_all(&bytes).unwrap();
    assert_eq!(writer.finish(), Ok(7_000_003));
    let reader = storage.open(&uri).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (reader, bytes) = (&reader, &bytes);
            scope.spawn(move || {
                for start in (thread * 300_007..5_000_000).step_by(1_200_028) {
                    let mut buffer = vec![0; 1_900_000];
                    reader.read_exact_at(u64::try_from(start).unwrap(), &mut buffer).unwrap();
                    assert!(buffer == bytes[start..start + buffer.len()], "the bytes from {start} on differ");
                }
            });
        }
    });
}

fn the_time_of_change_is_that_of_the_name_node(storage: &dyn Storage, root: &str) {
    storage.create(root, CreateMode::New).unwrap().finish().unwrap();
    let modified = storage.modified(root).unwrap().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    assert!(now.abs_diff(modified) < 60_000_000_000, "{modified} is not {now}");
}

fn what_a_killed_process_left_of_its_files_is_removed_and_finished_files_stay(storage: &dyn Storage, root: &str) {
    storage.create(&join(root, "shard"), CreateMode::New).unwrap().finish().unwrap();
    let mut writer = storage.create(&join(root, "shard-2"), CreateMode::New).unwrap();
    writer.write_all(&[7; 3_000_000]).unwrap();
    // A process that is killed drops nothing.
    std::mem::forget(writer);
    assert_eq!(storage.list(root).unwrap(), [join(root, "shard")]);
    assert_eq!(all_names(root).len(), 2);
    storage.delete_unfinished(root).unwrap();
    assert_eq!(all_names(root), ["/killed/shard"]);
    storage.delete_unfinished(&join(root, "missing")).unwrap();
}

/// What the name node lists.
fn all_names(uri: &str) -> Vec<String> {
    let (name_node, path) = uri.rsplit_once('/').unwrap();
    let client = ClientBuilder::new().with_url(name_node).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(client.list_status(&format!("/{path}"), false)).unwrap();
    found.into_iter().map(|status| status.path).collect()
}

fn of_two_writers_of_one_new_file_the_second_to_finish_is_refused(storage: &dyn Storage, root: &str) {
    let uri = join(root, "shard");
    let first = storage.create(&uri, CreateMode::New).unwrap();
    let second = storage.create(&uri, CreateMode::New).unwrap();
    assert_eq!(first.finish(), Ok(0));
    assert_eq!(second.finish(), Err(StorageError::AlreadyExists { uri: uri.clone() }));
    assert_eq!(all_names(root), ["/race/shard"]);
}

fn a_file_where_a_directory_should_be_is_named(storage: &dyn Storage, root: &str) {
    let file = join(root, "file");
    storage.create(&file, CreateMode::New).unwrap().finish().unwrap();
    let below = join(&file, "child");
    for error in [storage.create(&below, CreateMode::New).err(), storage.list(&file).err()] {
        let error = error.unwrap();
        assert!(matches!(&error, StorageError::Io { uri, .. } if uri.starts_with(&file)), "{error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

fn a_rename_into_another_file_system_is_refused(storage: &dyn Storage, root: &str) {
    storage.create(root, CreateMode::New).unwrap().finish().unwrap();
    let error = storage.rename(root, "hdfs://another:8020/file").unwrap_err();
    let text = format!("cannot rename to hdfs://another:8020/file: {root} is in another file system");
    assert_eq!(error.to_string(), text);
}

fn without_its_data_a_file_cannot_be_read(hdfs: MiniHdfs) {
    let uri = join(&hdfs.uri, "file");
    let storage = HdfsStorage::with_settings(few_attempts());
    let mut writer = storage.create(&uri, CreateMode::New).unwrap();
    writer.write_all(b"gone with the cluster").unwrap();
    writer.finish().unwrap();
    let reader = storage.open(&uri).unwrap();
    drop(hdfs);
    let error = reader.read_exact_at(0, &mut [0; 10]).unwrap_err();
    assert!(matches!(&error, StorageError::Io { uri: named, .. } if *named == uri), "{error:?}");
}

#[test]
fn a_name_node_that_does_not_answer_is_named() {
    let began = Instant::now();
    let error = HdfsStorage::with_settings(few_attempts()).stat("hdfs://localhost:1/a").unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot look up hdfs://localhost:1/a: ") && text.contains("refused"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_default_file_system_that_is_not_configured_is_asked_for() {
    let settings = [("fs.defaultFS".to_owned(), "file:///".to_owned())];
    let error = HdfsStorage::with_settings(settings).stat("hdfs:///a").unwrap_err();
    assert!(error.to_string().starts_with("cannot look up hdfs:///a: "), "{error}");
}

fn few_attempts() -> [(String, String); 1] {
    [("dfs.client.failover.max.attempts".to_owned(), "1".to_owned())]
}
