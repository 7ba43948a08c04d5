//! The promises of [`Storage`], checked against one backend. Every backend's tests call [`run`].

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a suite reports by panicking")]

use crate::{CreateMode, FileStatus, Storage, StorageError, join};

type Check = fn(&dyn Storage, &str);

/// Checks every promise of the trait below `root`, a directory URI that need not exist yet. Leaves nothing there.
///
/// # Panics
/// At the first promise that is not kept.
pub fn run(storage: &dyn Storage, root: &str) {
    let checks: [(&str, Check); 22] = [
        ("missing", missing_things_are_told_apart_from_failures),
        ("written", what_was_written_is_read_back),
        ("empty", an_empty_file_is_a_file),
        ("ranges", reads_reach_any_range_and_none_past_the_end),
        ("big", a_big_file_in_odd_pieces_is_the_sum_of_them),
        ("parents", creating_a_file_makes_its_parents),
        ("taken", a_new_file_does_not_take_a_name_that_is_taken),
        ("overwrite", overwriting_replaces_on_finish_and_not_before),
        ("dropped", a_dropped_writer_leaves_nothing),
        ("dropped-overwrite", a_dropped_overwriting_writer_leaves_the_old_file),
        ("directory", a_directory_is_not_a_file),
        ("list", a_listing_is_sorted_and_of_direct_children),
        ("rename", renaming_replaces),
        ("rename-missing", renaming_what_is_missing_fails),
        ("delete", deleting_is_recursive_and_repeatable),
        ("sized", a_sized_file_is_the_sum_of_its_parts_in_any_order),
        ("sized-taken", a_sized_file_keeps_to_the_rules_for_names),
        ("sized-dropped", a_dropped_sized_file_leaves_nothing),
        ("concatenated", concatenated_files_are_one_or_stay_as_they_were),
        ("concatenated-missing", nothing_is_concatenated_when_a_file_is_missing),
        ("unfinished", removing_unfinished_files_keeps_finished_ones),
        ("names", unusual_names_are_taken_literally),
    ];
    for (name, check) in checks {
        check(storage, &join(root, name));
    }
    storage.delete(root).expect("the suite's directory is deleted");
    assert_eq!(storage.stat(root).unwrap(), None);
}

fn missing_things_are_told_apart_from_failures(storage: &dyn Storage, root: &str) {
    let uri = join(root, "nothing/here");
    assert_eq!(storage.stat(&uri).unwrap(), None);
    assert_eq!(storage.list(&uri).unwrap(), Vec::<String>::new());
    assert!(matches!(storage.open(&uri).err(), Some(StorageError::NotFound { uri: named }) if named == uri));
}

fn what_was_written_is_read_back(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    assert_eq!(write(storage, &uri, CreateMode::New, b"twelve bytes"), 12);
    assert_eq!(storage.stat(&uri).unwrap(), Some(FileStatus { length: 12, is_directory: false }));
    assert_eq!(read(storage, &uri), b"twelve bytes");
}

fn an_empty_file_is_a_file(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    assert_eq!(write(storage, &uri, CreateMode::New, b""), 0);
    assert_eq!(storage.stat(&uri).unwrap(), Some(FileStatus { length: 0, is_directory: false }));
    assert_eq!(read(storage, &uri), b"");
    assert!(storage.open(&uri).unwrap().read_exact_at(0, &mut [0]).is_err());
}

fn reads_reach_any_range_and_none_past_the_end(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    write(storage, &uri, CreateMode::New, b"0123456789");
    let reader = storage.open(&uri).unwrap();
    for (offset, expected) in [(7_u64, "789"), (0, "0"), (3, "3456"), (9, "9"), (0, "0123456789")] {
        let mut buffer = vec![0; expected.len()];
        reader.read_exact_at(offset, &mut buffer).unwrap();
        assert_eq!(buffer, expected.as_bytes());
    }
    for (offset, length) in [(9, 2), (10, 1), (11, 1), (0, 11), (u64::MAX, 1), (1 << 40, 10)] {
        let error = reader.read_exact_at(offset, &mut vec![0; length]).expect_err("a read past the end");
        assert!(matches!(error, StorageError::Io { .. }), "{error:?}");
    }
    reader.read_exact_at(0, &mut []).unwrap();
    let mut after_errors = [0; 2];
    reader.read_exact_at(4, &mut after_errors).unwrap();
    assert_eq!(&after_errors, b"45");
}

fn a_big_file_in_odd_pieces_is_the_sum_of_them(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    let bytes: Vec<u8> = (0..5_000_011_u64).map(|i| (i * i / 7).to_le_bytes()[0]).collect();
    let mut writer = storage.create(&uri, CreateMode::New).unwrap();
    let sizes = [1, 7, 4_093, 65_537, 1_048_575, 1_048_576, 1_048_577];
    let mut rest = bytes.as_slice();
    for size in sizes.into_iter().cycle() {
        let (piece, remaining) = rest.split_at(size.min(rest.len()));
        writer.write_all(piece).unwrap();
        rest = remaining;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(writer.finish().unwrap(), 5_000_011);
    assert!(read(storage, &uri) == bytes, "the big file differs");
    let mut across = vec![0; 2_097_153];
    storage.open(&uri).unwrap().read_exact_at(1_048_575, &mut across).unwrap();
    assert!(across == bytes[1_048_575..1_048_575 + 2_097_153], "a range of the big file differs");
}

fn creating_a_file_makes_its_parents(storage: &dyn Storage, root: &str) {
    write(storage, &join(root, "a/b/c"), CreateMode::New, b"x");
    assert!(storage.stat(&join(root, "a/b")).unwrap().unwrap().is_directory);
    storage.make_directories(&join(root, "d/e/f")).unwrap();
    storage.make_directories(&join(root, "d/e/f")).unwrap();
    assert!(storage.stat(&join(root, "d/e/f")).unwrap().unwrap().is_directory);
    assert_eq!(storage.list(&join(root, "d/e/f")).unwrap(), Vec::<String>::new());
}

fn a_new_file_does_not_take_a_name_that_is_taken(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    write(storage, &uri, CreateMode::New, b"first");
    let refused = storage.create(&uri, CreateMode::New).err();
    assert!(matches!(&refused, Some(StorageError::AlreadyExists { uri: named }) if *named == uri), "{refused:?}");
    assert_eq!(read(storage, &uri), b"first");
}

fn overwriting_replaces_on_finish_and_not_before(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    write(storage, &uri, CreateMode::Overwrite, b"the first content");
    let mut writer = storage.create(&uri, CreateMode::Overwrite).unwrap();
    writer.write_all(b"second").unwrap();
    assert_eq!(read(storage, &uri), b"the first content");
    assert_eq!(writer.finish().unwrap(), 6);
    assert_eq!(read(storage, &uri), b"second");
    assert_eq!(storage.list(root).unwrap(), [uri]);
}

fn a_dropped_writer_leaves_nothing(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    let mut writer = storage.create(&uri, CreateMode::New).unwrap();
    writer.write_all(&[7; 100_000]).unwrap();
    drop(writer);
    assert_eq!(storage.stat(&uri).unwrap(), None);
    assert_eq!(storage.list(root).unwrap(), Vec::<String>::new());
    write(storage, &uri, CreateMode::New, b"second attempt");
    assert_eq!(read(storage, &uri), b"second attempt");
}

fn a_dropped_overwriting_writer_leaves_the_old_file(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    write(storage, &uri, CreateMode::New, b"old");
    storage.create(&uri, CreateMode::Overwrite).unwrap().write_all(b"new").unwrap();
    assert_eq!(read(storage, &uri), b"old");
    assert_eq!(storage.list(root).unwrap(), [uri]);
}

fn a_directory_is_not_a_file(storage: &dyn Storage, root: &str) {
    storage.make_directories(root).unwrap();
    assert!(storage.stat(root).unwrap().unwrap().is_directory);
    assert!(storage.open(root).is_err());
    for mode in [CreateMode::New, CreateMode::Overwrite] {
        assert!(storage.create(root, mode).and_then(|writer| writer.finish()).is_err());
    }
    assert!(storage.stat(root).unwrap().unwrap().is_directory);
}

fn a_listing_is_sorted_and_of_direct_children(storage: &dyn Storage, root: &str) {
    for name in ["b", "a.txt", "c/inner", "B", "_SUCCESS", "10", "9"] {
        write(storage, &join(root, name), CreateMode::New, b"x");
    }
    let mut expected: Vec<String> = ["10", "9", "B", "_SUCCESS", "a.txt", "b", "c"].map(|name| join(root, name)).into();
    expected.sort();
    assert_eq!(storage.list(root).unwrap(), expected);
    assert_eq!(storage.list(&join(root, "c")).unwrap(), [join(root, "c/inner")]);
}

fn renaming_replaces(storage: &dyn Storage, root: &str) {
    let (from, to) = (join(root, "from"), join(root, "to"));
    write(storage, &from, CreateMode::New, b"moved");
    storage.rename(&from, &to).unwrap();
    assert_eq!(storage.stat(&from).unwrap(), None);
    assert_eq!(read(storage, &to), b"moved");
    write(storage, &from, CreateMode::New, b"moved again");
    storage.rename(&from, &to).unwrap();
    assert_eq!(storage.list(root).unwrap(), std::slice::from_ref(&to));
    assert_eq!(read(storage, &to), b"moved again");
}

fn renaming_what_is_missing_fails(storage: &dyn Storage, root: &str) {
    let (from, to) = (join(root, "from"), join(root, "to"));
    write(storage, &to, CreateMode::New, b"stays");
    let error = storage.rename(&from, &to).expect_err("a rename of nothing");
    assert!(matches!(&error, StorageError::NotFound { uri } if *uri == from), "{error:?}");
    assert_eq!(read(storage, &to), b"stays");
}

fn deleting_is_recursive_and_repeatable(storage: &dyn Storage, root: &str) {
    write(storage, &join(root, "tree/a/b"), CreateMode::New, b"x");
    write(storage, &join(root, "tree-beside"), CreateMode::New, b"x");
    for _ in 0..2 {
        storage.delete(&join(root, "tree")).unwrap();
        assert_eq!(storage.stat(&join(root, "tree")).unwrap(), None);
        assert_eq!(storage.stat(&join(root, "tree/a/b")).unwrap(), None);
    }
    storage.delete(&join(root, "tree-beside")).unwrap();
    assert_eq!(storage.list(root).unwrap(), Vec::<String>::new());
}

fn unusual_names_are_taken_literally(storage: &dyn Storage, root: &str) {
    let names = ["with space", "100%", "a%20b", "größe-大きさ", "plus+and&more", "x=1,y=2"];
    for name in names {
        write(storage, &join(root, name), CreateMode::New, name.as_bytes());
    }
    let mut expected: Vec<String> = names.iter().map(|name| join(root, name)).collect();
    expected.sort();
    assert_eq!(storage.list(root).unwrap(), expected);
    for name in names {
        let renamed = join(root, &format!("{name} renamed"));
        storage.rename(&join(root, name), &renamed).unwrap();
        assert_eq!(read(storage, &renamed), name.as_bytes());
        storage.delete(&renamed).unwrap();
    }
    assert_eq!(storage.list(root).unwrap(), Vec::<String>::new());
}

fn a_sized_file_is_the_sum_of_its_parts_in_any_order(storage: &dyn Storage, root: &str) {
    const LENGTH: u64 = 15_000_017;
    const PART: usize = 4_500_007;
    let uri = join(root, "a/file");
    let Some(file) = storage.create_sized(&uri, LENGTH, CreateMode::New).unwrap() else { return };
    assert_eq!(storage.stat(&uri).unwrap(), None);
    let bytes: Vec<u8> = (0..LENGTH).map(|i| (i * i / 7).to_le_bytes()[0]).collect();
    // The last part is left out: it stays zero.
    let mut parts: Vec<(usize, &[u8])> = (0..).step_by(PART).zip(bytes.chunks_exact(PART)).collect();
    parts.reverse();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (file, parts) = (&file, &parts);
            scope.spawn(move || {
                for (offset, part) in parts.iter().skip(thread).step_by(3) {
                    file.write_all_at(u64::try_from(*offset).unwrap(), part).unwrap();
                }
            });
        }
    });
    let written = bytes.len() / PART * PART;
    let mut read_back = [0; 1000];
    file.read_exact_at(65_000, &mut read_back).unwrap();
    assert_eq!(read_back, bytes[65_000..66_000]);
    for (offset, length) in [(LENGTH, 1), (LENGTH - 1, 2), (u64::MAX, 1)] {
        assert!(matches!(file.write_all_at(offset, &vec![1; length]), Err(StorageError::Io { .. })));
        assert!(matches!(file.read_exact_at(offset, &mut vec![1; length]), Err(StorageError::Io { .. })));
    }
    assert_eq!(file.finish().unwrap(), LENGTH);
    let found = read(storage, &uri);
    assert!(found[..written] == bytes[..written], "the sized file differs");
    assert!(found[written..].iter().all(|byte| *byte == 0) && found.len() == bytes.len());
}

fn a_sized_file_keeps_to_the_rules_for_names(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    write(storage, &uri, CreateMode::New, b"first");
    let Some(file) = storage.create_sized(&uri, 3, CreateMode::Overwrite).unwrap() else { return };
    file.write_all_at(0, b"new").unwrap();
    assert_eq!(read(storage, &uri), b"first");
    assert_eq!(file.finish().unwrap(), 3);
    assert_eq!(read(storage, &uri), b"new");
    let refused = storage.create_sized(&uri, 3, CreateMode::New).err();
    assert!(matches!(&refused, Some(StorageError::AlreadyExists { uri: named }) if *named == uri), "{refused:?}");
    assert_eq!(storage.create_sized(&join(root, "empty"), 0, CreateMode::New).unwrap().unwrap().finish().unwrap(), 0);
    assert_eq!(read(storage, &join(root, "empty")), b"");
}

fn a_dropped_sized_file_leaves_nothing(storage: &dyn Storage, root: &str) {
    let uri = join(root, "file");
    let Some(file) = storage.create_sized(&uri, 100_000, CreateMode::New).unwrap() else { return };
    file.write_all_at(500, &[7; 1000]).unwrap();
    drop(file);
    assert_eq!(storage.stat(&uri).unwrap(), None);
    assert_eq!(storage.list(root).unwrap(), Vec::<String>::new());
}

fn concatenated_files_are_one_or_stay_as_they_were(storage: &dyn Storage, root: &str) {
    let parts: Vec<String> = (0..8).map(|part| join(root, &format!("part-{part}"))).collect();
    let lengths = [700_001_usize, 1, 65_536, 300_000, 7, 4_096, 1_048_577, 12];
    let mut bytes = Vec::new();
    for (uri, length) in parts.iter().zip(lengths) {
        let part: Vec<u8> = (bytes.len()..bytes.len() + length).map(|i| (i * i / 7).to_le_bytes()[0]).collect();
        write(storage, uri, CreateMode::New, &part);
        bytes.extend(part);
    }
    let is_expected = storage.can_concatenate(root).unwrap();
    let is_done = storage.concatenate(&parts[0], &parts[1..]).unwrap();
    assert!(is_done || !is_expected, "what was announced was refused");
    if is_done {
        assert_eq!(storage.list(root).unwrap(), parts[..1]);
        assert!(read(storage, &parts[0]) == bytes, "the joined file differs");
        assert!(matches!(storage.concatenate(&parts[0], &parts[1..]), Err(StorageError::NotFound { .. })));
        storage.rename(&parts[0], &join(root, "renamed")).unwrap();
        assert!(read(storage, &join(root, "renamed")) == bytes, "the joined file differs under another name");
    } else {
        assert_eq!(storage.list(root).unwrap(), parts);
        let found: Vec<u8> = parts.iter().flat_map(|part| read(storage, part)).collect();
        assert!(found == bytes, "refused parts differ");
    }
}

fn nothing_is_concatenated_when_a_file_is_missing(storage: &dyn Storage, root: &str) {
    let [first, second, missing] = ["first", "second", "missing"].map(|name| join(root, name));
    write(storage, &first, CreateMode::New, b"one");
    write(storage, &second, CreateMode::New, b"two");
    for (target, sources) in [(&first, [&second, &missing]), (&missing, [&first, &second])] {
        let sources = sources.map(String::clone);
        match storage.concatenate(target, &sources) {
            Ok(is_done) => assert!(!is_done, "a missing file was passed over"),
            Err(error) => assert!(matches!(error, StorageError::NotFound { .. }), "{error:?}"),
        }
    }
    assert_eq!((read(storage, &first), read(storage, &second)), (b"one".to_vec(), b"two".to_vec()));
}

fn removing_unfinished_files_keeps_finished_ones(storage: &dyn Storage, root: &str) {
    storage.delete_unfinished(root).unwrap();
    for name in ["file", ".hidden", "a/inner"] {
        write(storage, &join(root, name), CreateMode::Overwrite, name.as_bytes());
    }
    storage.delete_unfinished(root).unwrap();
    for name in ["file", ".hidden", "a/inner"] {
        assert_eq!(read(storage, &join(root, name)), name.as_bytes());
    }
}

fn write(storage: &dyn Storage, uri: &str, mode: CreateMode, bytes: &[u8]) -> u64 {
    let mut writer = storage.create(uri, mode).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn read(storage: &dyn Storage, uri: &str) -> Vec<u8> {
    let reader = storage.open(uri).unwrap();
    let mut bytes = vec![0; usize::try_from(reader.length()).unwrap()];
    reader.read_exact_at(0, &mut bytes).unwrap();
    bytes
}
