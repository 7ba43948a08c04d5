//! `.npy` tables with their ids.

use faiss_indexer_input::{Batch, InputOptions, Result};

use crate::table::{gather, open, storages_of};

/// A file as numpy writes it.
pub(crate) fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    npy_of_version(1, descr, shape, numbers)
}

fn npy_of_version(version: u8, descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let prefix = if version == 1 { 10 } else { 12 };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (prefix + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u32).to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length[..] };
    [b"\x93NUMPY", &[version, 0][..], length, header.as_bytes(), numbers].concat()
}

fn floats(rows: std::ops::Range<usize>) -> Vec<f32> {
    rows.flat_map(|row| [row as f32, row as f32 + 0.5]).collect()
}

fn single(rows: std::ops::Range<usize>) -> Vec<u8> {
    let numbers: Vec<u8> = floats(rows.clone()).into_iter().flat_map(f32::to_le_bytes).collect();
    npy("<f4", &format!("({}, 2)", rows.len()), &numbers)
}

fn id_file(ids: std::ops::Range<i64>) -> Vec<u8> {
    let numbers: Vec<u8> = ids.clone().flat_map(i64::to_le_bytes).collect();
    npy("<i8", &format!("({},)", ids.end - ids.start), &numbers)
}

fn read(files: &[(&str, &[u8])], ids: Option<&str>, batch_rows: usize) -> Result<Batch> {
    let options =
        InputOptions { ids_uri: ids.map(|ids| format!("memory:/{ids}")), batch_rows, ..InputOptions::default() };
    let input = open(&storages_of(files), &options)?;
    assert_eq!(input.dimension()?, 2);
    let read = gather(input.read(input.splits(), 1))?;
    assert_eq!(input.rows(), read.rows() as u64);
    Ok(read)
}

#[test]
fn every_float_and_integer_type_and_version_is_read() {
    let numbers = floats(0..50);
    let half: Vec<u8> = numbers.iter().flat_map(|number| half::f16::from_f32(*number).to_le_bytes()).collect();
    let double: Vec<u8> = numbers.iter().flat_map(|number| f64::from(*number).to_le_bytes()).collect();
    let ids: Vec<u8> = (0..50).collect();
    let wide =
        |width: usize| -> Vec<u8> { ids.iter().flat_map(|id| [vec![*id], vec![0; width - 1]].concat()).collect() };
    let tables = [npy("<f2", "(50, 2)", &half), single(0..50), npy("<f8", "(50, 2)", &double)];
    let lists = [("|i1", 1), ("|u1", 1), ("<i2", 2), ("<u2", 2), ("<i4", 4), ("<u4", 4), ("<i8", 8), ("<u8", 8)];
    for table in &tables {
        for version in [1, 2, 3] {
            for (descr, width) in lists {
                let ids = npy_of_version(version, descr, "(50,)", &wide(width));
                for batch_rows in [7, 100] {
                    let read = read(&[("in/e.npy", table), ("ids.npy", &ids)], Some("ids.npy"), batch_rows).unwrap();
                    assert_eq!((read.ids, read.vectors), ((0..50).collect(), numbers.clone()), "{version} {descr}");
                }
            }
        }
    }
}

#[test]
fn several_tables_take_ids_of_one_file_or_one_each() {
    let tables = [single(0..5), single(5..5), single(5..12)];
    let tables: [(&str, &[u8]); 3] = [("in/a.npy", &tables[0]), ("in/b.npy", &tables[1]), ("in/c.npy", &tables[2])];
    let (all, first, none, last) = (id_file(100..112), id_file(100..105), id_file(0..0), id_file(105..112));
    let one: &[(&str, &[u8])] = &[("ids/all.npy", &all)];
    let each: &[(&str, &[u8])] = &[("ids/1.npy", &first), ("ids/2.npy", &none), ("ids/3.npy", &last)];
    for ids in [one, each] {
        let read = read(&[&tables[..], ids].concat(), Some("ids"), 4).unwrap();
        assert_eq!((read.ids, read.vectors), ((100..112).collect(), floats(0..12)));
    }
}

#[test]
fn ids_that_do_not_fit_are_refused_by_name() {
    let (table, ids) = (single(0..5), id_file(0..5));
    let huge = npy("<u8", "(5,)", &[0, 1, 2, 1 << 63, 4_u64].map(u64::to_le_bytes).concat());
    let parquet: &[u8] = b"PAR1 and so on";
    for (files, given, text) in [
        (
            vec![("in/e.npy", &table[..])],
            None,
            "memory:/in/e.npy has embeddings without ids; name the .npy file (or directory) that has an integer id for each row",
        ),
        (
            vec![("in/e.npy", &table), ("i", &id_file(0..4))],
            Some("i"),
            "memory:/i has 4 ids, the embeddings have 5 rows",
        ),
        (
            vec![("in/e.npy", &table), ("i", &table)],
            Some("i"),
            "the ids in memory:/i are floats; they have to be integers",
        ),
        (
            vec![("in/e.npy", &table), ("i", parquet)],
            Some("i"),
            "the ids in memory:/i are Parquet; they have to be .npy",
        ),
        (vec![("in/e.npy", &table)], Some("i"), "memory:/i does not exist"),
        (
            vec![("in/a", &table), ("in/b", &table), ("in/c", &table), ("i/1", &ids), ("i/2", &ids)],
            Some("i"),
            "there are 2 files of ids for 3 files of embeddings; there has to be one for each, or one for all",
        ),
        (
            vec![("in/a", &table), ("in/b", &table), ("i/1", &id_file(0..6)), ("i/2", &id_file(0..4))],
            Some("i"),
            "memory:/i/1 has 6 ids, memory:/in/a has 5 rows",
        ),
        (
            vec![("in/e.npy", &table), ("i", &huge)],
            Some("i"),
            "the id 9223372036854775808 in column 'ids' of memory:/i, row 3, is above 9223372036854775807, the largest id there is",
        ),
    ] {
        assert_eq!(read(&files, given, 100).unwrap_err().to_string(), text);
    }
}

#[test]
fn tables_that_cannot_be_embeddings_are_refused_by_name() {
    let table = single(0..5);
    let fortran = String::from_utf8_lossy(&table[10..128]).replace("False", "True ");
    let fortran = [&table[..10], fortran.as_bytes(), &table[128..]].concat();
    let other_dimension = npy("<f4", "(5, 3)", &[0; 60]);
    for (files, text) in [
        (
            vec![("in/e", &fortran)],
            "memory:/in/e cannot be read (header): it is in Fortran order; save numpy.ascontiguousarray(array) instead",
        ),
        (
            vec![("in/e", &id_file(0..5))],
            "memory:/in/e cannot be read (header): embeddings are floats of 16, 32 or 64 bits, not integers",
        ),
        (
            vec![("in/e", &npy("<f4", "(5,)", &[0; 20]))],
            "memory:/in/e cannot be read (header): embeddings have the shape (rows, dimension), not (5,)",
        ),
        (
            vec![("in/e", &npy("<f4", "(5, 2)", &[0; 39]))],
            "memory:/in/e cannot be read (header): with the shape (5, 2) the file should have 168 bytes and has 167",
        ),
        (vec![("in/e", &npy("<f4", "(5, 0)", &[]))], "the embeddings of memory:/in/e have no components"),
        (
            vec![("in/e", &table), ("in/f", &other_dimension)],
            "the embeddings of memory:/in/f have dimension 3; 2 is expected, memory:/in/e has it",
        ),
    ] {
        let ids = id_file(0..if files.len() == 2 { 10 } else { 5 });
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, content)| (*name, &content[..])).chain([("i", &ids[..])]).collect();
        assert_eq!(read(&files, Some("i"), 100).unwrap_err().to_string(), text);
    }
}

#[test]
fn without_ids_rows_are_numbered_over_all_files_when_asked() {
    let files = [("in/a.npy", single(0..30)), ("in/b.npy", single(30..50))];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    assert!(read(&files, None, 7).is_err());
    let options = InputOptions { number_rows: true, batch_rows: 7, ..InputOptions::default() };
    let input = open(&storages_of(&files), &options).unwrap();
    let read = gather(input.read(input.splits(), 1)).unwrap();
    let mut ids = read.ids.clone();
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<i64>>());
    assert!(read.ids.iter().zip(read.vectors.chunks(2)).all(|(id, row)| *id as f32 == row[0]));
    input.identity().unwrap();
}
