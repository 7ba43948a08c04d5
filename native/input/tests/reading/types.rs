//! Every type, encoding and compression that is promised, with and without nulls.

use arrow_array::RecordBatch;
use arrow_ipc::writer::IpcWriteOptions;
use arrow_ipc::{CompressionType, MetadataVersion};
use faiss_indexer_input::LearnedDimension;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::table::{
    ALL_IDS, Floats, Ids, Lists, Row, arrow_file_bytes, arrow_stream_bytes, embedding_array, expected, good_rows,
    id_array, mixed_rows, open, options, parquet_bytes, read_all, read_bytes, record_batch, storages_of,
};

const ROWS: usize = 500;

const EMBEDDINGS: [(Lists, Floats); 9] = [
    (Lists::List, Floats::Half),
    (Lists::List, Floats::Single),
    (Lists::List, Floats::Double),
    (Lists::Large, Floats::Half),
    (Lists::Large, Floats::Single),
    (Lists::Large, Floats::Double),
    (Lists::Fixed, Floats::Half),
    (Lists::Fixed, Floats::Single),
    (Lists::Fixed, Floats::Double),
];

fn rows(lists: Lists, nulls: bool) -> Vec<Row> {
    if nulls { mixed_rows(ROWS, lists != Lists::Fixed) } else { good_rows(ROWS) }
}

#[test]
fn parquet_of_every_type_gives_its_rows() {
    for (number, (lists, floats)) in EMBEDDINGS.into_iter().enumerate() {
        for nulls in [false, true] {
            for nested in [false, true] {
                let ids = ALL_IDS[..8][(number + usize::from(nulls)) % 8];
                let rows = rows(lists, nulls);
                let batch = record_batch(id_array(&rows, ids), embedding_array(&rows, lists, floats), nested);
                let bytes = parquet_bytes(&batch, WriterProperties::default());
                let read = read_bytes(&bytes, &options(nested)).unwrap();
                assert_eq!(read, expected(&rows), "{ids:?} {lists:?} {floats:?} {nulls} {nested}");
            }
        }
    }
}

#[test]
fn ids_of_every_type_are_read() {
    for ids in ALL_IDS {
        let rows = mixed_rows(ROWS, true);
        let batch = record_batch(id_array(&rows, ids), embedding_array(&rows, Lists::List, Floats::Single), false);
        let parquet = parquet_bytes(&batch, WriterProperties::default());
        assert_eq!(read_bytes(&parquet, &options(false)).unwrap(), expected(&rows), "Parquet {ids:?}");
        let arrow = arrow_file_bytes(&[batch], IpcWriteOptions::default());
        assert_eq!(read_bytes(&arrow, &options(false)).unwrap(), expected(&rows), "Arrow {ids:?}");
    }
}

#[test]
fn parquet_of_every_encoding_and_compression_gives_its_rows() {
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    let rows = mixed_rows(ROWS, true);
    let leaf = ColumnPath::from("embedding.list.element");
    let leaf_of_arrow = ColumnPath::from("embedding.list.item");
    for floats in [Floats::Half, Floats::Single, Floats::Double] {
        let batch = record_batch(id_array(&rows, Ids::Int64), embedding_array(&rows, Lists::List, floats), false);
        for compression in compressions {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                for encoding in [None, Some(Encoding::PLAIN), Some(Encoding::BYTE_STREAM_SPLIT)] {
                    let properties = WriterProperties::builder()
                        .set_compression(compression)
                        .set_writer_version(version)
                        .set_data_page_size_limit(700)
                        .set_write_batch_size(16)
                        .set_max_row_group_row_count(Some(210));
                    let properties = match encoding {
                        None => properties,
                        Some(encoding) => {
                            [leaf.clone(), leaf_of_arrow.clone()].into_iter().fold(properties, |properties, leaf| {
                                properties
                                    .set_column_dictionary_enabled(leaf.clone(), false)
                                    .set_column_encoding(leaf, encoding)
                            })
                        }
                    };
                    let bytes = parquet_bytes(&batch, properties.build());
                    let input = open(&storages_of(&[("in/file", &bytes)]), &options(false)).unwrap();
                    assert_eq!(input.splits().len(), 3);
                    let read = read_all(&input).unwrap();
                    assert_eq!(read, expected(&rows), "{floats:?} {compression:?} {version:?} {encoding:?}");
                }
            }
        }
    }
}

fn arrow_options(compression: Option<CompressionType>) -> IpcWriteOptions {
    IpcWriteOptions::try_new(64, false, MetadataVersion::V5).unwrap().try_with_compression(compression).unwrap()
}

#[test]
fn arrow_of_every_type_and_compression_gives_its_rows() {
    let more = [
        (Lists::List, Floats::DictionaryOfSingle),
        (Lists::Fixed, Floats::DictionaryOfSingle),
        (Lists::DictionaryOfList, Floats::Single),
    ];
    for (number, (lists, floats)) in EMBEDDINGS.into_iter().chain(more).enumerate() {
        for nulls in [false, true] {
            for nested in [false, true] {
                let ids = ALL_IDS[(number + usize::from(nulls)) % 10];
                let rows = rows(lists, nulls);
                let batch = record_batch(id_array(&rows, ids), embedding_array(&rows, lists, floats), nested);
                let pieces: Vec<RecordBatch> = match lists {
                    Lists::DictionaryOfList => vec![batch],
                    _ => vec![batch.slice(0, 37), batch.slice(37, 0), batch.slice(37, 400), batch.slice(437, 63)],
                };
                for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
                    let written = [
                        arrow_file_bytes(&pieces, arrow_options(compression)),
                        arrow_stream_bytes(&pieces, arrow_options(compression)),
                    ];
                    for bytes in written {
                        for batch_rows in [7, 10_000] {
                            let options = faiss_indexer_input::InputOptions { batch_rows, ..options(nested) };
                            let read = read_bytes(&bytes, &options).unwrap();
                            assert_eq!(
                                read,
                                expected(&rows),
                                "{ids:?} {lists:?} {floats:?} {nulls} {nested} {compression:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_null_struct_makes_null_what_is_in_it() {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, StructArray};
    use arrow_buffer::NullBuffer;
    use arrow_schema::{Field, Schema};

    let mut rows = good_rows(40);
    let ids = id_array(&rows, Ids::Int64);
    let embeddings = embedding_array(&rows, Lists::List, Floats::Single);
    let valid = |row: usize| row % 3 != 1;
    let field = Arc::new(Field::new("embedding", embeddings.data_type().clone(), false));
    let nulls = NullBuffer::from_iter((0..40).map(valid));
    let features: ArrayRef = Arc::new(StructArray::new(vec![field].into(), vec![embeddings], Some(nulls)));
    let fields = vec![
        Field::new("entityId", ids.data_type().clone(), false),
        Field::new("features", features.data_type().clone(), true),
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![ids, features]).unwrap();
    for (number, row) in rows.iter_mut().enumerate() {
        row.embedding = row.embedding.take().filter(|_| valid(number));
    }
    let options = faiss_indexer_input::InputOptions { id_column: "entityId".to_owned(), ..options(true) };
    for bytes in [
        parquet_bytes(&batch, WriterProperties::default()),
        arrow_file_bytes(std::slice::from_ref(&batch), arrow_options(None)),
        arrow_file_bytes(&[batch], arrow_options(Some(CompressionType::ZSTD))),
    ] {
        assert_eq!(read_bytes(&bytes, &options).unwrap(), expected(&rows));
    }
}

#[test]
fn files_may_differ_in_ways_that_do_not_matter() {
    let rows = good_rows(60);
    let file = |range: std::ops::Range<usize>, ids, lists, floats| {
        let rows = &rows[range];
        parquet_bytes(
            &record_batch(id_array(rows, ids), embedding_array(rows, lists, floats), false),
            WriterProperties::default(),
        )
    };
    let files = [
        file(0..20, Ids::Int64, Lists::List, Floats::Single),
        file(20..40, Ids::UInt16, Lists::Large, Floats::Double),
        file(40..60, Ids::Int32, Lists::Fixed, Floats::Half),
    ];
    let storages =
        storages_of(&[("in/2", &files[1]), ("in/1", &files[0]), ("in/sub/3", &files[2]), ("in/_SUCCESS", b"")]);
    let input = open(&storages, &options(false)).unwrap();
    assert_eq!(read_all(&input).unwrap(), expected(&rows));
}

#[test]
fn the_dimension_comes_from_types_or_from_the_first_row_that_is_neither_null_nor_empty() {
    let mut rows = good_rows(3_000);
    rows[..2_500].iter_mut().for_each(|row| row.embedding = None);
    for lists in [Lists::List, Lists::Large, Lists::Fixed] {
        if lists != Lists::Fixed {
            rows[..2_500].iter_mut().step_by(3).for_each(|row| row.embedding = Some(Vec::new()));
        } else {
            rows[..2_500].iter_mut().for_each(|row| row.embedding = None);
        }
        for count in [3_000, 1] {
            let rows = &rows[3_000 - count..];
            let batch = record_batch(id_array(rows, Ids::Int64), embedding_array(rows, lists, Floats::Single), false);
            let groups = WriterProperties::builder().set_max_row_group_row_count(Some(1_000)).build();
            for bytes in
                [parquet_bytes(&batch, groups), arrow_file_bytes(&[batch], arrow_options(Some(CompressionType::ZSTD)))]
            {
                let options = faiss_indexer_input::InputOptions { dimension: None, ..options(false) };
                let input = open(&storages_of(&[("in/file", &bytes)]), &options).unwrap();
                assert_eq!(input.dimension().unwrap(), 3);
                let row = if count == 1 { 0 } else { 2_500 };
                let learned = LearnedDimension { dimension: 3, uri: "memory:/in/file".to_owned(), row };
                assert_eq!(input.learned_dimension(), (lists != Lists::Fixed).then_some(&learned));
                assert_eq!(read_all(&input).unwrap(), expected(rows));
            }
        }
    }
}

#[test]
fn doubles_are_rounded_to_the_nearest_float_and_overflow_to_infinity() {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float64Array, Int64Array};
    use arrow_schema::Field;

    let doubles = [0.1, 1.0 + f64::from(f32::EPSILON) / 2.0, 1e39, -1e39, f64::NAN, 1e-46];
    let values: ArrayRef = Arc::new(Float64Array::from(doubles.to_vec()));
    let item = Arc::new(Field::new("item", values.data_type().clone(), false));
    let embeddings: ArrayRef = Arc::new(FixedSizeListArray::new(item, 3, values, None));
    let batch = record_batch(Arc::new(Int64Array::from(vec![1, i64::MIN])), embeddings, false);
    let read = read_bytes(&parquet_bytes(&batch, WriterProperties::default()), &options(false)).unwrap();
    assert_eq!(read.ids, [1, i64::MIN]);
    assert_eq!(read.vectors[..4], [0.1_f32, 1.0, f32::INFINITY, f32::NEG_INFINITY]);
    assert!(read.vectors[4].is_nan());
    assert_eq!(read.vectors[5], 0.0);
}
