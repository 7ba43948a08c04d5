//! The backends of this crate keep the promises of the trait.

#![allow(clippy::unwrap_used, reason = "tests report by panicking")]

use faiss_indexer_storage::{LocalStorage, MemoryStorage, conformance};

#[test]
fn local_storage_conforms_under_every_spelling_of_a_path() {
    for prefix in ["", "file:", "file://"] {
        let directory = tempfile::tempdir().unwrap();
        conformance::run(&LocalStorage, &format!("{prefix}{}/root", directory.path().display()));
    }
}

#[test]
fn memory_storage_conforms() {
    conformance::run(&MemoryStorage::new(), "memory:/root");
}
