//! Outputs with an index for each group.

use faiss_indexer_storage::{CreateMode, Storage, join};

use crate::error::ErrorKind;
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::{
    abandon_named_build, check_groups, end_groups, publish_groups, published_groups, start_groups, start_named_build,
};

const NAME: &str = "build1";
const METADATA: &str = "ANN_INDEX_METADATA";

fn pairs(spec: &[(&str, &str)]) -> Vec<(String, String)> {
    spec.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn texts(groups: &[&str]) -> Vec<String> {
    groups.iter().map(|group| (*group).to_owned()).collect()
}

fn put(test: &TestBuild, name: &str) {
    let mut file = test.memory.create(&join(OUTPUT, name), CreateMode::Overwrite).unwrap();
    file.write_all(b"content").unwrap();
    file.finish().unwrap();
}

/// An index in the directory of a group, as a build of its own puts it there.
fn publish_in(test: &TestBuild, group: &str) {
    let built = TestBuild::new();
    built.run(&[("factoryString", "Flat")], &Rows::new(300, 8).partitions(1)).unwrap();
    for name in built.published() {
        let mut file = test.memory.create(&join(&join(OUTPUT, group), &name), CreateMode::Overwrite).unwrap();
        file.write_all(&built.read(&join(OUTPUT, &name))).unwrap();
        file.finish().unwrap();
    }
}

/// Builds groups as an engine would, but for their indexes, which lie ready.
fn build(test: &TestBuild, groups: &[&str], spec: &[(&str, &str)]) -> crate::Result<()> {
    let (spec, groups) = (pairs(spec), texts(groups));
    start_groups(NAME, &spec, OUTPUT, &groups, &test.storages)?;
    publish_groups(NAME, &spec, OUTPUT, &groups, &test.storages)?;
    groups.iter().for_each(|group| publish_in(test, group));
    end_groups(NAME, OUTPUT, &test.storages)
}

#[test]
fn the_directory_above_states_how_many_groups_there_are_in_the_words_of_their_readers() {
    let test = TestBuild::new();
    build(&test, &["en", "de", "7"], &[]).unwrap();
    assert_eq!(test.published(), ["7", METADATA, "de", "en"]);
    assert_eq!(published_groups(OUTPUT, &test.storages).unwrap(), ["7", "de", "en"]);
    let metadata = test.read(&join(OUTPUT, METADATA));
    assert_eq!((&metadata[..3], &metadata[11..]), (&[10, 0, 1][..], &[2, 0, 3, 1, 8, 0, 4, 0, 0, 0, 3, 0][..]));
}

#[test]
fn groups_that_are_there_no_more_go_when_others_take_their_place() {
    let test = TestBuild::new();
    build(&test, &["en", "de"], &[]).unwrap();
    let error = build(&test, &["en", "fr"], &[]).unwrap_err();
    assert!(error.kind() == ErrorKind::AlreadyExists && error.to_string().contains("overwrite=true"), "{error}");
    build(&test, &["en", "fr"], &[("overwrite", "true")]).unwrap();
    assert_eq!(test.published(), [METADATA, "en", "fr"]);
}

#[test]
fn nothing_but_indexes_of_groups_is_ever_removed() {
    for (name, culprit) in [("data/part-0", "/data holds part-0"), ("_SUCCESS", "an index of all rows")] {
        let test = TestBuild::new();
        put(&test, name);
        let error = check_groups(&pairs(&[("overwrite", "true")]), OUTPUT, &test.storages).unwrap_err();
        assert!(error.kind() == ErrorKind::AlreadyExists && error.to_string().contains(culprit), "{error}");
    }
    let test = TestBuild::new();
    put(&test, "notes.txt");
    // What a build that was killed has left.
    put(&test, "en/_temporary/old/run");
    build(&test, &["en"], &[]).unwrap();
    assert!(test.published().contains(&"notes.txt".to_owned()));
}

#[test]
fn directories_that_are_no_groups_are_refused_before_any_work_and_stay() {
    // What another build has begun, and what another tool has written.
    for name in ["other/_temporary/build/run", "other/faiss.index"] {
        let test = TestBuild::new();
        put(&test, name);
        for overwrite in ["false", "true"] {
            let error = build(&test, &["en"], &[("overwrite", overwrite)]).unwrap_err();
            let is_named = error.to_string().contains("/other holds no index");
            assert!(error.kind() == ErrorKind::AlreadyExists && is_named, "{error}");
        }
        assert_eq!(test.read(&join(OUTPUT, name)), b"content");
        assert_eq!(test.published(), ["other"]);
    }
}

#[test]
fn groups_of_several_shards_are_replaced_as_others_are() {
    let test = TestBuild::new();
    build(&test, &["en", "de"], &[]).unwrap();
    for group in ["en", "de"] {
        publish_in(&test, &format!("{group}/shard_0"));
        test.memory.delete(&join(OUTPUT, &format!("{group}/faiss.index"))).unwrap();
    }
    assert!(build(&test, &["en"], &[]).is_err());
    build(&test, &["en"], &[("overwrite", "true")]).unwrap();
    assert_eq!(test.published(), [METADATA, "en"]);
}

#[test]
fn a_group_that_cannot_name_a_directory_is_refused_by_name() {
    let test = TestBuild::new();
    for group in ["", "..", "a/b", "_temporary", "a b"] {
        let error = start_groups(NAME, &[], OUTPUT, &texts(&["en", group]), &test.storages).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidSpec && error.to_string().contains(&format!("'{group}'")), "{error}");
    }
    assert_eq!(test.published(), Vec::<String>::new());
}

#[test]
fn an_abandoned_build_leaves_no_group() {
    let test = TestBuild::new();
    let groups = texts(&["en", "de"]);
    start_groups(NAME, &[], OUTPUT, &groups, &test.storages).unwrap();
    for group in &groups {
        let spec = pairs(&[("dimension", "8"), ("factoryString", "Flat")]);
        start_named_build(NAME, &spec, &join(OUTPUT, group), &test.storages).unwrap();
        put(&test, &format!("{group}/_temporary/{NAME}/run"));
    }
    assert!(abandon_named_build(NAME, OUTPUT, &test.storages).unwrap());
    assert_eq!(test.published(), Vec::<String>::new());
}

#[test]
fn groups_that_were_there_before_outlive_a_build_that_is_abandoned() {
    let test = TestBuild::new();
    build(&test, &["en"], &[]).unwrap();
    let spec = pairs(&[("overwrite", "true")]);
    start_groups("build2", &spec, OUTPUT, &texts(&["en", "de"]), &test.storages).unwrap();
    abandon_named_build("build2", OUTPUT, &test.storages).unwrap();
    assert_eq!(test.published(), [METADATA, "en"]);
    assert_eq!(published_groups(OUTPUT, &test.storages).unwrap(), ["en"]);
}
