//! Rows on the border of two lists, or of two codes, get what stock Faiss gives them in a call of their own.

use crate::cancellation::Cancellation;
use crate::faiss_index::{FaissIndex, OuterIdMap};
use crate::family::{Family, MergePlan};
use crate::quantization::{Encoder, Trainer, encoder_for, trainer_for};
use crate::receipts::{Receipt, Receipts};
use crate::row_hash::row_hash;
use crate::spec::{IdMap, Metric};
use crate::stage::StageKind;
use crate::test_builds::{OUTPUT, Rows, TestBuild};
use crate::workers::Workers;
use crate::{plan_training, start_build};

/// Borders searched for per family.
const BORDERS: usize = 30;

/// What stock Faiss gives each row in a call of its own: the number of the list, if there is one, and the first code.
fn alone(stock: &FaissIndex, rows: &Rows) -> Vec<Vec<u8>> {
    (0..rows.ids.len()).map(|row| stock.encode_alone(rows.row(row)).unwrap()).collect()
}

/// How many bytes the list takes in front of a code (`faiss::IndexIVF::coarse_code_size`).
fn list_bytes(nlist: u64) -> usize {
    (0..8).find(|bytes| nlist.saturating_sub(1) >> (8 * bytes) == 0).unwrap()
}

/// Rows beside the points where stock Faiss changes its answer on the way from one row to another: the list, or the
/// code where there is one list or none.
fn rows_on_borders(stock: &FaissIndex, rows: &Rows) -> Rows {
    let answer = |row: &[f32]| {
        let mut code = stock.encode_alone(row).unwrap();
        if stock.shape().nlist > 1 {
            code.truncate(list_bytes(stock.shape().nlist));
        }
        code
    };
    let mut found = Rows { dimension: rows.dimension, ids: Vec::new(), vectors: Vec::new() };
    for border in 0..BORDERS {
        let (from, to) = (rows.row(border * 7), rows.row(border * 13 + 500));
        let between = |share: f64| -> Vec<f32> {
            let pairs = from.iter().zip(to).map(|(a, b)| (f64::from(*a), f64::from(*b)));
            pairs.map(|(a, b)| (a + share * (b - a)) as f32).collect()
        };
        let (mut low, mut high) = (0.0, 1.0);
        let before = answer(from);
        while high - low > 1e-12 {
            let middle = (low + high) / 2.0;
            let same = answer(&between(middle)) == before;
            *(if same { &mut low } else { &mut high }) = middle;
        }
        for step in -4_i32..=4 {
            let nudge = f64::from(step) * 3e-8;
            found.vectors.extend(between(low + nudge));
            // One component beside, by the least that can be.
            let mut beside = between(low + nudge);
            let component = (border * 5 + step.unsigned_abs() as usize) % rows.dimension;
            beside[component] = f32::from_bits(beside[component].to_bits() + 1);
            found.vectors.extend(beside);
        }
    }
    found.ids = (0..(found.vectors.len() / rows.dimension) as i64).collect();
    found
}

/// List and codes of each row, as the encoder gives them to all rows in calls of `block` rows after one of `offset`.
fn encoded(encoder: &dyn Encoder, rows: &Rows, offset: usize, block: usize) -> Vec<(i64, Vec<u8>)> {
    let row_bytes = encoder.shape().row_bytes() as usize;
    let mut results = Vec::new();
    let (first, others) = rows.vectors.split_at(offset * rows.dimension);
    for vectors in [first].into_iter().filter(|first| !first.is_empty()).chain(others.chunks(block * rows.dimension)) {
        let count = vectors.len() / rows.dimension;
        let (mut lists, mut codes) = (vec![0; count], vec![0; count * row_bytes]);
        encoder.encode(vectors, &mut lists, &mut codes, &Cancellation::default()).unwrap();
        results.extend(lists.into_iter().zip(codes.chunks(row_bytes).map(<[u8]>::to_vec)));
    }
    results
}

/// As `faiss::Index::sa_encode` puts them: the list in as many bytes as the number of lists takes, then the code.
fn as_stock(encoder: &dyn Encoder, results: &[(i64, Vec<u8>)]) -> Vec<Vec<u8>> {
    let shape = encoder.shape();
    let list_bytes = list_bytes(shape.nlist);
    let joined = results.iter().map(|(list, code)| {
        let list = list.to_le_bytes();
        [&list[..list_bytes], &code[..shape.code_size as usize]].concat()
    });
    joined.collect()
}

fn check(factory: &str, dimension: usize, metric: Metric) {
    let rows = Rows::new(2_000, dimension);
    let family = Family::parse(factory, dimension as u64, metric, IdMap::Auto).unwrap();
    assert_ne!(family.merge_plan(), MergePlan::SingleTask, "{factory}");
    let trainer = trainer_for(&family, dimension as u64, metric);
    let trained = trainer.train(&rows.vectors, &Workers::new(2, "t").unwrap(), &Cancellation::default()).unwrap();
    let stock = FaissIndex::read(&trained).unwrap();
    let encoder = encoder_for(&trained, family.merge_plan()).unwrap();

    let near = rows_on_borders(&stock, &rows);
    let count = near.ids.len();
    let one_by_one = encoded(encoder.as_ref(), &near, 0, 1);
    let (ours, expected) = (as_stock(encoder.as_ref(), &one_by_one), alone(&stock, &near));
    let different = (0..count).filter(|row| ours[*row] != expected[*row]).count();
    assert_eq!(different, 0, "{factory}, {metric:?}: of {count} rows differ from stock Faiss");
    for offset in 0..=24 {
        let together = encoded(encoder.as_ref(), &near, offset, encoder.block_rows());
        let different = (0..count).filter(|row| together[*row] != one_by_one[*row]).count();
        assert_eq!(different, 0, "{factory}, {metric:?}: of {count} rows depend on their place, offset {offset}");
    }
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by_key(|place| row_hash(*place as i64, 5));
    let shuffled = encoded(encoder.as_ref(), &near.select(places.iter().copied()), 0, 100);
    let different = places.iter().zip(&shuffled).filter(|(row, result)| one_by_one[**row] != **result).count();
    assert_eq!(different, 0, "{factory}, {metric:?}: of {count} rows depend on their order");
}

#[test]
fn rows_on_the_border_of_two_lists_go_where_faiss_puts_them_alone() {
    for (factory, dimension) in [
        ("IVF64,Flat", 8),
        ("IVF1024,SQ8", 24),
        ("IVF256,SQ8", 100),
        ("IVF64,PQ8x4fsr", 64),
        ("OPQ8,IVF256,PQ8x4np", 64),
    ] {
        check(factory, dimension, Metric::L2);
        check(factory, dimension, Metric::Ip);
    }
    check("IVF1024,SQ8", 768, Metric::L2);
    check("IVF64,Flat", 768, Metric::Ip);
    check("IVF64_HNSW8,Flat", 24, Metric::L2);
    check("IVF1024_NSG16,Flat", 24, Metric::L2);
    check("IVF64,Flat", 24, Metric::L1);
    check("IVF64,Flat", 24, Metric::Linf);
}

#[test]
fn rows_on_the_border_of_two_lists_of_a_multi_index_go_where_faiss_puts_them_alone() {
    for (factory, dimension) in [("IMI2x3,Flat", 8), ("IMI2x4,SQ8", 24), ("IMI2x5,SQ8", 64), ("IMI2x5,PQ4x6np", 100)] {
        check(factory, dimension, Metric::L2);
    }
}

#[test]
fn rows_on_the_border_of_two_codes_get_what_faiss_gives_them_alone() {
    // From 16 components per sub-quantizer on, Faiss multiplies matrices.
    for (factory, dimension) in [
        ("PQ1x8np", 8),
        ("PQ4x8np", 100),
        ("PQ4x6np", 64),
        ("PQ1x10np", 24),
        ("PQ24x4np", 768),
        ("OPQ4,PQ4x6np", 64),
        ("IVF1,PQ4x8np", 64),
        ("IVF1,PQ5x4fs", 100),
        ("OPQ2_64,IVF1,PQ2x4fsr", 100),
    ] {
        check(factory, dimension, Metric::L2);
        check(factory, dimension, Metric::Ip);
    }
    check("IVF1,PQ2+4", 64, Metric::L2);
}

/// Equal centroids, rows far from the origin, and rows whose squared norms are about to overflow.
#[test]
fn unusual_rows_go_where_faiss_puts_them_alone() {
    for metric in [Metric::L2, Metric::Ip] {
        for (scale, shift) in [(0.0, 1.0), (1.0, 500.0), (1.0, 1e6), (1e-20, 0.0), (1.0e18, 0.0), (4.0e18, 0.0)] {
            let mut rows = Rows::new(1_000, 20);
            rows.vectors.iter_mut().for_each(|component| *component = *component * scale + shift);
            for factory in ["IVF100,Flat", "PQ1x5np"] {
                let family = Family::parse(factory, 20, metric, IdMap::Auto).unwrap();
                let trainer = trainer_for(&family, 20, metric);
                let workers = Workers::new(1, "t").unwrap();
                let trained = trainer.train(&rows.vectors, &workers, &Cancellation::default()).unwrap();
                let stock = FaissIndex::read(&trained).unwrap();
                let encoder = encoder_for(&trained, family.merge_plan()).unwrap();
                let together = encoded(encoder.as_ref(), &rows, 0, encoder.block_rows());
                assert!(together.iter().all(|(list, _)| *list >= 0), "{factory}, {metric:?}: {scale}, {shift}");
                let ours = as_stock(encoder.as_ref(), &together);
                assert!(ours == alone(&stock, &rows), "{factory}, {metric:?}: {scale}, {shift}");
            }
        }
    }
}

#[test]
fn a_build_of_rows_on_borders_does_not_depend_on_partitions_and_threads_and_equals_stock_faiss() {
    let training = Rows::new(4_000, 64);
    let mut reference = Vec::new();
    for (partitions, threads) in [(1, 1), (1, 2), (5, 1), (3, 2)] {
        let build = TestBuild { threads, ..TestBuild::new() };
        let spec = [("dimension", "64"), ("factoryString", "IVF1024,PQ1np"), ("sampleRate", "1"), ("seed", "3")];
        let spec = spec.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let uri = start_build(&spec, OUTPUT, &build.storages).unwrap();
        let samples = build.every(StageKind::Sample, &uri, &[], std::slice::from_ref(&training)).unwrap();
        let planned = plan_training(&uri, &samples).unwrap().build;
        let trained = build.task(StageKind::Train, &planned, &samples, 0, None).unwrap();
        let trained = std::slice::from_ref(&trained);
        let state = build.read(&Receipts::parse(trained).unwrap().trained().unwrap().uri);
        let mut stock = FaissIndex::read(&state).unwrap();
        let mut near = rows_on_borders(&stock, &training);
        // As many rows as were sampled.
        near.vectors.extend_from_slice(&training.vectors[near.vectors.len()..]);
        near.ids = (0..4_000).collect();
        let shards = build.every(StageKind::Encode, &planned, trained, &near.partitions(partitions)).unwrap();
        let merged = build.task(StageKind::Merge, &planned, &[trained, &shards].concat(), 0, None).unwrap();
        let Ok(Receipt::Merge(merged)) = serde_json::from_str(&merged) else { panic!("{merged}") };
        let index = build.read(&merged.uri);
        if reference.is_empty() {
            reference = stock.add_and_write(&near.ids, &near.vectors, 1, OuterIdMap::None).unwrap();
        }
        assert!(index == reference, "{partitions} partitions, {threads} threads");
    }
}
