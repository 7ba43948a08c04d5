//! Publishing: merged files get their names, manifests are written, and `_SUCCESS` comes last.

use std::collections::BTreeMap;

use faiss_indexer_storage::{Storage, Storages, join};
use log::info;
use serde::Serialize;

use crate::build_context::{BuildContext, MANIFEST_NAME, REPORT_NAME, SUCCESS_NAME, shard_directory};
use crate::build_report::report_page;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::FAISS_VERSION;
use crate::index_file::IndexFile;
use crate::index_filename::index_filename_in;
use crate::inspect::StoredShape;
use crate::ledger::Ledger;
use crate::manifest::{Manifest, Measured, PublishedIndex, PublishedShard, SCHEMA_VERSION, ShardOf, check_manifest};
use crate::numbers::to_u64;
use crate::output_directory::{refuse_taken_output, shard_directories};
use crate::publication::{PlacedFile, Publication, gone, put};
use crate::receipts::{Clock, MergeReceipt, Receipts, to_json};
use crate::training_plan::total_ledger;
use crate::verify::published_manifest;

/// The directory, among a build's temporary files, of manifests and pages that wait for their place.
const STAGED_NAME: &str = "published";

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
/// A call that failed may be repeated: it goes on where it stopped. So may one that did not fail.
///
/// # Errors
/// [`crate::ErrorKind::AlreadyExists`] if another build published meanwhile; [`crate::ErrorKind::NotFound`] if one
/// removed the files of this one; storage errors. Before an error is returned, `_SUCCESS` is either absent or describes
/// the files beside it.
pub fn publish(build: &str, receipts: &[String], storages: &Storages) -> Result<Vec<(String, String)>> {
    let context = BuildContext::from_json(build)?;
    let storages = &context.backends(storages)?;
    let receipts = Receipts::parse(receipts)?;
    let merged = receipts.merged(context.spec.shards)?;
    let output = &context.output;
    if let Some(begun) = Publication::read(output, storages)?.filter(|begun| begun.build_id == context.build_id) {
        begun.finish(output, storages)?;
        return Ok(begun.answer);
    }
    if let Some(answer) = published_before(&context, storages)? {
        return Ok(answer);
    }
    refuse_taken_output(&context.spec, output, storages)?;
    let name = &context.spec.index_filename;
    let files = merged.iter().map(|merged| checked(name, merged, storages)).collect::<Result<Vec<_>>>()?;
    let mut manifest = manifest(&context, &receipts, &files)?;
    let page = match context.spec.report {
        true => Some(report_page(&context, &receipts, &manifest)?),
        false => None,
    };
    let publication = publication(&context, merged, &files, &mut manifest, page.as_deref(), storages)?;
    let publication = Publication { answer: answer(&context.output, &manifest)?, ..publication };
    // Builds into one output must not overlap. One that finds its files gone or another index in place gives up
    // before it touches what is published.
    refuse_taken_output(&context.spec, output, storages)?;
    publication.decide(output, storages)?;
    publication.finish(output, storages)?;
    info!("published {}: {} rows", context.output, manifest.rows);
    Ok(publication.answer)
}

/// What [`publish`] has returned for the index in `output`.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] and [`crate::ErrorKind::CorruptFile`] where there is no published index; storage
/// errors.
pub fn published(output: &str, storages: &Storages) -> Result<Vec<(String, String)>> {
    let output = output.trim_end_matches('/');
    answer(output, &published_manifest(output, storages)?.manifest)
}

/// What this very build has published, for a call that is repeated after its end.
fn published_before(context: &BuildContext, storages: &Storages) -> Result<Option<Vec<(String, String)>>> {
    match published_manifest(&context.output, storages) {
        Ok(found) if found.manifest.build_id == context.build_id => answer(&context.output, &found.manifest).map(Some),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::CorruptFile) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keys and values about what is published.
fn answer(output: &str, manifest: &Manifest) -> Result<Vec<(String, String)>> {
    let index = manifest.index.as_ref().map_or_else(|| output.to_owned(), |file| join(output, &file.name));
    let files: Vec<(u64, &str)> = match &manifest.index {
        Some(file) => vec![(file.bytes, &file.crc32c)],
        None => manifest.shards.iter().map(|shard| (shard.bytes, shard.crc32c.as_str())).collect(),
    };
    let bytes: u64 = files.iter().map(|(bytes, _)| bytes).sum();
    let summary = Summary {
        rows: manifest.rows,
        bytes,
        bad_rows: manifest.bad_rows.rows(),
        factory_string: &manifest.factory_string,
        shards: manifest.index.is_none().then_some(files.len()),
        suggested_nprobe: manifest.measured.suggested_nprobe,
        seconds: &manifest.seconds,
        fingerprint: &manifest.fingerprint,
        index: &index,
    };
    let checksums: Vec<&str> = files.iter().map(|(_, crc32c)| *crc32c).collect();
    let mut pairs = vec![
        ("manifest".into(), join(output, MANIFEST_NAME)),
        ("rows".into(), manifest.rows.to_string()),
        ("bytes".into(), bytes.to_string()),
        ("fingerprint".into(), manifest.fingerprint.clone()),
        ("crc32c".into(), checksums.join(",")),
        ("factoryString".into(), manifest.factory_string.clone()),
        ("metric".into(), to_json(&manifest.spec.metric)?.trim_matches('"').to_owned()),
        ("dimension".into(), manifest.spec.dimension.to_string()),
        ("badRows".into(), manifest.bad_rows.rows().to_string()),
        ("json".into(), to_json(&summary)?),
        ("index".into(), index),
    ];
    pairs.extend(manifest.seconds.iter().map(|(stage, value)| (format!("seconds.{stage}"), value.to_string())));
    Ok(pairs)
}

/// The manifest of the output directory. That of a shard is the same, but for its own rows and file.
fn manifest(context: &BuildContext, receipts: &Receipts, files: &[PublishedIndex]) -> Result<Manifest> {
    let before = &context.left_out_before;
    let mut duplicates = before.duplicates.clone();
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
        bad_rows: total_ledger([&before.bad_rows, &ledger_of(receipts)]),
        duplicates,
        duplicate_rows_left_out: before.duplicates.rows
            + receipts.merged.iter().map(|merged| merged.dropped_rows).sum::<u64>(),
        partitions: receipts.shards.len(),
        fingerprint: trained.fingerprint.clone(),
        build_id: context.build_id.clone(),
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
fn checked(name: &str, merged: &MergeReceipt, storages: &Storages) -> Result<PublishedIndex> {
    if storages.resolve(&merged.uri)?.stat(&merged.uri)?.is_none() {
        return Err(gone(&merged.uri));
    }
    let index = IndexFile::open(&merged.uri, storages)?;
    if index.root.header.rows != merged.rows {
        let what = format!("it says {} rows and {} were merged", index.root.header.rows, merged.rows);
        return Err(BuildError::corrupt(&merged.uri, what));
    }
    Ok(PublishedIndex {
        name: name.to_owned(),
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

/// Manifests and pages that wait among the temporary files.
struct Staged<'a> {
    context: &'a BuildContext,
    storage: &'a dyn Storage,
    files: Vec<PlacedFile>,
}

impl Staged<'_> {
    /// Writes what will be `name` in the output.
    fn write(&mut self, name: &str, content: &str) -> Result<()> {
        let uri = join(&join(&self.context.temporary_directory(), STAGED_NAME), name);
        put(self.storage, &uri, content)?;
        let (bytes, crc32c) = (to_u64(content.len()), format!("{:08x}", crc32c::crc32c(content.as_bytes())));
        self.add(&uri, name, bytes, &crc32c)
    }

    fn add(&mut self, uri: &str, to: &str, bytes: u64, crc32c: &str) -> Result<()> {
        let Some(from) = uri.strip_prefix(&join(&self.context.output, "")) else {
            return Err(BuildError::invalid(format!("{uri} is not of a build into {}", self.context.output)));
        };
        self.files.push(PlacedFile { from: from.to_owned(), to: to.to_owned(), bytes, crc32c: crc32c.to_owned() });
        Ok(())
    }
}

/// What is left to do when manifests and page are written. The manifest gets the shards that there are.
fn publication(
    context: &BuildContext,
    merged: &[MergeReceipt],
    files: &[PublishedIndex],
    manifest: &mut Manifest,
    page: Option<&str>,
    storages: &Storages,
) -> Result<Publication> {
    let storage = storages.resolve(&context.output)?;
    let mut staged = Staged { context, storage: storage.as_ref(), files: Vec::new() };
    let mut completed = Vec::new();
    match (merged, files) {
        ([merged], [file]) => staged.add(&merged.uri, &file.name, merged.bytes, &merged.crc32c)?,
        _ => {
            for (merged, file) in merged.iter().zip(files) {
                let shard = stage_shard(&mut staged, merged, file, manifest)?;
                completed.push(shard.directory.clone());
                manifest.shards.push(shard);
            }
        }
    }
    staged.write(MANIFEST_NAME, &manifest.to_file()?)?;
    if let Some(page) = page {
        staged.write(REPORT_NAME, page)?;
    }
    let placed = staged.files;
    let removed = removed(&context.output, &placed, &completed, storages)?;
    completed.push(String::new());
    Ok(Publication { build_id: context.build_id.clone(), removed, placed, completed, answer: Vec::new() })
}

/// What of earlier builds no file takes the place of. Every `_SUCCESS` goes before anything else.
fn removed(output: &str, placed: &[PlacedFile], completed: &[String], storages: &Storages) -> Result<Vec<String>> {
    let shards = shard_directories(output, storages)?;
    let mut removed = vec![SUCCESS_NAME.to_owned()];
    removed.extend(shards.iter().map(|shard| join(shard, SUCCESS_NAME)));
    let mut replaced = vec![index_filename_in(output, storages)?, REPORT_NAME.to_owned()];
    for shard in shards {
        if completed.contains(&shard) {
            let index = index_filename_in(&join(output, &shard), storages)?;
            replaced.extend([index.as_str(), REPORT_NAME].map(|name| join(&shard, name)));
        } else {
            removed.push(shard);
        }
    }
    removed.extend(replaced.into_iter().filter(|name| placed.iter().all(|file| file.to != *name)));
    Ok(removed)
}

/// A directory with an index, its manifest and its own `_SUCCESS`.
fn stage_shard(
    staged: &mut Staged,
    merged: &MergeReceipt,
    file: &PublishedIndex,
    whole: &Manifest,
) -> Result<PublishedShard> {
    let directory = shard_directory(merged.shard);
    let manifest = Manifest {
        rows: merged.rows,
        duplicates: merged.duplicates.clone(),
        duplicate_rows_left_out: merged.dropped_rows,
        index: Some(file.clone()),
        shard: Some(ShardOf { number: merged.shard, of: staged.context.spec.shards }),
        shards: Vec::new(),
        ..whole.clone()
    };
    let content = manifest.to_file()?;
    let name = join(&directory, MANIFEST_NAME);
    let manifest_sha256 = check_manifest(&staged.context.published(&name), content.as_bytes())?.sha256;
    staged.add(&merged.uri, &join(&directory, &file.name), merged.bytes, &merged.crc32c)?;
    staged.write(&name, &content)?;
    Ok(PublishedShard {
        directory,
        rows: merged.rows,
        bytes: merged.bytes,
        crc32c: merged.crc32c.clone(),
        manifest_sha256,
    })
}

fn stage_seconds(receipts: &Receipts) -> BTreeMap<String, f64> {
    let stages: [(&str, Vec<Clock>); 5] = [
        ("sample", receipts.samples.iter().map(|receipt| receipt.clock).collect()),
        ("train", receipts.trained.iter().map(|receipt| receipt.clock).collect()),
        ("encode", receipts.shards.iter().map(|receipt| receipt.clock).collect()),
        ("merge", receipts.merge_clocks()),
        ("evaluate", receipts.evaluated.iter().map(|receipt| receipt.clock).collect()),
    ];
    let seconds = |(name, clocks): (&str, Vec<Clock>)| (name.to_owned(), Clock::wall_seconds(clocks));
    stages.into_iter().filter(|(_, clocks)| !clocks.is_empty()).map(seconds).collect()
}
