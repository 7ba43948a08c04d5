//! Every family that is built, by example: each branch of the grammar of factory strings at least once, each with all
//! metrics that it takes. What is in this list is judged against stock Faiss; what is not built is in
//! `family/refused.rs`.

use crate::family::Family;
use crate::spec::{IdMap, Metric};
use crate::test_builds::Rows;
use crate::vectors::RowFilter;

pub(crate) const DIMENSION: usize = 32;
/// More than one block of the encoder, and no whole number of any packing's blocks.
const ROWS: usize = 1_100;
/// NSG takes long, and links these rows as it does more.
const ROWS_OF_NSG: usize = 300;

/// Metrics, and families that take these and no others.
pub(crate) type Group = (&'static [Metric], &'static [&'static str]);

pub(crate) const EVERY_METRIC: [Metric; 5] = [Metric::L2, Metric::Ip, Metric::Cosine, Metric::L1, Metric::Linf];
const ALL: &[Metric] = &EVERY_METRIC;
const L2_AND_PRODUCTS: &[Metric] = &[Metric::L2, Metric::Ip, Metric::Cosine];
const PRODUCTS: &[Metric] = &[Metric::Ip, Metric::Cosine];
const L2_AND_IP: &[Metric] = &[Metric::L2, Metric::Ip];
const L2: &[Metric] = &[Metric::L2];

/// Codes in one sequence. `np` and few bits leave out the polysemous order, or make it short: it takes seconds for a
/// sub-quantizer of 8 bits.
pub(crate) const CODES: &[Group] = &[
    (ALL, &["Flat"]),
    (L2_AND_PRODUCTS, &["SQ4", "SQ6", "SQ8", "SQfp16", "SQbf16", "RaBitQ"]),
    (L2_AND_PRODUCTS, &["PQ4np", "PQ8x4np", "PQ2x9np", "PQ1x2"]),
    (L2_AND_PRODUCTS, &["PQ8x4fs", "PQ1x4fs", "PQ8x4fs_64"]),
    (L2_AND_IP, &["SQ8_direct", "SQ8_direct_signed"]),
    (L2, &["LSH", "LSH16", "LSH64r", "LSH24rt", "LSHt"]),
];

/// Codes that are sums of codewords, without and with lists.
pub(crate) const SUMS: &[Group] = &[
    (L2_AND_PRODUCTS, &["RQ3x4", "RQ1x6_2x3", "RQ3x4_Nfloat", "RQ3x4_Nqint8", "RQ3x4_Nqint4"]),
    (L2_AND_PRODUCTS, &["RQ3x4_Nlsq2x4", "RQ3x4_Nrq2x4", "PRQ4x2x4", "PRQ2x2x4_Nqint8"]),
    (PRODUCTS, &["RQ3x4_Nnone", "PRQ2x2x4_Nnone", "RQ3x4fs", "RQ3x4fs_Nnone", "PRQ4x2x4fs_64"]),
    (L2, &["RQ3x4fs_Nrq2x4", "PRQ4x2x4fs_64_Nlsq2x4"]),
    (L2_AND_PRODUCTS, &["IVF8,RQ3x4", "IVF8,RQ3x4_Nqint8", "IVF8,PRQ4x2x4"]),
    (PRODUCTS, &["IVF8,RQ3x4_Nnone", "IVF8,RQ3x4fs", "IVF8,RQ3x4fsr", "IVF8,PRQ4x2x4fs_Nnone"]),
    (L2, &["IVF8,RQ3x4fs_Nlsq2x4", "IVF8,RQ3x4fsr_Nrq2x4", "IVF8,PRQ4x2x4fs_Nrq2x4"]),
];

/// Sums of codewords that are searched for by one task.
pub(crate) const LOCAL_SEARCHES: &[Group] = &[
    (L2_AND_PRODUCTS, &["LSQ2x3", "PLSQ2x1x3_Nqint8", "IVF4,LSQ2x3", "IVF4,PLSQ2x1x3", "LSQ2x3,RFlat"]),
    (PRODUCTS, &["LSQ2x4fs", "LSQ2x3_Nnone", "IVF4,LSQ2x4fs", "IVF4,PLSQ2x1x4fsr"]),
    (L2, &["LSQ2x4fs_Nlsq2x4", "PLSQ2x1x4fs_Nrq2x4", "IVF4,LSQ2x4fsr_Nrq2x4"]),
];

/// Inverted lists: every code, every way to find the list.
pub(crate) const LISTS: &[Group] = &[
    (ALL, &["IVF16,Flat", "IVF1,Flat"]),
    (L2_AND_PRODUCTS, &["IVF16,SQ4", "IVF16,SQ6", "IVF16,SQ8", "IVF16,SQfp16", "IVF16,SQbf16", "IVF16,RaBitQ"]),
    (L2_AND_PRODUCTS, &["IVF16,PQ4np", "IVF16,PQ8x5np", "IVF16,PQ2x9np", "IVF16,PQ1x2"]),
    (L2_AND_PRODUCTS, &["IVF16,PQ8x4fs", "IVF16,PQ8x4fsr", "IVF3,PQ16x4fs_96", "IVF16,PQ1x4fsr_64"]),
    (L2_AND_PRODUCTS, &["IVF100_HNSW8,Flat", "IVF32_HNSW,PQ8x4np", "IVF1024_NSG8,SQ8", "IVF32_HNSW4,PQ8x4fs"]),
    (L2, &["IMI2x3,Flat", "IMI2x4,PQ4np", "IMI2x4,SQ8", "IMI2x3,PQ8x4fs", "IMI2x3,RaBitQ"]),
    (L2, &["IVF16,PQ4+8", "IVF1k,PQ2+1", "IMI2x2,RQ3x4"]),
    (L2, &["IVF16,ITQ,SH", "IVF16,ITQ16,SH1.5g", "IVF16,PCAR8,SH2c", "IVF16,PCA16,SH-1e5m"]),
];

/// What rows go through first.
pub(crate) const TRANSFORMS: &[Group] = &[
    (ALL, &["L2norm,Flat", "Pad40,Flat", "Pad36,L2norm,IVF8,Flat"]),
    (L2_AND_PRODUCTS, &["PCA16,Flat", "PCAR16,IVF16,SQ8", "PCAW16,PQ4np", "PCAWR8,RaBitQ"]),
    (L2_AND_PRODUCTS, &["RR,SQ8", "RR16,SQfp16", "RR48,PQ8x4fs", "ITQ,Flat", "ITQ16,IVF16,Flat"]),
    (L2_AND_PRODUCTS, &["OPQ4_16,IVF16,PQ4x5np", "OPQ8,PQ8x4fs", "OPQ4,IVF16_HNSW8,PQ4x4fsr"]),
    (L2_AND_PRODUCTS, &["L2norm,PCAW16,L2Norm,IVF16,Flat", "Pad40,RR24,PCA16,ITQ8,SQ6"]),
    (L2, &["ITQ24,LSH", "PCA16,IMI2x3,PQ4np", "PCA16,IVF16,PQ4+4", "RR16,IVF16,ITQ8,SH"]),
];

/// A second index over the same rows refines what the first finds.
pub(crate) const REFINED: &[Group] = &[
    (L2_AND_PRODUCTS, &["PQ8x4fs,RFlat", "SQ4,Refine(SQ8)", "PQ4np,Refine(PQ8x6np)", "Flat,Refine(Flat)"]),
    (L2_AND_PRODUCTS, &["IVF16,PQ4np,RFlat", "IVF16,PQ8x4fs,Refine(SQfp16)", "OPQ4_16,IVF16,PQ4x5np,Refine(SQ8)"]),
    (L2_AND_PRODUCTS, &["PCA8,IVF16,SQ8,Refine(RQ3x4)", "IVF16,RaBitQ,RFlat", "IVF16,SQ4,Refine(PRQ4x2x4)"]),
    (L2_AND_PRODUCTS, &["RQ3x4_Nqint8,RFlat"]),
    (PRODUCTS, &["IVF8,RQ3x4fsr,Refine(SQ8)"]),
    (L2, &["LSH64r,RFlat", "IMI2x3,PQ4np,Refine(SQ6)", "IVF16,ITQ,SH,RFlat"]),
];

/// An id map that the string asks for.
pub(crate) const ID_MAPS: &[Group] = &[
    (ALL, &["IDMap,Flat", "Flat,IDMap2", "IVF16,Flat,IDMap"]),
    (L2_AND_PRODUCTS, &["IDMap2,IVF16,PQ8x4fs", "PCA16,IVF16,PQ4np,RFlat,IDMap2", "IDMap,IVF16,SQ8"]),
    (L2_AND_PRODUCTS, &["IDMap,HNSW8,SQ8", "NSG8,SQ8,IDMap2"]),
];

/// Graphs, which one task builds.
pub(crate) const GRAPHS: &[Group] = &[
    (ALL, &["HNSW", "HNSW8,Flat"]),
    (L2_AND_PRODUCTS, &["HNSW8,SQ4", "HNSW8,SQ6", "HNSW8_SQ8", "HNSW8,SQfp16", "HNSW8,SQbf16"]),
    (L2_AND_PRODUCTS, &["NSG16", "NSG8,Flat", "NSG8_SQ8"]),
    (L2_AND_PRODUCTS, &["PCA16,HNSW8,SQ8", "OPQ4_16,HNSW8,SQfp16", "HNSW8,SQ8,RFlat", "L2norm,NSG8,Refine(SQ8)"]),
    (L2_AND_IP, &["HNSW8,SQ8_direct", "HNSW8,SQ8_direct_signed"]),
    (L2, &["NSG8,PQ4x4np", "HNSW8,PQ4np", "HNSW8_PQ1x2", "PCA16,HNSW8,PQ4x6np,Refine(SQ8)"]),
];

/// The pairs of families and metrics in `groups`.
pub(crate) fn pairs(groups: &[Group]) -> impl Iterator<Item = (&'static str, Metric)> {
    groups.iter().flat_map(|(metrics, families)| {
        families.iter().flat_map(|family| metrics.iter().map(|metric| (*family, *metric)))
    })
}

pub(crate) fn parse(family: &str, metric: Metric, id_map: IdMap) -> crate::Result<Family> {
    Family::parse(family, DIMENSION as u64, metric, id_map)
}

/// The choices of `idMap` that make different files of a family: where the id map is there anyway, asking for it
/// changes nothing.
pub(crate) fn id_maps(family: &str, metric: Metric) -> Vec<IdMap> {
    let around = |id_map| parse(family, metric, id_map).unwrap().id_map();
    let is_there = around(IdMap::Auto) == around(IdMap::Always);
    if is_there { vec![IdMap::Auto] } else { vec![IdMap::Auto, IdMap::Always] }
}

/// The word for it in a spec.
pub(crate) fn word<T: serde::Serialize>(choice: T) -> String {
    serde_json::to_value(choice).unwrap().as_str().unwrap().to_owned()
}

/// Rows that `family` can tell apart, in no order.
pub(crate) fn rows_for(family: &str) -> Rows {
    let is_nsg = family.contains("NSG") && !family.contains("IVF");
    let mut rows = Rows::new(if is_nsg { ROWS_OF_NSG } else { ROWS }, DIMENSION);
    // These store the component itself as one byte.
    let shift = match family {
        _ if family.contains("SQ8_direct_signed") => 0.0,
        _ if family.contains("SQ8_direct") => 128.0,
        _ => return rows,
    };
    for component in &mut rows.vectors {
        *component = (*component * 90.0).round() + shift;
    }
    rows
}

/// `rows` in the order of their ids, as an index of `metric` sees them.
pub(crate) fn as_indexed(rows: &Rows, metric: Metric) -> Rows {
    let ordered = rows.in_id_order();
    let mut seen = Rows { vectors: Vec::new(), ..ordered.clone() };
    RowFilter::new(rows.dimension, metric)
        .each(&ordered.ids, &ordered.vectors, |_, row| {
            seen.vectors.extend_from_slice(row);
            Ok(())
        })
        .unwrap();
    seen
}

#[test]
fn families_take_the_metrics_of_their_group_and_no_others() {
    for groups in [CODES, SUMS, LOCAL_SEARCHES, LISTS, TRANSFORMS, REFINED, ID_MAPS, GRAPHS] {
        for (metrics, families) in groups {
            for family in *families {
                let takes = EVERY_METRIC.into_iter().filter(|metric| parse(family, *metric, IdMap::Auto).is_ok());
                assert_eq!(takes.collect::<Vec<_>>(), *metrics, "{family}");
            }
        }
    }
}
