//! Publishing: merged files get their names, manifests are written, and `_SUCCESS` comes last.

use std::collections::BTreeMap;

use faiss_indexer_storage::{CreateMode, Storage, Storages, join};
use log::{info, warn};
use serde::Serialize;

use crate::build_context::{
    BuildContext, INDEX_NAME, MANIFEST_NAME, REPORT_NAME, SUCCESS_NAME, TEMPORARY_NAME, refuse_finished_output,
};
use crate::build_report::report_page;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::FAISS_VERSION;
use crate::index_file::IndexFile;
use crate::inspect::StoredShape;
use crate::ledger::Ledger;
use crate::manifest::{Manifest, Measured, PublishedIndex, PublishedShard, SCHEMA_VERSION, ShardOf, check_manifest};
use crate::receipts::{Clock, DuplicateRows, MergeReceipt, Receipts, to_json};
use crate::training_plan::total_ledger;

/// What the directories of shards begin with.
const SHARD_PREFIX: &str = "shard_";

/// The line that a launcher prints last.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    rows: u64,
    bytes: u64,
    bad_rows: u64,
    factory_string: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested_nprobe: Option<u64>,
    seconds: &'a BTreeMap<String, f64>,
    fingerprint: &'a str,
    index: &'a str,
}

/// Publishes what the receipts of a whole build describe. Returns keys and values for the user: `index` (a directory
/// when there are shards), `manifest`, `rows`, `bytes`, `fingerprint`, `crc32c` (of every file, with commas between),
/// `factoryString`, `metric`, `dimension`, `badRows`, `seconds.<stage>`, and `json`, a one-line summary.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if another build published meanwhile; storage errors. Before an error is returned,
/// `_SUCCESS` is either absent or describes the files beside it.
pub fn publish(build: &str, receipts: &[String], storages: &Storages) -> Result<Vec<(String, String)>> {
    let context = BuildContext::from_json(build)?;
    let receipts = Receipts::parse(receipts)?;
    let merged = receipts.merged(context.spec.shards)?;
    refuse_finished_output(&context.spec, &context.output, storages)?;
    let files = merged.iter().map(|merged| checked(merged, storages)).collect::<Result<Vec<_>>>()?;
    let manifest = manifest(&context, &receipts, &files)?;
    let page = match context.spec.report {
        true => Some(report_page(&context, &receipts, &manifest)?),
        false => None,
    };
    put_in_place(&context, merged, &files, &manifest, page.as_deref(), storages)?;

    let index = match merged {
        [_] => context.published(INDEX_NAME),
        _ => context.output.clone(),
    };
    let bytes: u64 = merged.iter().map(|merged| merged.bytes).sum();
    let summary = Summary {
        rows: manifest.rows,
        bytes,
        bad_rows: manifest.bad_rows.rows(),
        factory_string: &manifest.factory_string,
        shards: (merged.len() > 1).then_some(merged.len()),
        suggested_nprobe: manifest.measured.suggested_nprobe,
        seconds: &manifest.seconds,
        fingerprint: &manifest.fingerprint,
        index: &index,
    };
    info!("published {index}: {} rows, {bytes} bytes", manifest.rows);
    let checksums: Vec<&str> = merged.iter().map(|merged| merged.crc32c.as_str()).collect();
    let mut pairs = vec![
        ("manifest".into(), context.published(MANIFEST_NAME)),
        ("rows".into(), manifest.rows.to_string()),
        ("bytes".into(), bytes.to_string()),
        ("fingerprint".into(), manifest.fingerprint.clone()),
        ("crc32c".into(), checksums.join(",")),
        ("factoryString".into(), manifest.factory_string.clone()),
        ("metric".into(), to_json(&context.spec.metric)?.trim_matches('"').to_owned()),
        ("dimension".into(), context.spec.dimension.to_string()),
        ("badRows".into(), manifest.bad_rows.rows().to_string()),
        ("json".into(), to_json(&summary)?),
        ("index".into(), index),
    ];
    pairs.extend(manifest.seconds.iter().map(|(stage, value)| (format!("seconds.{stage}"), value.to_string())));
    Ok(pairs)
}

/// The manifest of the output directory. That of a shard is the same, but for its own rows and file.
fn manifest(context: &BuildContext, receipts: &Receipts, files: &[PublishedIndex]) -> Result<Manifest> {
    let mut duplicates = DuplicateRows::default();
    receipts.merged.iter().for_each(|merged| duplicates.add(&merged.duplicates));
    let trained = receipts.trained()?;
    let nlist = files.iter().find_map(|file| file.shape.nlist);
    Ok(Manifest {
        schema_version: SCHEMA_VERSION,
        faiss_indexer_version: env!("CARGO_PKG_VERSION").to_owned(),
        faiss_version: FAISS_VERSION.to_owned(),
        factory_string: context.family()?.factory_string().to_owned(),
        spec: context.spec.clone(),
        rows: receipts.merged.iter().map(|merged| merged.rows).sum(),
        training_rows: trained.training_rows,
        bad_rows: ledger_of(receipts),
        duplicates,
        duplicate_rows_left_out: receipts.merged.iter().map(|merged| merged.dropped_rows).sum(),
        partitions: receipts.shards.len(),
        fingerprint: trained.fingerprint.clone(),
        index: match files {
            [file] => Some(file.clone()),
            _ => None,
        },
        shard: None,
        shards: Vec::new(),
        seconds: stage_seconds(receipts),
        measured: Measured::of(receipts.evaluated.as_ref(), nlist),
    })
}

/// What is published is understood to its last byte before anything of the output is touched.
fn checked(merged: &MergeReceipt, storages: &Storages) -> Result<PublishedIndex> {
    if storages.resolve(&merged.uri)?.stat(&merged.uri)?.is_none() {
        return Err(gone(&merged.uri));
    }
    let index = IndexFile::open(&merged.uri, storages)?;
    if index.root.header.rows != merged.rows {
        let what = format!("it says {} rows and {} were merged", index.root.header.rows, merged.rows);
        return Err(BuildError::corrupt(&merged.uri, what));
    }
    Ok(PublishedIndex {
        name: INDEX_NAME.to_owned(),
        bytes: merged.bytes,
        crc32c: merged.crc32c.clone(),
        shape: StoredShape::of(&index.root),
    })
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
    merged: &[MergeReceipt],
    files: &[PublishedIndex],
    manifest: &Manifest,
    page: Option<&str>,
    storages: &Storages,
) -> Result<()> {
    let storage = storages.resolve(&context.output)?;
    let storage = storage.as_ref();
    refuse_finished_output(&context.spec, &context.output, storages)?;
    merged.iter().try_for_each(|merged| check_length(storage, &merged.uri, merged.bytes))?;
    clear(context, storage, merged.len())?;

    let mut manifest = manifest.clone();
    match (merged, files) {
        ([merged], [_]) => place(&context.output, merged, None, storage)?,
        _ => {
            for (merged, file) in merged.iter().zip(files) {
                manifest.shards.push(place_shard(context, merged, file, &manifest, storage)?);
            }
        }
    }
    put(storage, &context.published(MANIFEST_NAME), &manifest.to_file()?)?;
    if let Some(page) = page {
        put(storage, &context.published(REPORT_NAME), page)?;
    }
    put(storage, &context.published(SUCCESS_NAME), "")?;

    // The index is published; what is left behind costs space only.
    if let Err(error) = storage.delete(&join(&context.output, TEMPORARY_NAME)) {
        warn!("temporary files are left behind: {error}");
    }
    Ok(())
}

/// Removes what an earlier build published, but for a file that the next step replaces at once.
fn clear(context: &BuildContext, storage: &dyn Storage, indexes: usize) -> Result<()> {
    for name in [SUCCESS_NAME, MANIFEST_NAME, REPORT_NAME] {
        storage.delete(&context.published(name))?;
    }
    if indexes > 1 {
        storage.delete(&context.published(INDEX_NAME))?;
    }
    for child in storage.list(&context.output)? {
        let name = child.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let number = name.strip_prefix(SHARD_PREFIX).unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            storage.delete(&child)?;
        }
    }
    Ok(())
}

/// A directory with an index, its manifest and its own `_SUCCESS`.
fn place_shard(
    context: &BuildContext,
    merged: &MergeReceipt,
    file: &PublishedIndex,
    whole: &Manifest,
    storage: &dyn Storage,
) -> Result<PublishedShard> {
    let directory = format!("{SHARD_PREFIX}{}", merged.shard);
    let output = context.published(&directory);
    let manifest = Manifest {
        rows: merged.rows,
        duplicates: merged.duplicates.clone(),
        duplicate_rows_left_out: merged.dropped_rows,
        index: Some(file.clone()),
        shard: Some(ShardOf { number: merged.shard, of: context.spec.shards }),
        shards: Vec::new(),
        ..whole.clone()
    };
    let content = manifest.to_file()?;
    let manifest_sha256 = check_manifest(&join(&output, MANIFEST_NAME), content.as_bytes())?.sha256;
    storage.make_directories(&output)?;
    place(&output, merged, Some(&content), storage)?;
    put(storage, &join(&output, SUCCESS_NAME), "")?;
    Ok(PublishedShard {
        directory,
        rows: merged.rows,
        bytes: merged.bytes,
        crc32c: merged.crc32c.clone(),
        manifest_sha256,
    })
}

fn place(directory: &str, merged: &MergeReceipt, manifest: Option<&str>, storage: &dyn Storage) -> Result<()> {
    let index = join(directory, INDEX_NAME);
    storage.rename(&merged.uri, &index)?;
    if let Some(manifest) = manifest {
        put(storage, &join(directory, MANIFEST_NAME), manifest)?;
    }
    check_length(storage, &index, merged.bytes)
}

fn check_length(storage: &dyn Storage, uri: &str, bytes: u64) -> Result<()> {
    match storage.stat(uri)?.map(|status| status.length) {
        Some(found) if found == bytes => Ok(()),
        Some(found) => Err(BuildError::corrupt(uri, format!("it has {found} bytes instead of {bytes}"))),
        None => Err(gone(uri)),
    }
}

fn put(storage: &dyn Storage, uri: &str, content: &str) -> Result<()> {
    let mut file = storage.create(uri, CreateMode::Overwrite)?;
    file.write_all(content.as_bytes())?;
    file.finish()?;
    Ok(())
}

fn stage_seconds(receipts: &Receipts) -> BTreeMap<String, f64> {
    let stages: [(&str, Vec<Clock>); 5] = [
        ("sample", receipts.samples.iter().map(|receipt| receipt.clock).collect()),
        ("train", receipts.trained.iter().map(|receipt| receipt.clock).collect()),
        ("encode", receipts.shards.iter().map(|receipt| receipt.clock).collect()),
        ("merge", receipts.merged.iter().map(|receipt| receipt.clock).collect()),
        ("evaluate", receipts.evaluated.iter().map(|receipt| receipt.clock).collect()),
    ];
    let seconds = |(name, clocks): (&str, Vec<Clock>)| (name.to_owned(), Clock::wall_seconds(clocks));
    stages.into_iter().filter(|(_, clocks)| !clocks.is_empty()).map(seconds).collect()
}
