//! Files that two versions of Faiss wrote, described as Faiss itself describes them.

use std::path::PathBuf;

use faiss_indexer_storage::Storages;
use serde_json::Value;

use super::*;

/// One file of `tests/golden`, and what the Faiss that wrote it says of it.
pub(crate) struct Golden {
    pub(crate) version: &'static str,
    pub(crate) name: String,
    pub(crate) uri: String,
    pub(crate) facts: Value,
}

pub(crate) fn golden_files() -> Vec<Golden> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = Vec::new();
    for version in ["1.7.4", "1.15.1"] {
        let facts = std::fs::read(directory.join(version).join("expected.json")).unwrap();
        let Value::Object(facts) = serde_json::from_slice(&facts).unwrap() else { panic!("expected.json") };
        for (name, facts) in facts {
            let uri = directory.join(version).join(format!("{name}.index")).to_str().unwrap().to_owned();
            files.push(Golden { version, name, uri, facts });
        }
    }
    files
}

/// A file in memory.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl RandomRead for Bytes {
    fn length(&self) -> u64 {
        crate::numbers::to_u64(self.0.len())
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> faiss_indexer_storage::Result<()> {
        let begin = usize::try_from(offset).unwrap();
        let range = self.0.get(begin..begin + buffer.len());
        let range = range.ok_or_else(|| {
            faiss_indexer_storage::StorageError::range_past_end("bytes", offset, buffer.len(), self.length())
        })?;
        buffer.copy_from_slice(range);
        Ok(())
    }
}

#[test]
fn every_file_of_both_versions_is_understood_as_faiss_does() {
    let files = golden_files();
    let mut kinds = std::collections::BTreeSet::new();
    for Golden { version, name, uri, facts } in &files {
        let index = IndexFile::open(uri, &Storages::new()).unwrap_or_else(|error| panic!("{version} {name}: {error}"));
        let header = &index.root.header;
        assert_eq!(facts["dimension"], header.dimension, "{version} {name}");
        assert_eq!(facts["rows"], header.rows, "{version} {name}");
        assert_eq!(facts["metric"], header.metric, "{version} {name}");
        assert_eq!(facts["trained"], header.trained, "{version} {name}");
        if let Value::Array(sizes) = &facts["sizes"] {
            let (node, lists) = index.with_lists().unwrap();
            assert_eq!(Some(&facts["codeSize"]), node.code_size.map(Value::from).as_ref(), "{version} {name}");
            let found = all_sizes(lists, index.file.as_ref(), uri).unwrap();
            assert_eq!(sizes, &found.iter().map(|size| Value::from(*size)).collect::<Vec<_>>(), "{version} {name}");
        }
        kinds.insert(index.root.kind);
    }
    assert!(kinds.len() >= 25, "{kinds:?}");
}

fn golden(name: &str) -> Vec<u8> {
    let file = golden_files().into_iter().find(|golden| golden.version == "1.15.1" && golden.name == name);
    std::fs::read(file.unwrap().uri).unwrap()
}

fn refusal(bytes: Vec<u8>) -> String {
    let error = parse(&Bytes(bytes), "some.index").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptFile);
    error.to_string()
}

#[test]
fn what_is_not_known_is_named_with_its_place() {
    // The four characters and the header of an id map.
    const INNER: usize = 4 + 33;
    let intact = golden("id_map");
    for (place, fourcc, hints) in [
        (0, b"WxYz", ["is no index file of Faiss", "'WxYz' (57 78 59 7a)"]),
        (INNER, b"Ix\x01\xff", ["at byte 37", "'Ix\\x01\\xff'"]),
        (INNER, b"ISVD", ["at byte 37", "ScalableVectorSearch"]),
    ] {
        let mut bytes = intact.clone();
        bytes[place..place + 4].copy_from_slice(fourcc);
        let message = refusal(bytes);
        assert!(message.contains("some.index") && hints.iter().all(|hint| message.contains(hint)), "{message}");
    }
}

#[test]
fn lengths_beyond_the_file_and_bytes_after_the_index_are_found() {
    let intact = golden("flat");
    let mut longer = intact.clone();
    longer.extend_from_slice(b"more");
    assert!(refusal(longer).contains("4 bytes follow the end of the index"));
    let mut huge = intact.clone();
    huge[37..45].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refusal(huge).contains("longer than any file"));
    assert!(refusal(intact[..intact.len() - 1].to_vec()).contains("the file has 9599 more"));
    assert!(refusal(Vec::new()).contains("an index needs 4 bytes and the file has 0 more"));
}

#[test]
fn indexes_inside_one_another_end_somewhere() {
    let around = &golden("id_map")[..37];
    assert!(refusal(around.repeat(100_000)).contains("inside one another"));
}

#[test]
fn formats_before_1_5_are_understood() {
    // The search parameters came later.
    let mut pq = golden("pq");
    pq.truncate(pq.len() - 9);
    pq[3] = b'Q';
    assert_eq!(parse(&Bytes(pq), "").unwrap().kind, "IndexPQ");

    // All ids stood before the direct map, all codes at the end.
    let ivf = golden("ivf_flat");
    let node = parse(&Bytes(ivf.clone()), "").unwrap();
    let lists = node.lists.clone().unwrap();
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let quantizer_end = at(node.part(Role::Quantizer).unwrap().span.end);
    let (mut ids, mut codes) = (Vec::new(), Vec::new());
    let file = Bytes(ivf.clone());
    let mut reader = lists.lists(&file, "");
    while let Some(list) = reader.next().unwrap() {
        for (target, range, count) in [(&mut ids, list.ids, list.rows), (&mut codes, list.codes, list.rows * 32)] {
            target.extend_from_slice(&count.to_le_bytes());
            target.extend_from_slice(&ivf[at(range.start)..at(range.end)]);
        }
    }
    let old = [b"IvFL", &ivf[4..quantizer_end], &ids, &ivf[quantizer_end..at(lists.span.start)], &codes].concat();
    let old = parse(&Bytes(old), "").unwrap();
    assert_eq!((old.kind, old.lists.unwrap().summary), ("IndexIVFFlat", lists.summary));
}
