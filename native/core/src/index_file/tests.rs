//! Files that two versions of Faiss wrote, described as Faiss itself describes them.

use std::path::PathBuf;

use faiss_indexer_storage::{Storage, Storages};
use serde_json::Value;

use super::*;
use crate::numbers::to_usize;

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

pub(crate) fn read(uri: &str) -> Vec<u8> {
    std::fs::read(uri).unwrap()
}

/// A file in memory.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

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
