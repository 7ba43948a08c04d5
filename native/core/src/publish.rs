//! Publishing: the merged file gets its name, the manifest is written, and `_SUCCESS` comes last.

use std::collections::BTreeMap;

use faiss_indexer_storage::{CreateMode, Storage, Storages, join};
use log::{info, warn};
use serde::Serialize;

use crate::build_context::{
    BuildContext, INDEX_NAME, MANIFEST_NAME, REPORT_NAME, SUCCESS_NAME, TEMPORARY_NAME, refuse_finished_output,
};
use crate::build_report::report_page;
use crate::error::{BuildError, ErrorKind, Result};
use crate::evaluation::{Evaluation, ListBalance, RecallPoint, Setting};
use crate::faiss_index::FAISS_VERSION;
use crate::ledger::Ledger;
use crate::receipts::{Clock, EvaluateReceipt, MergeReceipt, Receipts, to_json};
use crate::spec::IndexSpec;
use crate::training_plan::total_ledger;

/// The content of `faiss.manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    faiss_indexer_version: &'a str,
    faiss_version: &'a str,
    factory_string: &'a str,
    spec: &'a IndexSpec,
    rows: u64,
    training_rows: u64,
    bad_rows: &'a Ledger,
    duplicate_rows_left_out: u64,
    partitions: usize,
    fingerprint: &'a str,
    index: IndexFile<'a>,
    seconds: &'a BTreeMap<&'static str, f64>,
    #[serde(flatten)]
    measured: Option<Measured<'a>>,
}

/// What the evaluate stage found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<MeasuredRecall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lists: Option<&'a ListBalance>,
    /// For inverted lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested_nprobe: Option<u64>,
    /// For graphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested_ef_search: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

/// Recall against exact search, over the setting.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MeasuredRecall<'a> {
    queries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<&'static str>,
    points: &'a [RecallPoint],
}

impl<'a> Measured<'a> {
    fn of(receipt: &'a EvaluateReceipt) -> Self {
        let evaluation = receipt.evaluation.as_ref();
        let setting = evaluation.and_then(|evaluation| evaluation.setting);
        let has_lists = setting == Some(Setting::Nprobe);
        let measured = evaluation.filter(|evaluation| !evaluation.points.is_empty());
        Self {
            recall: measured.map(|Evaluation { queries, points, .. }| MeasuredRecall {
                queries: *queries,
                setting: setting.map(Setting::name),
                points,
            }),
            lists: evaluation.and_then(|evaluation| evaluation.lists.as_ref()),
            suggested_nprobe: receipt.suggested.filter(|_| has_lists),
            suggested_ef_search: receipt.suggested.filter(|_| !has_lists),
            notes: &receipt.notes,
        }
    }
}

#[derive(Debug, Serialize)]
struct IndexFile<'a> {
    name: &'a str,
    bytes: u64,
    sha256: &'a str,
}

/// The line that a launcher prints last.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    rows: u64,
    bytes: u64,
    bad_rows: u64,
    factory_string: &'a str,
    seconds: &'a BTreeMap<&'static str, f64>,
    fingerprint: &'a str,
    index: &'a str,
}

/// Publishes what the receipts of a whole build describe. Returns keys and values for the user: `index`, `manifest`,
/// `rows`, `bytes`, `fingerprint`, `sha256`, `factoryString`, `metric`, `dimension`, `badRows`, `seconds.<stage>`, and
/// `json`, a one-line summary.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if another build published meanwhile; storage errors. Before an error is returned,
/// `_SUCCESS` is either absent or describes the files beside it.
pub fn publish(build: &str, receipts: &[String], storages: &Storages) -> Result<Vec<(String, String)>> {
    let context = BuildContext::from_json(build)?;
    let family = context.family()?;
    let receipts = Receipts::parse(receipts)?;
    let merged = receipts.merged()?;
    let ledger = total_ledger(&receipts.samples);
    let seconds = stage_seconds(&receipts, merged);
    let metric = to_json(&context.spec.metric)?;

    let index = context.published(INDEX_NAME);
    let manifest = context.published(MANIFEST_NAME);
    let content = Manifest {
        schema_version: 1,
        faiss_indexer_version: env!("CARGO_PKG_VERSION"),
        faiss_version: FAISS_VERSION,
        factory_string: family.factory_string(),
        spec: &context.spec,
        rows: merged.rows,
        training_rows: receipts.trained()?.training_rows,
        bad_rows: &ledger,
        duplicate_rows_left_out: merged.dropped_rows,
        partitions: receipts.shards.len(),
        fingerprint: &merged.fingerprint,
        index: IndexFile { name: INDEX_NAME, bytes: merged.bytes, sha256: &merged.sha256 },
        seconds: &seconds,
        measured: receipts.evaluated.as_ref().map(Measured::of),
    };
    let content = serde_json::to_string_pretty(&content)
        .map_err(|error| BuildError::new(ErrorKind::Internal, error.to_string()))?;
    let page = context.spec.report.then(|| report_page(&context, &receipts, &ledger)).transpose()?;
    put_in_place(&context, merged, &index, &manifest, &content, page.as_deref(), storages)?;

    let summary = Summary {
        rows: merged.rows,
        bytes: merged.bytes,
        bad_rows: ledger.rows(),
        factory_string: family.factory_string(),
        seconds: &seconds,
        fingerprint: &merged.fingerprint,
        index: &index,
    };
    info!("published {index}: {} rows, {} bytes", merged.rows, merged.bytes);
    let mut pairs = vec![
        ("manifest".into(), manifest),
        ("rows".into(), merged.rows.to_string()),
        ("bytes".into(), merged.bytes.to_string()),
        ("fingerprint".into(), merged.fingerprint.clone()),
        ("sha256".into(), merged.sha256.clone()),
        ("factoryString".into(), family.factory_string().to_owned()),
        ("metric".into(), metric.trim_matches('"').to_owned()),
        ("dimension".into(), context.spec.dimension.to_string()),
        ("badRows".into(), ledger.rows().to_string()),
        ("json".into(), to_json(&summary)?),
        ("index".into(), index),
    ];
    pairs.extend(seconds.iter().map(|(stage, value)| (format!("seconds.{stage}"), value.to_string())));
    Ok(pairs)
}

/// `_SUCCESS` goes first and comes back last, so it never stands beside a file that it does not describe. Builds into
/// one output must not overlap; one that finds its files gone or another index in place gives up before it touches
/// what is published.
fn put_in_place(
    context: &BuildContext,
    merged: &MergeReceipt,
    index: &str,
    manifest: &str,
    content: &str,
    page: Option<&str>,
    storages: &Storages,
) -> Result<()> {
    let storage = storages.resolve(&context.output)?;
    refuse_finished_output(&context.spec, &context.output, storages)?;
    check_length(storage.as_ref(), &merged.uri, merged.bytes)?;
    let success = context.published(SUCCESS_NAME);
    storage.delete(&success)?;
    storage.delete(manifest)?;
    let report = context.published(REPORT_NAME);
    storage.delete(&report)?;
    storage.rename(&merged.uri, index)?;
    put(storage.as_ref(), manifest, content.as_bytes(), CreateMode::Overwrite)?;
    if let Some(page) = page {
        put(storage.as_ref(), &report, page.as_bytes(), CreateMode::Overwrite)?;
    }
    check_length(storage.as_ref(), index, merged.bytes)?;
    put(storage.as_ref(), &success, b"", CreateMode::New)?;

    // The index is published; what is left behind costs space only.
    if let Err(error) = storage.delete(&join(&context.output, TEMPORARY_NAME)) {
        warn!("temporary files are left behind: {error}");
    }
    Ok(())
}

fn check_length(storage: &dyn Storage, uri: &str, bytes: u64) -> Result<()> {
    match storage.stat(uri)?.map(|status| status.length) {
        Some(found) if found == bytes => Ok(()),
        Some(found) => Err(BuildError::corrupt(uri, format!("it has {found} bytes instead of {bytes}"))),
        None => Err(BuildError::new(ErrorKind::NotFound, format!("{uri} is gone; has another build published here?"))),
    }
}

fn put(storage: &dyn Storage, uri: &str, content: &[u8], mode: CreateMode) -> Result<()> {
    let mut file = storage.create(uri, mode)?;
    file.write_all(content)?;
    file.finish()?;
    Ok(())
}

fn stage_seconds(receipts: &Receipts, merged: &MergeReceipt) -> BTreeMap<&'static str, f64> {
    let mut seconds = BTreeMap::from([
        ("sample", Clock::wall_seconds(receipts.samples.iter().map(|receipt| receipt.clock))),
        ("train", Clock::wall_seconds(receipts.trained.iter().map(|receipt| receipt.clock))),
        ("encode", Clock::wall_seconds(receipts.shards.iter().map(|receipt| receipt.clock))),
        ("merge", Clock::wall_seconds([merged.clock])),
    ]);
    seconds.extend(receipts.evaluated.iter().map(|receipt| ("evaluate", Clock::wall_seconds([receipt.clock]))));
    seconds
}
