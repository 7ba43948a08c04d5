//! The page about a finished build, from what its receipts say.

use faiss_indexer_report::{
    LeftOutRows, ListSizeBin, ListSizes, Recall, RecallPoint, ReportData, StageFigures, render,
};

use crate::build_context::BuildContext;
use crate::error::{BuildError, ErrorKind, Result};
use crate::evaluation::{Evaluation, ListBalance};
use crate::faiss_index::FAISS_VERSION;
use crate::manifest::Manifest;
use crate::receipts::{Clock, Receipts};

/// `report.html`.
pub(crate) fn report_page(context: &BuildContext, receipts: &Receipts, manifest: &Manifest) -> Result<String> {
    let merged = &receipts.merged;
    let trained = receipts.trained()?;
    let evaluation = receipts.evaluated.as_ref().and_then(|evaluated| evaluated.evaluation.as_ref());
    let spec = spec_pairs(context)?;
    let named = |name: &str| spec.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let mut left_out: Vec<LeftOutRows> = manifest
        .bad_rows
        .entries()
        .map(|(reason, rows, first_ids)| LeftOutRows { reason: reason.to_owned(), rows, first_ids: first_ids.to_vec() })
        .collect();
    if manifest.duplicate_rows_left_out > 0 {
        let reason = "whose id another row has".to_owned();
        let first_ids = manifest.duplicates.first_ids.clone();
        left_out.push(LeftOutRows { reason, rows: manifest.duplicate_rows_left_out, first_ids });
    }
    let checksums: Vec<&str> = merged.iter().map(|merged| merged.crc32c.as_str()).collect();
    let data = ReportData {
        factory_string: manifest.factory_string.clone(),
        metric: named("metric").unwrap_or_default(),
        dimension: context.spec.dimension,
        rows: manifest.rows,
        bytes: merged.iter().map(|merged| merged.bytes).sum(),
        training_rows: Some(trained.training_rows),
        recall: evaluation.filter(|evaluation| !evaluation.points.is_empty()).map(|evaluation| {
            recall(evaluation, receipts.evaluated.as_ref().and_then(|evaluated| evaluated.suggested))
        }),
        lists: evaluation.and_then(|evaluation| evaluation.lists.as_ref()).map(lists),
        stages: stages(receipts),
        left_out,
        spec,
        identity: [
            ("Fingerprint", manifest.fingerprint.as_str()),
            ("CRC-32C", checksums.join(", ").as_str()),
            ("faiss-indexer", env!("CARGO_PKG_VERSION")),
            ("Faiss", FAISS_VERSION),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        notes: receipts.evaluated.as_ref().map(|evaluated| evaluated.notes.clone()).unwrap_or_default(),
    };
    render(&data).map_err(|error| BuildError::new(ErrorKind::Internal, error.to_string()))
}

/// Keys and values of the spec; what was left to us has no value and is not listed.
fn spec_pairs(context: &BuildContext) -> Result<Vec<(String, String)>> {
    let spec =
        serde_json::to_value(&context.spec).map_err(|error| BuildError::new(ErrorKind::Internal, error.to_string()))?;
    let pairs = spec.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    Ok(pairs
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect())
}

fn recall(evaluation: &Evaluation, suggested: Option<u64>) -> Recall {
    let points = evaluation.points.iter().map(|point| RecallPoint {
        value: point.value,
        at_1: point.at(1),
        at_10: point.at(10),
        seconds_per_query: Some(point.seconds_per_query),
    });
    Recall {
        setting: evaluation.setting.map(|setting| setting.name().to_owned()),
        queries: evaluation.queries,
        points: points.collect(),
        suggested,
    }
}

fn lists(balance: &ListBalance) -> ListSizes {
    let width = balance.bin_width;
    let bins = (0..).zip(&balance.histogram).map(|(bin, lists)| ListSizeBin {
        from: bin * width,
        to: (bin + 1) * width,
        lists: *lists,
    });
    ListSizes {
        lists: balance.lists,
        empty: balance.empty,
        smallest: balance.smallest,
        median: balance.median,
        percentile99: balance.percentile99,
        largest: balance.largest,
        imbalance: balance.imbalance,
        histogram: bins.collect(),
    }
}

fn stages(receipts: &Receipts) -> Vec<StageFigures> {
    let stages: [(&str, Vec<Clock>); 5] = [
        ("sample", receipts.samples.iter().map(|receipt| receipt.clock).collect()),
        ("train", receipts.trained.iter().map(|receipt| receipt.clock).collect()),
        ("encode", receipts.shards.iter().map(|receipt| receipt.clock).collect()),
        ("merge", receipts.merge_clocks()),
        ("evaluate", receipts.evaluated.iter().map(|receipt| receipt.clock).collect()),
    ];
    let figures = |(name, clocks): (&str, Vec<Clock>)| StageFigures {
        name: name.to_owned(),
        peak_bytes: clocks.iter().filter_map(|clock| clock.peak_bytes).max(),
        seconds: Clock::wall_seconds(clocks),
    };
    stages.into_iter().filter(|(_, clocks)| !clocks.is_empty()).map(figures).collect()
}
