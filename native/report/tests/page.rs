//! The page that data of every completeness gives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use faiss_indexer_report::{
    LeftOutRows, ListSizeBin, ListSizes, Recall, RecallPoint, ReportData, StageFigures, render,
};

fn sample() -> ReportData {
    let point = |value, at_1, at_10, seconds| RecallPoint {
        value: Some(value),
        at_1: Some(at_1),
        at_10: Some(at_10),
        seconds_per_query: Some(seconds),
    };
    let histogram = [3, 18, 60, 190, 420, 640, 810, 720, 510, 330, 190, 100, 55, 28, 12, 6, 3, 1];
    let bins = (0..).zip(histogram).map(|(bin, lists)| ListSizeBin { from: bin * 50, to: (bin + 1) * 50, lists });
    let stage = |name: &str, seconds, mebibytes: u64| StageFigures {
        name: name.to_owned(),
        seconds,
        peak_bytes: Some(mebibytes << 20),
    };
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    ReportData {
        factory_string: "OPQ48,IVF4096,PQ48".to_owned(),
        metric: "cosine".to_owned(),
        dimension: 192,
        rows: 1_405_211,
        bytes: 82_345_678,
        training_rows: Some(159_744),
        recall: Some(Recall {
            setting: Some("nprobe".to_owned()),
            queries: 200,
            points: vec![
                point(1, 0.365, 0.312, 0.000_061),
                point(2, 0.51, 0.443, 0.000_078),
                point(4, 0.625, 0.564, 0.000_112),
                point(8, 0.705, 0.661, 0.000_18),
                point(16, 0.755, 0.732, 0.000_31),
                point(32, 0.78, 0.771, 0.000_58),
                point(64, 0.79, 0.79, 0.001_1),
                point(128, 0.795, 0.797, 0.002_2),
                point(256, 0.795, 0.8, 0.004_3),
                point(512, 0.795, 0.801, 0.008_5),
                point(1024, 0.795, 0.8015, 0.016_9),
                point(2048, 0.795, 0.8015, 0.033_6),
                point(4096, 0.795, 0.8015, 0.067),
            ],
            suggested: Some(128),
        }),
        lists: Some(ListSizes {
            lists: 4096,
            empty: 0,
            smallest: 31,
            median: 334,
            percentile99: 690,
            largest: 871,
            imbalance: 1.14,
            histogram: bins.collect(),
        }),
        stages: vec![
            stage("sample", 21.4, 412),
            stage("train", 183.2, 1_210),
            stage("encode", 64.9, 1_388),
            stage("merge", 1.82, 1_388),
            stage("evaluate", 12.2, 1_388),
        ],
        left_out: vec![
            LeftOutRows {
                reason: "with NaN or an infinite number".into(),
                rows: 1_204,
                first_ids: vec![-7, 12, 90_001],
            },
            LeftOutRows { reason: "without an embedding".into(), rows: 3, first_ids: vec![44] },
            LeftOutRows { reason: "without an id".into(), rows: 2, first_ids: vec![] },
        ],
        spec: [
            ("factoryString", "OPQ48,IVF4096,PQ48"),
            ("metric", "cosine"),
            ("sampleRate", "0.05"),
            ("seed", "1234"),
            ("memoryLimit", "256.0 MiB"),
            ("badRows", "skip"),
            ("duplicateIds", "fail"),
        ]
        .map(pair)
        .to_vec(),
        identity: [
            ("Fingerprint", "5c3f0a71f2b1d2a3e4c5b6a7980f1e2d3c4b5a69788796a5b4c3d2e1f0a1b2c3"),
            ("CRC-32C of faiss.index", "1a2b3c4d"),
            ("faiss-indexer", "0.1.0"),
            ("Faiss", "1.12.0"),
        ]
        .map(pair)
        .to_vec(),
        notes: vec![],
    }
}

/// Data of which little is known.
fn bare() -> ReportData {
    ReportData { factory_string: "Flat".into(), metric: "l2".into(), dimension: 8, rows: 3, ..Default::default() }
}

/// Data without lists and without a setting.
fn exhaustive() -> ReportData {
    let only = RecallPoint { value: None, at_1: Some(1.0), at_10: Some(0.9985), seconds_per_query: Some(0.000_4) };
    let recall = Recall { setting: None, queries: 200, points: vec![only], suggested: None };
    ReportData { recall: Some(recall), lists: None, ..sample() }
}

#[test]
fn the_page_holds_every_figure() {
    let page = render(&sample()).unwrap();
    for part in [
        "<title>OPQ48,IVF4096,PQ48 · faiss-indexer report</title>",
        "1,405,211",
        "159,744 trained",
        "78.5 MiB",
        "82,345,678 bytes",
        "58.6",
        "of 768 as floats",
        "79.7 %",
        "at nprobe 128",
        "suggested nprobe 128",
        "4,096",
        "1.14",
        "median 334 rows",
        "3 min 03 s",
        "1.36 GiB",
        "1,204",
        "-7, 12, 90001",
        "5c3f0a71",
        "rows in a list",
        "nprobe (logarithmic)",
        "aria-label=\"Recall over nprobe. nprobe 1: recall@1 36.5 %, recall@10 31.2 %;",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    assert_eq!(render(&sample()).unwrap(), render(&sample()).unwrap());
}

#[test]
fn the_page_loads_and_runs_nothing() {
    for data in [sample(), bare(), exhaustive()] {
        let page = render(&data).unwrap();
        for forbidden in
            ["http://", "https://", "//", "<script", "<link", "<img", "<iframe", "@import", "url(", "src=", "href="]
        {
            assert!(!page.contains(forbidden), "{forbidden} in the page of {}", data.factory_string);
        }
    }
}

#[test]
fn what_is_missing_is_left_out_without_a_trace() {
    let page = render(&bare()).unwrap();
    for absent in ["Recall", "Inverted lists", "Stage times", "Memory", "Spec", "Identity", "Notes", "NaN", "inf"] {
        assert!(!page.contains(&format!(">{absent}")), "{absent} in the page of almost nothing");
    }
    assert!(page.contains("every row of the input is in the index"));
    let page = render(&exhaustive()).unwrap();
    assert!(page.contains("looks at every row") && page.contains("99.9 %") && !page.contains("<svg"));
    assert!(!page.contains("Inverted lists"));
}

#[test]
fn text_from_outside_is_shown_and_not_run() {
    let hostile = "</title><script>alert('x')</script> & \"quoted\"\u{0}";
    let mut data = sample();
    data.factory_string = hostile.into();
    data.metric = hostile.into();
    data.spec = vec![(hostile.into(), hostile.into())];
    data.identity = data.spec.clone();
    data.notes = vec![hostile.into()];
    data.left_out[0].reason = hostile.into();
    data.stages[0].name = hostile.into();
    data.recall.as_mut().unwrap().setting = Some(hostile.into());
    let page = render(&data).unwrap();
    assert!(!page.contains("<script") && !page.contains('\u{0}'));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;quoted&quot;"));
    assert_well_formed(&page);
}

#[test]
fn every_page_is_well_formed() {
    for data in [sample(), bare(), exhaustive()] {
        assert_well_formed(&render(&data).unwrap());
    }
}

#[test]
fn extreme_figures_can_be_drawn() {
    let mut data = sample();
    let lists = data.lists.as_mut().unwrap();
    lists.histogram = vec![ListSizeBin { from: 0, to: u64::MAX, lists: u64::MAX }];
    lists.median = u64::MAX / 2;
    let recall = data.recall.as_mut().unwrap();
    recall.points.iter_mut().for_each(|point| (point.at_1, point.at_10) = (Some(1.0), Some(1.0)));
    recall.points.last_mut().unwrap().value = Some(u64::MAX);
    assert_well_formed(&render(&data).unwrap());
    for share in [0.0, 1.0] {
        data.recall.as_mut().unwrap().points.iter_mut().for_each(|point| point.at_1 = Some(share));
        data.recall.as_mut().unwrap().points.iter_mut().for_each(|point| point.at_10 = None);
        assert_well_formed(&render(&data).unwrap());
    }
    data.lists.as_mut().unwrap().histogram.clear();
    data.recall.as_mut().unwrap().points.truncate(1);
    assert!(!render(&data).unwrap().contains("<svg"));
}

/// Every tag is closed in order, and attributes are quoted.
fn assert_well_formed(page: &str) {
    let body = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    let (mut open, mut rest) = (Vec::new(), body);
    while let Some(begin) = rest.find('<') {
        assert!(!rest[..begin].contains('>'), "a stray > in {:?}", &rest[..begin]);
        rest = &rest[begin + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        assert!(!tag.contains('<') && tag.matches('"').count() % 2 == 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closes in order");
        } else if !tag.ends_with('/') && !tag.starts_with("meta ") {
            let name = tag.split_whitespace().next().unwrap().to_owned();
            if name == "style" {
                rest = &rest[rest.find("</style>").unwrap()..];
            }
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<String>::new());
}
