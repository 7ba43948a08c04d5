//! The assemble stage: what several merge tasks wrote becomes one file, without copying where the storage can.

use faiss_indexer_storage::{CreateMode, Storage, StorageError, Storages};
use log::info;

use crate::build_context::BuildContext;
use crate::cancellation::Cancellation;
use crate::checksum::joined;
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::part::{SectionSum, SectionSums};
use crate::merge::runs::Runs;
use crate::numbers::{to_u64, to_usize};
use crate::publication::gone;
use crate::receipts::{Clock, MergeReceipt, Receipts};
use crate::stage::Progress;
use crate::training;

/// Bytes of a part that are held at a time when it is copied.
const COPY_BYTES: u64 = 4 << 20;

/// Joins the parts of the index of `shard` that `receipts` name, in their order. May be repeated, and attempted by two
/// tasks at a time: parts that another attempt has joined are found joined.
pub(crate) fn join_parts(
    context: &BuildContext,
    receipts: &Receipts,
    shard: u32,
    storages: &Storages,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<MergeReceipt> {
    let began = Clock::start();
    let parts = receipts.parts_of(shard, context.merge_parts)?;
    let Some(first) = parts.first() else {
        return Err(BuildError::invalid(format!("no receipts of the stage merge are there for shard {shard}")));
    };
    check_sections(context, receipts, shard, &parts, storages, cancellation)?;

    let bytes = parts.iter().map(|part| part.bytes).sum();
    let mut crc32c = 0;
    for part in &parts {
        crc32c = joined(crc32c, part.checksum()?, part.bytes);
    }
    let storage = storages.resolve(&first.uri)?;
    let filled: Vec<&MergeReceipt> = parts.iter().copied().filter(|part| part.bytes > 0).collect();
    let uri = match join_in_place(&filled, bytes, storage.as_ref())? {
        Some(uri) => uri,
        None => {
            info!("the file system of {} does not join files: {bytes} bytes are copied", context.output);
            let uri = context.attempt_file("index");
            copy(&filled, &uri, storage.as_ref(), cancellation, progress)?;
            uri
        }
    };
    match storage.stat(&uri)?.map(|status| status.length) {
        Some(length) if length == bytes => {}
        Some(length) => return Err(BuildError::corrupt(&uri, format!("it has {length} bytes instead of {bytes}"))),
        None => return Err(gone(&uri)),
    }
    progress.add_rows(first.rows);
    Ok(MergeReceipt {
        uri,
        bytes,
        crc32c: format!("{crc32c:08x}"),
        part: None,
        clock: Clock::stop(began),
        ..MergeReceipt::clone(first)
    })
}

/// Each task has read a part of every run; together they must have read what the encode stage wrote.
fn check_sections(
    context: &BuildContext,
    receipts: &Receipts,
    shard: u32,
    parts: &[&MergeReceipt],
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<()> {
    let mut read = SectionSums::default();
    parts.iter().filter_map(|receipt| receipt.part.as_ref()).for_each(|part| read.add(&part.sections));
    let runs = || receipts.shards.iter().flat_map(|receipt| &receipt.runs).filter(|run| run.shard == shard);
    let rows = runs().map(|run| run.rows).sum();
    let filled = || runs().filter(|run| run.rows > 0);
    let expected = [
        (read.ids, filled().fold(0, |sum, run| sum ^ run.crc32c.ids)),
        (read.codes, filled().fold(0, |sum, run| sum ^ run.crc32c.codes)),
        (read.list_numbers, filled().fold(0, |sum, run| sum ^ run.crc32c.list_numbers)),
        (read.second_codes, filled().fold(0, |sum, run| sum ^ run.crc32c.second_codes)),
    ];
    // A section that the index does not need was read by none.
    let is_right = |(found, crc32c): &(SectionSum, u32)| {
        *found == SectionSum::default() || *found == SectionSum { crc32c: *crc32c, rows }
    };
    if expected.iter().all(is_right) {
        return Ok(());
    }
    let damaged =
        BuildError::new(ErrorKind::CorruptFile, "what the tasks of the merge have read is not what was encoded");
    let trained = training::load(context, receipts.trained()?, storages)?;
    let layout = trained.run_layout(&context.family()?);
    Err(Runs::open(layout, runs(), storages)?.name_damaged(damaged, cancellation))
}

/// Whether `part` and all others of its file are in one file, the first of them, which no receipt may tell yet.
pub(crate) fn is_joined_in_place(part: &MergeReceipt, receipts: &Receipts, storages: &Storages) -> Result<bool> {
    let of = part.part.as_ref().map_or(0, |part| part.of);
    let Ok(parts) = receipts.parts_of(part.shard, of) else { return Ok(false) };
    let filled: Vec<&MergeReceipt> = parts.into_iter().filter(|part| part.bytes > 0).collect();
    let Some((first, others)) = filled.split_first() else { return Ok(false) };
    let bytes = filled.iter().map(|part| part.bytes).sum();
    is_joined(first, others, bytes, storages.resolve(&first.uri)?.as_ref())
}

/// The first part with all others behind it, or `None` where that takes copying.
fn join_in_place(parts: &[&MergeReceipt], bytes: u64, storage: &dyn Storage) -> Result<Option<String>> {
    let Some((first, others)) = parts.split_first() else { return Ok(None) };
    let uri = first.uri.clone();
    if others.is_empty() || is_joined(first, others, bytes, storage)? {
        return Ok(Some(uri));
    }
    let sources: Vec<String> = others.iter().map(|part| part.uri.clone()).collect();
    match storage.concatenate(&uri, &sources) {
        Ok(is_done) => Ok(is_done.then_some(uri)),
        Err(StorageError::NotFound { .. }) if is_joined(first, others, bytes, storage)? => Ok(Some(uri)),
        Err(StorageError::NotFound { uri: missing }) => Err(gone(&missing)),
        Err(error) => Err(error.into()),
    }
}

/// Whether another attempt has joined the parts.
fn is_joined(first: &MergeReceipt, others: &[&MergeReceipt], bytes: u64, storage: &dyn Storage) -> Result<bool> {
    if storage.stat(&first.uri)?.is_none_or(|status| status.length != bytes) {
        return Ok(false);
    }
    for other in others {
        if storage.stat(&other.uri)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies the parts, which stay, into a file of their own.
fn copy(
    parts: &[&MergeReceipt],
    uri: &str,
    storage: &dyn Storage,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<()> {
    let mut target = storage.create(uri, CreateMode::New)?;
    let mut buffer = Vec::new();
    for part in parts {
        let source = storage.open(&part.uri)?;
        let (mut offset, mut crc32c) = (0, 0);
        while offset < part.bytes {
            cancellation.check()?;
            buffer.resize(to_usize(COPY_BYTES.min(part.bytes - offset))?, 0);
            source.read_exact_at(offset, &mut buffer)?;
            crc32c = crc32c::crc32c_append(crc32c, &buffer);
            target.write_all(&buffer)?;
            offset += to_u64(buffer.len());
            progress.add_bytes(to_u64(buffer.len()));
        }
        if crc32c != part.checksum()? {
            return Err(BuildError::corrupt(&part.uri, "it is not what was written to it"));
        }
    }
    target.finish()?;
    Ok(())
}
