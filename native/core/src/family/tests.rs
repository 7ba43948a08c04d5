use super::*;
use crate::error::ErrorKind;
use crate::faiss_index::{FaissIndex, FaissMetric};

const METRICS: [(&str, Metric); 5] =
    [("l2", Metric::L2), ("ip", Metric::Ip), ("cosine", Metric::Cosine), ("l1", Metric::L1), ("linf", Metric::Linf)];

fn parse(factory: &str, dimension: u64) -> Result<Family> {
    // The first metric that the family takes at all, so that tests of other things need not name it.
    let of = |metric| Family::parse(factory, dimension, metric, IdMap::Auto);
    of(Metric::L2).or_else(|error| of(Metric::Ip).map_err(|_| error))
}

fn message(factory: &str, dimension: u64, metric: Metric) -> String {
    let error = Family::parse(factory, dimension, metric, IdMap::Auto).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidSpec);
    assert!(error.to_string().contains(&format!("'{factory}'")), "{error}");
    error.to_string()
}

#[test]
fn every_family_has_its_plan_and_training_rows() {
    use MergePlan::{ByLists, ByPosition, SingleTask};
    for (factory, plan, needed, usable) in [
        ("Flat", ByPosition, 0, 0),
        ("SQ8", ByPosition, 1, 100_000),
        ("SQfp16", ByPosition, 0, 0),
        ("SQ8_direct_signed", ByPosition, 0, 0),
        ("PQ16", ByPosition, 256, 65_536),
        ("PQ16x8np", ByPosition, 256, 65_536),
        ("PQ16x12np", ByPosition, 4_096, 1_048_576),
        ("PQ48x4fs", ByPosition, 16, 4_096),
        ("PQ48x4fs_64", ByPosition, 16, 4_096),
        ("RQ4x8", ByPosition, 256, 65_536),
        ("RQ2x8_3x6_Nqint8", ByPosition, 256, 65_536),
        ("PRQ2x4x6_Nfloat", ByPosition, 64, 16_384),
        ("RQ8x4fs_Nrq2x4", ByPosition, 624, 4_096),
        ("PRQ2x4x4fs_32_Nlsq2x4", ByPosition, 624, 4_096),
        ("LSH", ByPosition, 0, 0),
        ("LSH128rt", ByPosition, 1, 100_000),
        ("RaBitQ", ByPosition, 1, 100_000),
        ("IVF4,Flat", ByLists, 4, 1_024),
        ("IVF1k,SQ8", ByLists, 1_024, 262_144),
        ("IVF1M,Flat", ByLists, 1 << 20, 1 << 28),
        ("IVF4,PQ16", ByLists, 256, 65_536),
        ("IVF4,PQ16+8", ByLists, 256, 256_000),
        ("IVF4,PQ16x4fsr_64", ByLists, 16, 4_096),
        ("IVF4,RQ4x4fsr_Nlsq2x4", ByLists, 624, 4_096),
        ("IVF4,PRQ2x2x4fsr", ByLists, 16, 4_096),
        ("IVF4,RaBitQ", ByLists, 4, 100_000),
        ("IVF64_HNSW32,PQ16", ByLists, 256, 65_536),
        ("IVF64_HNSW,Flat", ByLists, 64, 16_384),
        ("IVF1024_NSG16,Flat", ByLists, 1_024, 262_144),
        ("IMI2x5,Flat", ByLists, 32, 8_192),
        ("IVF16,ITQ32,SH", ByLists, 33, 32_768),
        ("IVF16,PCAR32,SH1.5g", ByLists, 33, 32_768),
        ("OPQ16,IVF4,PQ16np", ByLists, 256, 65_536),
        ("OPQ16_64,IVF4,PQ16", ByLists, 256, 65_536),
        ("PCA10,Flat", ByPosition, 11, 96_000),
        ("PCAWR32,L2norm,IVF4,SQ8", ByLists, 33, 100_000),
        ("RR128,Pad200,SQbf16", ByPosition, 0, 0),
        ("ITQ64,LSH", ByPosition, 65, 32_768),
        ("IVF4,Flat,RFlat", ByLists, 4, 1_024),
        ("IVF4,SQ4,Refine(PQ48)", ByLists, 256, 100_000),
        ("IDMap,PQ16", ByPosition, 256, 65_536),
        ("IDMap2,OPQ16,IVF4,PQ16,RFlat", ByLists, 256, 65_536),
        ("HNSW", SingleTask, 0, 0),
        ("HNSW32,Flat", SingleTask, 0, 0),
        ("HNSW32_SQ8", SingleTask, 1, 100_000),
        ("NSG,PQ16", SingleTask, 256, 65_536),
        ("PCA32,HNSW16,SQfp16,RFlat", SingleTask, 33, 96_000),
        ("LSQ4x4", SingleTask, 16, 16_384),
        ("PLSQ2x4x4fs_Nlsq2x4", SingleTask, 624, 16_384),
        ("IVF4,LSQ4x8", SingleTask, 256, 262_144),
        ("IVF4,PLSQ2x2x4,RFlat", SingleTask, 16, 8_192),
    ] {
        let family = parse(factory, 96).unwrap_or_else(|error| panic!("{error}"));
        let rows = family.training_rows();
        assert_eq!((family.merge_plan(), rows.needed, rows.usable), (plan, needed, usable), "{factory}");
        let faiss = FaissIndex::create(96, family.inner_factory_string(), FaissMetric::L2);
        let faiss = faiss.or_else(|_| FaissIndex::create(96, family.inner_factory_string(), FaissMetric::InnerProduct));
        assert_eq!(faiss.unwrap().shape().dimension, 96, "{factory}");
        assert!(rows.needed <= rows.usable && family.describe().contains(factory), "{factory}");
    }
}

#[test]
fn the_id_map_is_there_when_it_was_asked_for_or_cannot_be_left_out() {
    use OuterIdMap::{None, Plain, Reversible};
    for (factory, auto, always) in [
        ("Flat", Plain, Plain),
        ("IDMap2,Flat", Reversible, Reversible),
        ("HNSW32", Plain, Plain),
        ("IVF4,Flat", None, Plain),
        ("IDMap,IVF4,Flat", Plain, Plain),
        ("IVF4,Flat,IDMap", Plain, Plain),
        ("IVF4,Flat,IDMap2", Reversible, Reversible),
        ("IVF4,PQ8+8", Plain, Plain),
        ("IVF4,Flat,RFlat", Plain, Plain),
        ("OPQ8,IVF4,PQ8,Refine(SQ8)", Plain, Plain),
    ] {
        for (wanted, expected) in [(IdMap::Auto, auto), (IdMap::Always, always)] {
            let family = Family::parse(factory, 64, Metric::L2, wanted).unwrap();
            let labels = if expected == None { Labels::Ids } else { Labels::Positions };
            assert_eq!((family.id_map(), family.labels()), (expected, labels), "{factory} {wanted:?}");
            assert!(!family.inner_factory_string().contains("IDMap"), "{factory}");
        }
    }
}

#[test]
fn strings_that_cannot_be_built_are_refused_with_the_part_that_is_wrong() {
    for (factory, culprit) in [
        ("", "''"),
        ("Flatt", "'Flatt'"),
        ("flat", "'flat'"),
        (" Flat", "' Flat'"),
        ("PQ0", "'PQ0'"),
        ("PQ+8", "'PQ+8'"),
        ("PQ8x", "'PQ8x'"),
        ("PQ99999999999999999999", "'PQ99999999999999999999'"),
        ("PQ48", "multiple of 48"),
        ("PQ1000000000000", "multiple of 1000000000000"),
        ("PQ48x4fs", "multiple of 48"),
        ("PQ10x4fs_33", "32, 64, 96, 128 or 160"),
        ("PQ10x17", "from 1 to 16"),
        ("PQ10x12", "PQ10x12np"),
        ("PQ10x4fsr", "inverted lists only"),
        ("PQ10+10", "IVFn,PQ10+10"),
        ("IVF4,PQ48+10", "multiple of 48"),
        ("IVF0,Flat", "'IVF0'"),
        ("IVF4096", "'IVF4096'"),
        ("IVF4,", "'IVF4'"),
        ("IVF4,,Flat", "',Flat'"),
        ("IVF1000000000,Flat", "1000000000 lists are too many"),
        ("IVF99999999M,Flat", "lists are too many"),
        ("IVF4,LSH", "IVFn,ITQ,SH"),
        ("IVF4,SQ8_direct", "use SQ8"),
        ("IVF4,FlatDedup", "use IVFn,Flat"),
        ("IVF4(HNSW32),Flat", "IVFn_HNSWm"),
        ("IVF1023_NSG16,Flat", "at least 1024 lists"),
        ("IVF64_NSG,Flat", "'IVF64_NSG'"),
        ("IVF64_HNSW1,Flat", "from 2 to 1024"),
        ("IMI2x14,Flat", "268435456 lists"),
        ("IMI2x60,Flat", "too many"),
        ("OPQ7,IVF4,PQ10", "multiple of 7"),
        ("OPQ10_200,IVF4,PQ10", "into 200"),
        ("PCA200,Flat", "into 200"),
        ("ITQ101,Flat", "into 101"),
        ("Pad50,Flat", "only adds"),
        ("RR1000000,Flat", "more than 1 GB"),
        ("PCA10", "'PCA10'"),
        ("IVF4,OPQ10,PQ10", "'OPQ10,PQ10'"),
        ("A,OPQ10,IVF4,PQ10", "'A'"),
        ("Flat,Flat", "'Flat'"),
        ("LSH200", "use LSH200r"),
        ("LSH1000000r", "more than 1 GB"),
        ("RQ8x12", "32768 codewords"),
        ("PRQ3x2x8", "multiple of 3"),
        ("RQ3", "'RQ3'"),
        ("LSQ2x4_2x4", "'LSQ2x4_2x4'"),
        ("IVF4,ITQ,SH0", "'ITQ,SH0'"),
        ("IVF4,ITQ,SHe", "'ITQ,SHe'"),
        ("IVF4,ITQ200,SH", "into 200"),
        ("ITQ,SH", "inverted lists only"),
        ("HNSW1", "from 2 to 1024"),
        ("HNSW999999999", "from 2 to 1024"),
        ("HNSW32,RQ4x4", "Flat, SQ and PQ codes only"),
        ("HNSW32,PQ48", "multiple of 48"),
        ("HNSW32,2x8+PQ10", "use HNSWm,PQm"),
        ("HNSW32_SQ8,SQ8", "'SQ8'"),
        ("Residual64,PQ10", "use IVFn,PQm"),
        ("MinMaxFP16,SQ8", "use SQ8"),
        ("ZnLattice4x10_6", "leaves the codes out"),
        ("RQ4x5_Ncqint8", "use _Nqint8"),
        ("IVF4,PRQ2x2x4_Ncqint4", "use _Nqint8"),
        ("RQ4x4fs_Ncqint8", "use _Nqint8"),
        ("Flat,Refine(RQ4x4_Ncqint4)", "use _Nqint8"),
        ("RCQ2x4", "takes no rows"),
        ("LSCQ2x4", "takes no rows"),
        ("SVSVamana64", "SVS"),
        ("RaBitQfs", "1.12.0"),
        ("RaBitQ4", "1.12.0"),
        ("EDEN4", "1.12.0"),
        ("HR,RaBitQ", "1.12.0"),
        ("FlatL2Panorama8", "1.12.0"),
        ("BFlat", "binary"),
        ("BIVF64", "binary"),
        ("BHNSW32", "binary"),
        ("BHash8", "binary"),
        ("PCA10,IDMap,Flat", "stands once"),
        ("IDMap,IDMap,Flat", "stands once"),
        ("RFlat", "after the index that it refines"),
        ("Flat,RFlat,RFlat", "one refinement"),
        ("Flat,Refine(IVF4,Flat)", "'IVF4,Flat'"),
        ("Flat,Refine(LSH)", "Refine(…) takes"),
        ("Flat,Refine(PQ48)", "multiple of 48"),
        ("Flat,Refine(SQ8", "'Refine(SQ8'"),
        ("IVF4,PQ10+10,RFlat", "refines already"),
    ] {
        let message = message(factory, 100, Metric::L2);
        assert!(message.contains(culprit), "{factory}: {message}");
    }
}

#[test]
fn each_family_takes_the_metrics_that_faiss_answers_rightly_and_names_them_to_others() {
    let products = ["l2", "ip", "cosine"];
    for (factory, allowed) in [
        ("Flat", &["l2", "ip", "cosine", "l1", "linf"][..]),
        ("IVF4,Flat", &["l2", "ip", "cosine", "l1", "linf"]),
        ("HNSW32", &["l2", "ip", "cosine", "l1", "linf"]),
        ("Pad128,IVF4,Flat", &["l2", "ip", "cosine", "l1", "linf"]),
        ("L2norm,Flat", &["l2", "ip", "cosine", "l1", "linf"]),
        ("PCA32,Flat", &products),
        ("OPQ8,Flat", &products),
        ("SQ8", &products),
        ("SQ8_direct", &["l2", "ip"]),
        ("PQ8", &products),
        ("PQ8x4fs", &products),
        ("IVF4,SQ8", &products),
        ("IVF4,PQ8", &products),
        ("IVF4,PQ8x4fs", &products),
        ("IVF64_HNSW32,Flat", &products),
        ("RaBitQ", &products),
        ("IVF4,RaBitQ", &products),
        ("RQ4x4", &products),
        ("RQ4x4_Nqint8", &products),
        ("RQ4x4_Nnone", &["ip", "cosine"]),
        ("RQ4x4fs", &["ip", "cosine"]),
        ("IVF4,PRQ2x2x4fs_Nnone", &["ip", "cosine"]),
        ("RQ4x4fs_Nrq2x4", &["l2"]),
        ("IMI2x4,Flat", &["l2"]),
        ("LSH", &["l2"]),
        ("IVF4,ITQ,SH", &["l2"]),
        ("IVF4,PQ8+8", &["l2"]),
        ("HNSW32,PQ8", &["l2"]),
        ("HNSW32,SQ8", &products),
        ("NSG32", &products),
        ("Flat,RFlat", &products),
        ("IVF4,Flat,Refine(SQ8)", &products),
        ("LSH,RFlat", &["l2"]),
    ] {
        for (name, metric) in METRICS {
            let family = Family::parse(factory, 64, metric, IdMap::Auto);
            assert_eq!(family.is_ok(), allowed.contains(&name), "{factory} {name}");
            assert_eq!(Family::check_syntax(factory, metric).is_ok(), allowed.contains(&name), "{factory} {name}");
            if let Err(error) = family {
                let (error, allowed) = (error.to_string(), format!("allowed: {}", allowed.join(", ")));
                assert!(error.contains(&format!("metric={name}")) && error.ends_with(&allowed), "{error}");
            }
        }
    }
    assert!(message("RQ4x4fs_Nfloat", 64, Metric::L2).ends_with("allowed: none"));
}

#[test]
fn no_string_near_the_grammar_makes_the_parser_fail_otherwise_than_with_an_error() {
    let parts =
        ["IVF", "PQ", "RQ", "4", "x", "x4fs", "_", ",", "(", ")", "Refine", "SH", "-", "ö", "99999999999999999999"];
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(parts[usize::try_from(state >> 33).unwrap() % parts.len()]);
        }
        if let Err(error) = Family::parse(&text, 16, Metric::L2, IdMap::Auto) {
            assert_eq!(error.kind(), ErrorKind::InvalidSpec);
        }
    }
}

#[test]
fn the_chosen_string_can_be_built_for_every_size_and_metric() {
    for (_, metric) in METRICS {
        for dimension in [1, 2, 31, 96, 97, 100, 128, 192, 768, 1536, 16_384, 16_448, 32_771, 65_536, 1 << 20] {
            for rows in [1, 19, 255, 256, 9_999, 10_000, 50_000, 1_000_000, 10_000_000_000] {
                for rule in [FamilyRule::Auto, FamilyRule::Pq48] {
                    let (factory, _) = rule.choose(rows, dimension, metric);
                    let family = Family::parse(&factory, dimension, metric, IdMap::Auto).unwrap();
                    assert!(family.training_rows().needed <= rows, "{factory} for {rows} rows");
                }
            }
        }
    }
}
