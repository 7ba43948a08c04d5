//! Publishing: the merged file gets its name, the manifest is written, and `_SUCCESS` comes last.

use std::collections::BTreeMap;

use faiss_indexer_storage::{CreateMode, Storage, Storages, join};
use log::{info, warn};
use serde::Serialize;

use crate::build_context::{
    BuildContext, INDEX_NAME, MANIFEST_NAME, SUCCESS_NAME, TEMPORARY_NAME, refuse_finished_output,
};
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::FAISS_VERSION;
use crate::index_file::IndexFile;
use crate::inspect::StoredShape;
use crate::ledger::Ledger;
use crate::manifest::{Manifest, PublishedIndex, SCHEMA_VERSION};
use crate::receipts::{Clock, MergeReceipt, Receipts, to_json};
use crate::training_plan::total_ledger;

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
/// `rows`, `bytes`, `fingerprint`, `crc32c`, `factoryString`, `metric`, `dimension`, `badRows`, `seconds.<stage>`, and
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
    refuse_finished_output(&context.spec, &context.output, storages)?;
    let ledger = ledger_of(&receipts);
    let seconds = stage_seconds(&receipts, merged);
    let metric = to_json(&context.spec.metric)?;

    let index = context.published(INDEX_NAME);
    let manifest = context.published(MANIFEST_NAME);
    let content = Manifest {
        schema_version: SCHEMA_VERSION,
        faiss_indexer_version: env!("CARGO_PKG_VERSION").to_owned(),
        faiss_version: FAISS_VERSION.to_owned(),
        factory_string: family.factory_string().to_owned(),
        spec: context.spec.clone(),
        rows: merged.rows,
        training_rows: receipts.trained()?.training_rows,
        bad_rows: ledger.clone(),
        duplicate_rows_left_out: merged.dropped_rows,
        partitions: receipts.shards.len(),
        fingerprint: merged.fingerprint.clone(),
        index: Some(PublishedIndex {
            name: INDEX_NAME.to_owned(),
            bytes: merged.bytes,
            crc32c: merged.crc32c.clone(),
            shape: shape_of(merged, storages)?,
        }),
        shards: Vec::new(),
        seconds: seconds.iter().map(|(stage, seconds)| ((*stage).to_owned(), *seconds)).collect(),
    };
    put_in_place(&context, merged, &index, &manifest, &content.to_file()?, storages)?;

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
        ("crc32c".into(), merged.crc32c.clone()),
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

/// What is published is understood to its last byte before anything of the output is touched.
fn shape_of(merged: &MergeReceipt, storages: &Storages) -> Result<StoredShape> {
    match storages.resolve(&merged.uri)?.stat(&merged.uri)? {
        Some(_) => {
            let index = IndexFile::open(&merged.uri, storages)?;
            if index.root.header.rows != merged.rows {
                let what = format!("it says {} rows and {} were merged", index.root.header.rows, merged.rows);
                return Err(BuildError::corrupt(&merged.uri, what));
            }
            Ok(StoredShape::of(&index.root))
        }
        None => Err(gone(&merged.uri)),
    }
}

/// The bad rows that the sample stage met; an extension has no such stage, and counts while it encodes.
fn ledger_of(receipts: &Receipts) -> Ledger {
    if receipts.samples.is_empty() {
        total_ledger(receipts.shards.iter().map(|shard| &shard.ledger))
    } else {
        total_ledger(receipts.samples.iter().map(|sample| &sample.ledger))
    }
}

fn gone(uri: &str) -> BuildError {
    BuildError::new(ErrorKind::NotFound, format!("{uri} is gone; has another build published here?"))
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
    storages: &Storages,
) -> Result<()> {
    let storage = storages.resolve(&context.output)?;
    refuse_finished_output(&context.spec, &context.output, storages)?;
    check_length(storage.as_ref(), &merged.uri, merged.bytes)?;
    let success = context.published(SUCCESS_NAME);
    storage.delete(&success)?;
    storage.delete(manifest)?;
    storage.rename(&merged.uri, index)?;
    put(storage.as_ref(), manifest, content.as_bytes(), CreateMode::Overwrite)?;
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
        None => Err(gone(uri)),
    }
}

fn put(storage: &dyn Storage, uri: &str, content: &[u8], mode: CreateMode) -> Result<()> {
    let mut file = storage.create(uri, mode)?;
    file.write_all(content)?;
    file.finish()?;
    Ok(())
}

fn stage_seconds(receipts: &Receipts, merged: &MergeReceipt) -> BTreeMap<&'static str, f64> {
    BTreeMap::from([
        ("sample", Clock::wall_seconds(receipts.samples.iter().map(|receipt| receipt.clock))),
        ("train", Clock::wall_seconds(receipts.trained.iter().map(|receipt| receipt.clock))),
        ("encode", Clock::wall_seconds(receipts.shards.iter().map(|receipt| receipt.clock))),
        ("merge", Clock::wall_seconds([merged.clock])),
    ])
}
