//! Files that pyarrow and numpy wrote; `native/input/tests/golden/make` makes them.

use std::path::{Path, PathBuf};

use faiss_indexer_input::{Batch, Input, InputOptions, Result};
use faiss_indexer_storage::Storages;

use crate::table::{Row, expected, gather};

const ROWS: usize = 24;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn rows(nulls: bool) -> Vec<Row> {
    let components = |row: usize| (0..3).map(|column| Some((3 * row + column) as f32 / 8.0)).collect();
    let row = |row: usize| Row { id: Some(7 * row as i64 - 3), embedding: Some(components(row)) };
    let mut rows: Vec<Row> = (0..ROWS).map(row).collect();
    if nulls {
        rows[5].id = None;
        rows[6].embedding = None;
        rows[7].embedding.as_mut().unwrap()[1] = None;
        rows[8].embedding.as_mut().unwrap().pop();
    }
    rows
}

fn read(name: &str, options: &InputOptions) -> Result<Batch> {
    let uri = directory().join(name).to_str().unwrap().to_owned();
    let input = Input::open(&[uri], options, &Storages::new())?;
    assert_eq!(input.rows(), ROWS as u64, "{name}");
    assert_eq!(input.dimension()?, 3, "{name}");
    gather(input.read(input.splits(), 1))
}

fn names(extension: &str) -> Vec<String> {
    let files = std::fs::read_dir(directory()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter(|name| name.ends_with(extension)).collect();
    names.sort();
    names
}

#[test]
fn what_pyarrow_wrote_is_read() {
    let files = [names(".parquet"), names(".arrow")].concat();
    assert_eq!(files.len(), 18);
    for name in files {
        let options = match name.as_str() {
            "nested.parquet" => InputOptions {
                id_column: "item.entityId".to_owned(),
                embedding_column: "item.embedding".to_owned(),
                ..InputOptions::default()
            },
            _ => InputOptions::default(),
        };
        assert_eq!(read(&name, &options).unwrap(), expected(&rows(name.contains("with_nulls"))), "{name}");
    }
}

#[test]
fn what_numpy_wrote_is_read_or_refused() {
    let ids = directory().join("ids.npy").to_str().unwrap().to_owned();
    let options = InputOptions { ids_uri: Some(ids), ..InputOptions::default() };
    for name in ["embeddings.npy", "embeddings_half.npy"] {
        assert_eq!(read(name, &options).unwrap(), expected(&rows(false)), "{name}");
    }
    let refused = read("embeddings_fortran.npy", &options).unwrap_err().to_string();
    assert!(refused.ends_with("it is in Fortran order; save numpy.ascontiguousarray(array) instead"), "{refused}");
}
