//! The pieces of each layout, filled in memory and packed in parts, against the file that stock Faiss writes for the
//! same trained index and all rows in id order; stock_faiss_tests.rs has whole builds of every family.

use crate::cancellation::Cancellation;
use crate::faiss_index::{FaissIndex, FaissMetric, OuterIdMap};
use crate::family::{Family, MergePlan};
use crate::index_layout::{CodePart, FilePiece, Labels, ListFormat, RowPacking};
use crate::index_template::{index_pieces, list_block_header, packed_list_block_header};
use crate::quantization::{Trainer, encoder_for, trainer_for};
use crate::spec::{IdMap, Metric};
use crate::supported_families::{DIMENSION, EVERY_METRIC, as_indexed};
use crate::test_builds::Rows;
use crate::workers::Workers;

const ROWS: usize = 2_500;

/// All rows as a merge would hold them, in id order.
struct Encoded {
    ids: Vec<i64>,
    lists: Vec<i64>,
    nlist: u64,
    first: Vec<u8>,
    second: Vec<u8>,
    code_size: usize,
}

impl Encoded {
    fn new(trained: &[u8], plan: MergePlan, rows: &Rows) -> Self {
        let encoder = encoder_for(trained, plan).unwrap();
        let shape = encoder.shape();
        let (code_size, row_bytes) = (shape.code_size as usize, shape.row_bytes() as usize);
        let mut encoded = Self {
            ids: rows.ids.clone(),
            lists: Vec::new(),
            nlist: shape.nlist,
            first: vec![],
            second: vec![],
            code_size,
        };
        // Blocks of another size than the encoder's own, the last one not full.
        let block = encoder.block_rows() - 5;
        for vectors in rows.vectors.chunks(block * rows.dimension) {
            let count = vectors.len() / rows.dimension;
            let (mut lists, mut codes) = (vec![0; count], vec![0; count * row_bytes]);
            encoder.encode(vectors, &mut lists, &mut codes, &Cancellation::default()).unwrap();
            encoded.lists.extend(lists);
            for code in codes.chunks(row_bytes) {
                encoded.first.extend_from_slice(&code[..code_size]);
                encoded.second.extend_from_slice(&code[code_size..]);
            }
        }
        encoded
    }

    fn file(&self, pieces: &[FilePiece]) -> Vec<u8> {
        let mut file = Vec::new();
        for piece in pieces {
            match piece {
                FilePiece::Bytes(bytes) => file.extend_from_slice(bytes),
                FilePiece::Lists { format, labels } => self.write_lists(format, *labels, &mut file),
                FilePiece::Codes { part, unit_bytes, packing } => {
                    let codes = if *part == CodePart::First { &self.first } else { &self.second };
                    let codes = packing.as_ref().map_or(codes.clone(), |packing| self.packed(codes, packing.as_ref()));
                    file.extend_from_slice(&(codes.len() as u64 / unit_bytes).to_le_bytes());
                    file.extend_from_slice(&codes);
                }
                FilePiece::IdMap => {
                    file.extend_from_slice(&(self.ids.len() as u64).to_le_bytes());
                    file.extend(self.ids.iter().flat_map(|id| id.to_le_bytes()));
                }
            }
        }
        file
    }

    fn write_lists(&self, format: &ListFormat, labels: Labels, file: &mut Vec<u8>) {
        let mut members = vec![Vec::new(); self.nlist as usize];
        for (row, list) in self.lists.iter().enumerate() {
            members[*list as usize].push(row);
        }
        let sizes: Vec<u64> = members.iter().map(|rows| rows.len() as u64).collect();
        match format {
            ListFormat::Array => file.extend(list_block_header(self.nlist, self.code_size as u64, &sizes)),
            ListFormat::Blocks(packing) => file.extend(packed_list_block_header(self.nlist, packing.as_ref())),
        }
        for rows in members {
            let codes: Vec<u8> = rows.iter().flat_map(|row| self.first_code(*row).to_vec()).collect();
            let label = |row: &usize| if labels == Labels::Ids { self.ids[*row] } else { *row as i64 };
            let labels: Vec<u8> = rows.iter().flat_map(|row| label(row).to_le_bytes()).collect();
            match format {
                ListFormat::Array => file.extend([codes, labels].concat()),
                ListFormat::Blocks(packing) => {
                    let packed = self.packed(&codes, packing.as_ref());
                    file.extend_from_slice(&(rows.len() as u64).to_le_bytes());
                    file.extend(labels);
                    file.extend_from_slice(&(packed.len() as u64).to_le_bytes());
                    file.extend(packed);
                }
            }
        }
    }

    fn first_code(&self, row: usize) -> &[u8] {
        &self.first[row * self.code_size..(row + 1) * self.code_size]
    }

    /// Packs in two calls, as a merge of bounded memory does.
    fn packed(&self, codes: &[u8], packing: &dyn RowPacking) -> Vec<u8> {
        let rows = codes.len() / self.code_size;
        let whole = rows / 2 / packing.rows_per_block() as usize * packing.rows_per_block() as usize;
        let mut packed = Vec::new();
        for range in [0..whole, whole..rows] {
            let blocks = (range.len() as u64).div_ceil(packing.rows_per_block());
            // What is left over from other blocks must not show.
            let mut part = vec![0xAA; (blocks * packing.block_bytes()) as usize];
            let bytes = range.start * self.code_size..range.end * self.code_size;
            packing.pack(&codes[bytes], range.len(), &mut part).unwrap();
            packed.extend(part);
        }
        packed
    }
}

fn rows_for(metric: Metric) -> Rows {
    as_indexed(&Rows::new(ROWS, DIMENSION), metric)
}

fn check(factory: &str, metric: Metric, rows_per_call: usize) -> Vec<String> {
    let mut different = Vec::new();
    let rows = rows_for(metric);
    let inner = Family::parse(factory, DIMENSION as u64, metric, IdMap::Auto).unwrap();
    let trainer = trainer_for(&inner, DIMENSION as u64, metric);
    let sample = &rows.vectors[..inner.training_rows().needed.max(1_000).min(ROWS as u64) as usize * DIMENSION];
    let trained = trainer.train(sample, &Workers::new(2, "train").unwrap(), &Cancellation::default()).unwrap();
    for id_map in [IdMap::Auto, IdMap::Always] {
        let family = Family::parse(factory, DIMENSION as u64, metric, id_map).unwrap();
        let encoded = Encoded::new(&trained, family.merge_plan(), &rows);
        let ours = encoded.file(&index_pieces(&trained, &family, ROWS as u64).unwrap());
        let mut stock = FaissIndex::read(&trained).unwrap();
        let expected = stock.add_and_write(&rows.ids, &rows.vectors, rows_per_call as i64, family.id_map()).unwrap();
        if ours != expected {
            let same = ours.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            let (ours, theirs) = (ours.len(), expected.len());
            different
                .push(format!("{factory} {metric:?} {id_map:?}: {ours} and {theirs} bytes, the same up to {same}"));
        }
    }
    different
}

/// Checks every factory string under every metric that it takes, with Faiss adding all rows in one call; returns how
/// many pairs that was.
fn check_all(factories: &[&str]) -> usize {
    check_in_calls_of(ROWS, factories)
}

/// As [`check_all`], with Faiss adding the rows one by one. In a call of more rows, the last bits of products of
/// matrices depend on a row's place in it (encode_shim.cpp), so what Faiss writes depends on how it is called. That
/// shows where components are stored as they are and where near-equal candidates are common.
fn check_one_by_one(factories: &[&str]) -> usize {
    check_in_calls_of(1, factories)
}

fn check_in_calls_of(rows_per_call: usize, factories: &[&str]) -> usize {
    let (mut checked, mut different) = (0, Vec::new());
    for factory in factories {
        for metric in EVERY_METRIC {
            if Family::parse(factory, DIMENSION as u64, metric, IdMap::Auto).is_ok() {
                different.extend(check(factory, metric, rows_per_call));
                checked += 1;
            }
        }
    }
    assert!(different.is_empty(), "{different:#?}");
    checked
}

#[test]
fn codes_in_one_sequence_equal_stock_faiss() {
    let plain = ["Flat", "SQ4", "SQ6", "SQ8", "SQfp16", "SQbf16", "PQ4np", "PQ8x4np", "PQ4x10np", "RaBitQ"];
    assert_eq!(check_all(&plain), 5 + 9 * 3);
    assert_eq!(check_all(&["SQ8_direct", "SQ8_direct_signed"]), 2 * 2);
    assert_eq!(check_one_by_one(&["LSH", "LSH16", "LSH64r", "LSH24rt", "LSHt"]), 5);
}

#[test]
fn fast_scan_equals_stock_faiss() {
    let all_metrics = ["PQ8x4fs", "PQ1x4fs", "PQ8x4fs_64", "IVF16,PQ8x4fs", "IVF16,PQ8x4fsr", "IVF3,PQ16x4fs_96"];
    assert_eq!(check_all(&all_metrics), 6 * 3);
    let products = ["RQ3x4fs", "PRQ4x2x4fs", "IVF8,RQ3x4fs", "IVF8,RQ3x4fsr", "IVF8,PRQ4x2x4fs_Nnone"];
    assert_eq!(check_one_by_one(&products), 5 * 2);
    let l2 = ["RQ3x4fs_Nrq2x4", "PRQ4x2x4fs_64_Nlsq2x4", "IVF8,RQ3x4fsr_Nrq2x4", "IVF8,PRQ4x2x4fs_Nrq2x4"];
    assert_eq!(check_one_by_one(&l2), 4);
}

#[test]
fn inverted_lists_equal_stock_faiss() {
    let plain =
        ["IVF16,Flat", "IVF16,SQ4", "IVF16,SQ8", "IVF16,SQfp16", "IVF16,PQ4np", "IVF16,PQ8x5np", "IVF16,RaBitQ"];
    assert_eq!(check_all(&plain), 5 + 6 * 3);
    let coarse = ["IVF100_HNSW8,Flat", "IVF32_HNSW,PQ8x4np", "IVF1024_NSG16,SQ8", "IVF1,Flat"];
    assert_eq!(check_all(&coarse), 3 * 3 + 5);
    assert_eq!(check_all(&["IMI2x3,Flat", "IMI2x4,PQ4np", "IMI2x4,SQ8", "IMI2x3,PQ8x4fs"]), 4);
    assert_eq!(check_one_by_one(&["IVF16,ITQ,SH", "IVF16,ITQ16,SH1.5g", "IVF16,PCAR8,SH2c", "IVF16,PCA16,SH-1e5m"]), 4);
}

#[test]
fn training_equals_what_stock_faiss_trains() {
    let rows = Rows::new(1_100, 16);
    // The polysemous order of few bits takes fractions of a second.
    for factory in [
        "PQ1x4",
        "IVF4,PQ2x3",
        "HNSW8,PQ2x4",
        "NSG8_PQ2x3",
        "NSG8,SQ8",
        "PCAWR8,L2norm,RR8,ITQ4,IVF8_HNSW8,SQ8",
        "IVF1024_NSG8,PQ4x4fsr",
        "IMI2x3,PQ1+4",
        "LSQ3x4",
        "PLSQ2x2x4_Nqint8",
        "LSQ3x4fs_Nlsq2x4",
        "IVF4,RQ3x4fsr_Nrq2x4",
        "IVF4,PCAR8,SH2m",
        "OPQ4,IVF8,PQ4x4fs,Refine(PQ8x4np)",
        "RaBitQ,Refine(SQ6)",
        "LSH32rt",
    ] {
        let mut ours = FaissIndex::create(16, factory, FaissMetric::L2).unwrap();
        ours.train(&rows.vectors, &Workers::new(2, "train").unwrap(), &Cancellation::default()).unwrap();
        let mut stock = FaissIndex::create(16, factory, FaissMetric::L2).unwrap();
        stock.train_alone(&rows.vectors).unwrap();
        assert!(ours.write().unwrap() == stock.write().unwrap(), "{factory}");
    }
}

#[test]
fn whatever_is_accepted_can_be_made_by_faiss() {
    let transforms = ["", "PCAR8,", "OPQ4_8,", "RR32,L2norm,", "Pad20,", "ITQ,"];
    let coarse = ["", "IVF4,", "IVF4_HNSW8,", "IVF1024_NSG8,", "IMI2x2,", "HNSW8,", "NSG8_"];
    let codes = [
        "Flat",
        "SQ4",
        "SQbf16",
        "SQ8_direct",
        "PQ4x5",
        "PQ4x4fs",
        "PQ4x4fsr_64",
        "PQ4+2",
        "RQ2x3_1x2_Nqint4",
        "LSQ3x2",
        "PRQ2x2x3",
        "RQ2x4fs",
        "PLSQ2x1x4fsr_Nrq2x4",
        "LSH",
        "LSH40rt",
        "RaBitQ",
        "ITQ4,SH2g",
    ];
    let ends = ["", ",RFlat", ",Refine(RQ2x2)", ",IDMap2"];
    let mut accepted = 0;
    for [transform, coarse, codes, end] in transforms.iter().flat_map(|transform| {
        let of_codes = move |coarse| codes.into_iter().map(move |codes| [*transform, coarse, codes]);
        coarse.into_iter().flat_map(of_codes).flat_map(|[a, b, c]| ends.map(|end| [a, b, c, end]))
    }) {
        let factory = format!("{transform}{coarse}{codes}{end}");
        for (metric, faiss) in [(Metric::L2, FaissMetric::L2), (Metric::Ip, FaissMetric::InnerProduct)] {
            let Ok(family) = Family::parse(&factory, 16, metric, IdMap::Auto) else { continue };
            let shape = FaissIndex::create(16, family.inner_factory_string(), faiss).unwrap().shape();
            assert!(family.merge_plan() != MergePlan::ByLists || shape.nlist > 0, "{factory}");
            assert!(family.merge_plan() != MergePlan::ByPosition || shape.nlist == 0, "{factory}");
            accepted += 1;
        }
    }
    assert!(accepted > 1_000, "{accepted}");
}

#[test]
fn families_of_a_single_task_keep_their_rows_as_they_are() {
    let rows = rows_for(Metric::Cosine);
    for factory in ["HNSW16", "PCA16,NSG16", "LSQ3x4", "IVF8,LSQ3x4,RFlat", "HNSW8,SQ8,RFlat"] {
        let family = Family::parse(factory, DIMENSION as u64, Metric::Cosine, IdMap::Auto).unwrap();
        assert_eq!((family.merge_plan(), family.id_map()), (MergePlan::SingleTask, OuterIdMap::Plain), "{factory}");
        let trainer = trainer_for(&family, DIMENSION as u64, Metric::Cosine);
        let workers = Workers::new(1, "train").unwrap();
        let trained = trainer.train(&rows.vectors, &workers, &Cancellation::default()).unwrap();
        let encoded = Encoded::new(&trained, family.merge_plan(), &rows);
        let expected: Vec<u8> = rows.vectors.iter().flat_map(|component| component.to_le_bytes()).collect();
        assert!(encoded.first == expected && encoded.second.is_empty() && encoded.nlist == 0, "{factory}");
        let error = index_pieces(&trained, &family, ROWS as u64).unwrap_err().to_string();
        assert!(error.contains(factory) && error.contains("one piece"), "{error}");
    }
}
