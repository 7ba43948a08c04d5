//! Descriptions of files that two versions of Faiss wrote, and of our own output.

use faiss_indexer_storage::{Storage, Storages};
use serde_json::Value;

use crate::index_file::tests::{Golden, golden_files};
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::{ErrorKind, inspect, inspect_list_sizes};

/// What of the factory string a file does not tell: the order of centroids, and defaults that were spelt out.
fn comparable(factory: &str) -> String {
    factory.replace("np", "").replace("fs_32", "fs")
}

#[test]
fn the_family_is_the_factory_string_as_far_as_a_file_tells() {
    /// Where the file has another spelling, or does not tell.
    const SPELLINGS: [(&str, &str); 18] = [
        ("lsh", "LSHrt"),
        ("lists_packed", "IVF4,PQ4x4fsr"),
        ("lattice", "ZnLattice2x10_4"),
        ("rq", "RQ2x4"),
        ("flat_panorama", "FlatL2Panorama4_1024"),
        ("flat_ip_panorama", "FlatIPPanorama4_1024"),
        ("ivf_flat_panorama", "IVF4,FlatPanorama4_1024"),
        ("hnsw", "HNSW4,Flat"),
        ("hnsw_2level", "HNSW4,Residual4,PQ2"),
        ("hnsw_panorama", "HNSW4,Flat"),
        ("nsg", "NSG4,Flat"),
        ("itq_lsh", "ITQ4,LSH"),
        ("nn_descent", "NNDescent8,Flat"),
        ("turboquant", "SQtqmse4"),
        ("ivf_spectral_hash", "IVF4,ITQ8,SH2.5"),
        ("binary_ivf", "BIVF4"),
        ("refine_panorama", "PQ2x4,RefinePanorama(Flat)"),
        ("ivf_residual_coarse", "IVF16(RCQ2x2),Flat"),
    ];
    let mut differing = Vec::new();
    for Golden { version, name, uri, facts } in golden_files() {
        let description = inspect(&uri, &Storages::new()).unwrap();
        let spelling = SPELLINGS.iter().find(|(other, _)| *other == name).map(|(_, spelling)| (*spelling).to_owned());
        let expected = spelling.unwrap_or_else(|| comparable(facts["factory"].as_str().unwrap()));
        if description.family != expected {
            differing.push(format!("{version} {name}: {} instead of {expected}", description.family));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn lists_are_summed_up_as_faiss_does() {
    let mut with_lists = 0;
    for Golden { version, name, uri, facts } in golden_files() {
        let description = inspect(&uri, &Storages::new()).unwrap();
        let Value::Array(sizes) = &facts["sizes"] else { continue };
        with_lists += 1;
        let sizes: Vec<u64> = sizes.iter().map(|size| size.as_u64().unwrap()).collect();
        let lists = description.lists.unwrap();
        assert_eq!(facts["nlist"], lists.count, "{version} {name}");
        assert_eq!(Some(lists.min), sizes.iter().min().copied(), "{version} {name}");
        assert_eq!(Some(lists.max), sizes.iter().max().copied(), "{version} {name}");
        assert_eq!(lists.empty, sizes.iter().filter(|size| **size == 0).count() as u64, "{version} {name}");
        let imbalance = facts["imbalance"].as_f64().unwrap();
        assert!((lists.imbalance_factor.unwrap() - imbalance).abs() < 1e-9, "{version} {name}");
        assert_eq!(inspect_list_sizes(&uri, &Storages::new()).unwrap(), sizes, "{version} {name}");
    }
    assert!(with_lists > 40, "{with_lists}");
}

#[test]
fn a_published_directory_is_described_with_its_manifest() {
    let build = TestBuild::new();
    build
        .run(&[("factoryString", "OPQ2,IVF4,PQ2np"), ("metric", "cosine")], &Rows::new(1_000, 8).partitions(2))
        .unwrap();
    let description = inspect(OUTPUT, &build.storages).unwrap();
    assert_eq!((description.rows, description.metric.as_str()), (1_000, "ip"));
    let json = serde_json::to_value(&description).unwrap();
    assert_eq!(json["manifest"]["factoryString"], "OPQ2,IVF4,PQ2np");
    assert_eq!(json["structure"]["parts"][0]["type"], "IndexIVFPQ");
    let text = description.to_string();
    for part in
        ["family          OPQ2,IVF4,PQ2", "rows            1000", "lists           4 (0 empty)", "OPQ2,IVF4,PQ2np"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn what_is_not_there_or_no_index_is_said_so() {
    let build = TestBuild::new();
    build.run(&[("factoryString", "Flat")], &Rows::new(10, 8).partitions(1)).unwrap();
    build.memory.make_directories("memory:/empty").unwrap();
    let manifest = format!("{OUTPUT}/faiss.manifest.json");
    for (uri, kind, hint) in [
        ("memory:/nowhere", ErrorKind::NotFound, "does not exist"),
        ("memory:/empty", ErrorKind::NotFound, "holds no faiss.index"),
        (&manifest, ErrorKind::CorruptFile, "no index file of Faiss: at byte 0: '{\\n  ' (7b 0a 20 20)"),
    ] {
        let error = inspect(uri, &build.storages).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(hint), "{error}");
    }
}
