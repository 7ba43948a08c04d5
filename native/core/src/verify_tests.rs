//! Verification of builds that are right, and of builds with one thing wrong.

use std::cell::Cell;

use faiss_indexer_storage::{CreateMode, Storage, join};

use crate::error::{ErrorKind, Result};
use crate::manifest::{Manifest, PublishedShard, check_manifest, read_manifest};
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::{Verified, verify};

fn check(build: &TestBuild) -> Result<Verified> {
    verify(OUTPUT, &build.storages, &|_| ())
}

fn replace(build: &TestBuild, uri: &str, bytes: &[u8]) {
    let mut file = build.memory.create(uri, CreateMode::Overwrite).unwrap();
    file.write_all(bytes).unwrap();
    file.finish().unwrap();
}

fn uri(name: &str) -> String {
    join(OUTPUT, name)
}

#[test]
fn every_family_is_verified_and_its_fingerprint_computed_anew() {
    for factory in [
        "Flat",
        "SQ8",
        "PQ2np",
        "IVF4,Flat",
        "IVF64,Flat",
        "IVF4,SQ8",
        "IVF4,PQ2np",
        "OPQ2,IVF4,PQ2np",
        "OPQ2_4,IVF4,PQ2np",
    ] {
        for metric in ["l2", "cosine"] {
            let build = TestBuild::new();
            let spec = [("factoryString", factory), ("metric", metric), ("sampleRate", "1")];
            let built = build.run(&spec, &Rows::new(600, 8).partitions(3)).unwrap();
            let read = Cell::new(0);
            let verified = verify(OUTPUT, &build.storages, &|bytes| read.set(read.get() + bytes)).unwrap();
            assert_eq!((verified.rows, verified.bytes), (600, built.index.len() as u64), "{factory} {metric}");
            assert_eq!((read.get(), verified.fingerprint_recomputed), (verified.bytes, true), "{factory} {metric}");
        }
    }
}

#[test]
fn a_changed_byte_anywhere_in_the_manifest_is_found() {
    let build = TestBuild::new();
    build.run(&[("factoryString", "IVF4,Flat")], &Rows::new(100, 8).partitions(1)).unwrap();
    let intact = build.read(&uri("faiss.manifest.json"));
    check(&build).unwrap();
    for position in 0..intact.len() {
        for bit in 0..8 {
            let mut damaged = intact.clone();
            damaged[position] ^= 1 << bit;
            let error = check_manifest("manifest", &damaged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptFile, "{position}.{bit}");
        }
    }
    for length in 0..intact.len() {
        assert!(check_manifest("manifest", &intact[..length]).is_err(), "{length} bytes");
    }
    let doubled = [intact.clone(), intact.clone()].concat();
    assert!(check_manifest("manifest", &doubled).is_err());
    let mut damaged = intact.clone();
    damaged[100] ^= 1;
    replace(&build, &uri("faiss.manifest.json"), &damaged);
    let error = check(&build).unwrap_err();
    assert!(
        error.to_string().contains("faiss.manifest.json") && error.to_string().contains("manifestSha256"),
        "{error}"
    );
}

#[test]
fn a_changed_byte_anywhere_in_the_index_is_found() {
    for factory in ["Flat", "IVF4,SQ8"] {
        let build = TestBuild::new();
        build.run(&[("factoryString", factory)], &Rows::new(40, 4).partitions(1)).unwrap();
        let intact = build.read(&uri("faiss.index"));
        check(&build).unwrap();
        for position in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[position] ^= 1 << (position % 8);
            replace(&build, &uri("faiss.index"), &damaged);
            let error = check(&build).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptFile, "{factory} at {position}");
            assert!(error.to_string().contains("faiss.index"), "{error}");
        }
        replace(&build, &uri("faiss.index"), &intact);
        check(&build).unwrap();
    }
}

type Change = fn(&mut Manifest);

/// A liar who has all checksums right.
fn lie_about(build: &TestBuild, change: impl FnOnce(&mut Manifest)) {
    let manifest_uri = uri("faiss.manifest.json");
    let mut manifest = read_manifest(&manifest_uri, &build.storages).unwrap().manifest;
    change(&mut manifest);
    replace(build, &manifest_uri, manifest.to_file().unwrap().as_bytes());
}

#[test]
fn a_manifest_whose_checksum_holds_is_not_believed_either() {
    let lies: [(&str, Change); 10] = [
        ("length", |manifest| manifest.index.as_mut().unwrap().bytes += 1),
        ("CRC-32C", |manifest| manifest.index.as_mut().unwrap().crc32c = "00000000".to_owned()),
        ("family", |manifest| manifest.index.as_mut().unwrap().shape.family = "Flat".to_owned()),
        ("number of lists", |manifest| manifest.index.as_mut().unwrap().shape.nlist = Some(5)),
        ("code size", |manifest| manifest.index.as_mut().unwrap().shape.code_size = None),
        ("dimension", |manifest| manifest.spec.dimension = 16),
        ("metric", |manifest| manifest.spec.metric = crate::spec::Metric::Ip),
        ("number of rows", |manifest| manifest.rows = 599),
        ("fingerprint", |manifest| manifest.fingerprint = "0".repeat(64)),
        ("fingerprint", |manifest| manifest.factory_string = "IVF4,PQ2".to_owned()),
    ];
    for (what, change) in lies {
        let build = TestBuild::new();
        build.run(&[("factoryString", "IVF4,PQ2np")], &Rows::new(600, 8).partitions(1)).unwrap();
        lie_about(&build, change);
        let error = check(&build).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
        assert!(error.to_string().contains(what) && error.to_string().contains("faiss.index"), "{what}: {error}");
    }
}

#[test]
fn ids_that_do_not_ascend_are_found_even_if_every_checksum_holds() {
    for (factory, place) in [("Flat", "the id map"), ("IVF1,Flat", "list 0")] {
        let build = TestBuild::new();
        let built =
            build.run(&[("factoryString", factory), ("sampleRate", "1")], &Rows::new(64, 4).partitions(1)).unwrap();
        // Both kinds of file end with the ids.
        let mut index = built.index.clone();
        let end = index.len();
        let last: Vec<u8> = index[end - 8..].to_vec();
        index.copy_within(end - 16..end - 8, end - 8);
        index[end - 16..end - 8].copy_from_slice(&last);
        replace(&build, &uri("faiss.index"), &index);
        lie_about(&build, |manifest| {
            manifest.index.as_mut().unwrap().crc32c = format!("{:08x}", crc32c::crc32c(&index));
        });
        let error = check(&build).unwrap_err();
        assert!(error.to_string().contains(place) && error.to_string().contains("follows"), "{error}");
    }
}

#[test]
fn repeated_ids_are_right_where_the_spec_allows_them() {
    let build = TestBuild::new();
    let mut rows = Rows::new(200, 4);
    rows.ids[7] = rows.ids[8];
    build.run(&[("factoryString", "IVF2,Flat"), ("duplicateIds", "allow")], &rows.partitions(1)).unwrap();
    check(&build).unwrap();
}

#[test]
fn an_output_that_is_not_finished_or_not_ours_is_said_so() {
    let build = TestBuild::new();
    assert_eq!(check(&build).unwrap_err().kind(), ErrorKind::NotFound);
    build.run(&[("factoryString", "Flat")], &Rows::new(10, 8).partitions(1)).unwrap();
    build.memory.delete(&uri("_SUCCESS")).unwrap();
    let error = check(&build).unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptFile && error.to_string().contains("_SUCCESS"), "{error}");
    replace(&build, &uri("_SUCCESS"), b"");
    build.memory.delete(&uri("faiss.manifest.json")).unwrap();
    let error = check(&build).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("faiss.manifest.json"), "{error}");
}

#[test]
fn shards_are_verified_one_by_one_and_against_the_manifest_above_them() {
    let build = TestBuild::new();
    build.run(&[("factoryString", "Flat")], &Rows::new(10, 8).partitions(1)).unwrap();
    let names = ["_SUCCESS", "faiss.index", "faiss.manifest.json"];
    let mut top = read_manifest(&uri("faiss.manifest.json"), &build.storages).unwrap();
    let index = top.manifest.index.take().unwrap();
    for shard in ["shard_0", "shard_1"] {
        for name in names {
            replace(&build, &join(&uri(shard), name), &build.read(&uri(name)));
        }
        top.manifest.shards.push(PublishedShard {
            directory: shard.to_owned(),
            rows: 10,
            bytes: index.bytes,
            crc32c: index.crc32c.clone(),
            manifest_sha256: top.sha256.clone(),
        });
    }
    top.manifest.rows = 20;
    build.memory.delete(&uri("faiss.index")).unwrap();
    replace(&build, &uri("faiss.manifest.json"), top.manifest.to_file().unwrap().as_bytes());
    let verified = check(&build).unwrap();
    assert_eq!((verified.rows, verified.bytes, verified.shards.len()), (20, 2 * index.bytes, 2));

    let lies: [(&str, Change); 4] = [
        ("rows", |manifest| manifest.rows = 21),
        ("shard_1", |manifest| manifest.shards[1].rows = 9),
        ("manifestSha256", |manifest| manifest.shards[0].manifest_sha256 = "0".repeat(64)),
        ("no name of a shard", |manifest| manifest.shards[0].directory = "shard_../x".to_owned()),
    ];
    for (what, change) in lies {
        let mut changed = top.manifest.clone();
        change(&mut changed);
        replace(&build, &uri("faiss.manifest.json"), changed.to_file().unwrap().as_bytes());
        let error = check(&build).unwrap_err();
        assert!(error.kind() == ErrorKind::CorruptFile && error.to_string().contains(what), "{error}");
    }
}
