//! Inputs that cannot be read are refused with a text that says what and where.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray, UInt64Array};
use arrow_ipc::writer::IpcWriteOptions;
use faiss_indexer_input::InputOptions;
use parquet::file::properties::WriterProperties;

use crate::table::{
    Floats, Ids, Lists, Row, arrow_file_bytes, embedding_array, good_rows, id_array, open, options, parquet_bytes,
    read_all, record_batch, storages_of,
};

fn parquet_of(rows: &[Row], lists: Lists) -> Vec<u8> {
    let batch = record_batch(id_array(rows, Ids::Int64), embedding_array(rows, lists, Floats::Single), false);
    parquet_bytes(&batch, WriterProperties::default())
}

#[test]
fn inputs_that_cannot_be_opened_name_the_file_and_the_choice() {
    let parquet = parquet_of(&good_rows(10), Lists::List);
    let fixed = parquet_of(&good_rows(10), Lists::Fixed);
    let rows = good_rows(10);
    let batch = record_batch(id_array(&rows, Ids::Int64), embedding_array(&rows, Lists::List, Floats::Single), false);
    let arrow = arrow_file_bytes(&[batch], IpcWriteOptions::default());
    let default = options(false);
    let given = |change: fn(&mut InputOptions)| {
        let mut options = default.clone();
        change(&mut options);
        options
    };
    let columns = "its columns are 'word', 'noise', 'entityId', 'embedding', 'last'";
    for (files, options, text) in [
        (
            vec![("in/a", &parquet[..]), ("in/b", &arrow)],
            default.clone(),
            "the input mixes formats: memory:/in/a is Parquet, memory:/in/b is Arrow IPC".to_owned(),
        ),
        (
            vec![("in/a.parquet", b"id,embedding")],
            default.clone(),
            "memory:/in/a.parquet is of an unknown format; allowed are Parquet, Arrow IPC (file or stream) and .npy".to_owned(),
        ),
        (
            vec![("in/a", b"")],
            default.clone(),
            "memory:/in/a is empty; allowed are Parquet, Arrow IPC (file or stream) and .npy".to_owned(),
        ),
        (
            vec![("in/a", &parquet)],
            given(|options| options.id_column = "entity_id".to_owned()),
            format!("memory:/in/a has no column 'entity_id' (did you mean 'entityId'?); {columns}"),
        ),
        (
            vec![("in/a", &arrow)],
            given(|options| options.embedding_column = "embedding.values".to_owned()),
            format!("memory:/in/a has no column 'embedding.values'; {columns}"),
        ),
        (
            vec![("in/a", &parquet)],
            given(|options| options.id_column = "word".to_owned()),
            "the column 'word' of memory:/in/a is of type Utf8; allowed are integers of 8 to 64 bits, signed or not, \
             also dictionary-encoded"
                .to_owned(),
        ),
        (
            vec![("in/a", &parquet)],
            given(|options| options.embedding_column = "entityId".to_owned()),
            "the column 'entityId' of memory:/in/a is of type Int64; allowed are lists, large lists and fixed-size lists \
             of floats of 16, 32 or 64 bits, also dictionary-encoded"
                .to_owned(),
        ),
        (
            vec![("in/a", &parquet), ("in/b", &fixed)],
            given(|options| options.dimension = Some(4)),
            "the embeddings of memory:/in/b have dimension 3; 4 is expected, it was given".to_owned(),
        ),
        (
            vec![("in/a", &parquet)],
            given(|options| options.ids_uri = Some("memory:/x".to_owned())),
            "a file of ids (memory:/x) is given, but the input is not .npy and has its own ids".to_owned(),
        ),
    ] {
        assert_eq!(open(&storages_of(&files), &options).unwrap_err().to_string(), text);
    }
}

#[test]
fn an_unsigned_id_that_is_too_large_names_its_row() {
    let rows = good_rows(300);
    let mut ids: Vec<u64> = (0..300).collect();
    ids[257] = u64::MAX;
    let ids: ArrayRef = Arc::new(UInt64Array::from(ids));
    let batch = record_batch(ids, embedding_array(&rows, Lists::List, Floats::Single), false);
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
    for bytes in [
        parquet_bytes(&batch, groups),
        arrow_file_bytes(&[batch.slice(0, 100), batch.slice(100, 200)], IpcWriteOptions::default()),
    ] {
        let options = InputOptions { batch_rows: 30, ..options(false) };
        let input = open(&storages_of(&[("in/f", &bytes)]), &options).unwrap();
        assert_eq!(
            read_all(&input).unwrap_err().to_string(),
            "the id 18446744073709551615 in column 'entityId' of memory:/in/f, row 257, is above 9223372036854775807, \
             the largest id there is"
        );
    }
}

#[test]
fn an_input_without_an_embedding_has_no_dimension() {
    let mut rows = good_rows(2_000);
    rows.iter_mut().for_each(|row| row.embedding = None);
    for rows in [&rows[..], &[]] {
        let options = InputOptions { dimension: None, ..options(false) };
        let input = open(&storages_of(&[("in/f", &parquet_of(rows, Lists::List))]), &options).unwrap();
        let text = "no row of the input has an embedding, so its dimension is unknown; give the dimension";
        assert_eq!(input.dimension().unwrap_err().to_string(), text);
    }
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let rows = good_rows(5);
    let batch = record_batch(id_array(&rows, Ids::Int64), embedding_array(&rows, Lists::List, Floats::Single), false);
    let words: ArrayRef = Arc::new(StringArray::from(vec!["x"; 5]));
    let schema = arrow_schema::Schema::new(vec![
        arrow_schema::Field::new("entityId", arrow_schema::DataType::Int64, true),
        arrow_schema::Field::new("entityId", arrow_schema::DataType::Utf8, true),
        batch.schema().field_with_name("embedding").unwrap().clone(),
    ]);
    let columns = vec![id_array(&rows, Ids::Int64), words, batch.column_by_name("embedding").unwrap().clone()];
    let batch = arrow_array::RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let bytes = arrow_file_bytes(&[batch], IpcWriteOptions::default());
    let error = open(&storages_of(&[("in/f", &bytes)]), &options(false)).unwrap_err();
    assert_eq!(error.to_string(), "memory:/in/f has more than one column 'entityId'");
}
