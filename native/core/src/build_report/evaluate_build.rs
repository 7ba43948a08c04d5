//! The evaluate stage: recall and list sizes of the merged index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faiss_indexer_storage::Storages;
use log::{info, warn};

use crate::build_context::BuildContext;
use crate::build_report::partial_truth::PartialTruth;
use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::evaluation::{Evaluation, LoadedIndex, Neighbours, Queries, default_sweep, evaluate, suggest};
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{Clock, EvaluateReceipt, MergeReceipt, Receipts};
use crate::scratch::{ScratchFile, free_bytes, scratch_directory};
use crate::spec::DuplicateIds;
use crate::stage::Progress;
use crate::workers::Workers;

const KS: [usize; 2] = [1, 10];
const COPY_BYTES: u64 = 4 << 20;

/// Measures the merged index of a build with `report=true`. What cannot be measured becomes a note: the index is sound
/// without it.
pub(crate) fn evaluate_build(
    context: &BuildContext,
    receipts: &Receipts,
    storages: &Storages,
    workers: &Workers,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<EvaluateReceipt> {
    let began = Clock::start();
    if !context.spec.report {
        return Err(BuildError::invalid("report=false: such a build has no stage evaluate"));
    }
    receipts.merged(context.spec.shards)?;
    let mut notes = Vec::new();
    let found = true_neighbours(context, receipts, storages, cancellation, &mut notes);
    let found = or_note(found, "Recall was not measured", &mut notes)?.flatten();
    let evaluation = open_indexes(&receipts.merged, storages, cancellation).and_then(|opened| match opened {
        Opened::Refused(why) => Err(BuildError::new(ErrorKind::Storage, why)),
        Opened::Indexes(files) => {
            let indexes = files.iter().map(|file| LoadedIndex::open(&file.path())).collect::<Result<Vec<_>>>()?;
            measure(&indexes, found.as_ref(), context, workers, cancellation, progress)
        }
    });
    let evaluation = or_note(evaluation, "The index was not measured", &mut notes)?;
    let suggested = evaluation.as_ref().and_then(suggest);
    Ok(EvaluateReceipt { evaluation, suggested, notes, clock: Clock::stop(began) })
}

/// What a failure leaves undone is said in a note; only a cancellation ends the stage.
fn or_note<T>(result: Result<T>, undone: &str, notes: &mut Vec<String>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
        Err(error) => {
            warn!("{undone}: {error}");
            notes.push(format!("{undone}: {error}."));
            Ok(None)
        }
    }
}

fn measure(
    indexes: &[LoadedIndex],
    found: Option<&(Arc<Queries>, Neighbours)>,
    context: &BuildContext,
    workers: &Workers,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<Evaluation> {
    let Some((queries, truth)) = found else {
        let dimension = to_usize(context.spec.dimension)?;
        let none = Queries::of_index_rows(Vec::new(), Vec::new(), dimension, context.spec.metric);
        let truth = Neighbours { ids: Vec::new(), distances: Vec::new() };
        return evaluate(indexes, &none, &truth, &KS, &[], workers, cancellation);
    };
    let sweep = default_sweep(indexes, to_u64(queries.count()));
    info!("searching {} queries with {} settings", queries.count(), sweep.len());
    let evaluation = evaluate(indexes, queries, truth, &KS, &sweep, workers, cancellation)?;
    progress.add_rows(evaluation.queries);
    Ok(evaluation)
}

/// The queries and their neighbours among all rows, unless a shard does not know them.
fn true_neighbours(
    context: &BuildContext,
    receipts: &Receipts,
    storages: &Storages,
    cancellation: &Cancellation,
    notes: &mut Vec<String>,
) -> Result<Option<(Arc<Queries>, Neighbours)>> {
    let unknown = "Recall was not measured: some rows came encoded, and exact search needs all of them as they were.";
    let Some(mut truth) = PartialTruth::open(context, receipts.trained()?, storages)? else {
        notes.push(unknown.to_owned());
        return Ok(None);
    };
    for shard in receipts.shards.iter().filter(|shard| shard.rows > 0) {
        cancellation.check()?;
        match &shard.truth {
            Some(file) => truth.read(file, storages)?,
            None => {
                notes.push(unknown.to_owned());
                return Ok(None);
            }
        }
    }
    if truth.queries().count() < 2 {
        notes.push("Recall was not measured: there are no two rows to compare.".to_owned());
        return Ok(None);
    }
    let (queries, mut neighbours) = truth.finish();
    if context.spec.duplicate_ids == DuplicateIds::KeepFirst {
        neighbours.keep_nearest_of_each_id();
    }
    Ok(Some((queries, neighbours)))
}

enum Opened {
    Indexes(Vec<LocalIndex>),
    /// Why the files cannot be searched here.
    Refused(String),
}

/// An index file on a disk of this machine.
enum LocalIndex {
    InPlace(PathBuf),
    Copy(ScratchFile),
}

impl LocalIndex {
    fn path(&self) -> PathBuf {
        match self {
            Self::InPlace(path) => path.clone(),
            Self::Copy(file) => file.path(),
        }
    }
}

fn open_indexes(merged: &[MergeReceipt], storages: &Storages, cancellation: &Cancellation) -> Result<Opened> {
    let directory = scratch_directory();
    let to_copy = merged.iter().filter(|file| storages.local_path(&file.uri).is_none()).map(|file| file.bytes).sum();
    if to_copy > 0 {
        let free = free_bytes(&directory).map_err(|error| {
            let what = format!("cannot find out what is free in {}: {error}", directory.display());
            BuildError::new(ErrorKind::Storage, what)
        })?;
        if let Some(why) = refuse_copy(to_copy, free) {
            return Ok(Opened::Refused(format!("{why} in {}", directory.display())));
        }
    }
    let mut indexes = Vec::new();
    for file in merged {
        indexes.push(match storages.local_path(&file.uri) {
            Some(path) => LocalIndex::InPlace(path),
            None => LocalIndex::Copy(download(file, &directory, storages, cancellation)?),
        });
    }
    Ok(Opened::Indexes(indexes))
}

/// A report is not worth a disk so full that the cluster takes the machine out of service.
fn refuse_copy(bytes: u64, free: u64) -> Option<String> {
    (free / 4 < bytes).then(|| format!("a copy of its {bytes} bytes may take a quarter of the {free} that are free"))
}

/// A copy among this machine's scratch files.
fn download(
    file: &MergeReceipt,
    directory: &Path,
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<ScratchFile> {
    let reader = storages.resolve(&file.uri)?.open(&file.uri)?;
    let copy = ScratchFile::create(directory, reader.length(), &format!("a copy of {}", file.uri))?;
    let mut buffer = vec![0; to_usize(COPY_BYTES.min(reader.length()))?];
    let mut offset = 0;
    while offset < reader.length() {
        cancellation.check()?;
        let bytes = &mut buffer[..to_usize(COPY_BYTES.min(reader.length() - offset))?];
        reader.read_exact_at(offset, bytes)?;
        copy.write_all_at(offset, bytes)?;
        offset += to_u64(bytes.len());
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_a_quarter_of_the_free_space_at_most() {
        assert_eq!(refuse_copy(25, 100), None);
        let why = refuse_copy(26, 100).unwrap();
        assert!(why.contains("26 bytes") && why.contains("the 100 that are free"), "{why}");
    }
}
