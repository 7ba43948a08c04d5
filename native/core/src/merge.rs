//! The merge stage: all runs of one shard of the output become one index file.
//!
//! Work is cut into blocks of bounded size, a range of lists or a range of ids. The rows of a block are contiguous in
//! every section of every run, so a block takes one read per run and section, and its place in the file is known
//! before. Blocks are merged by all threads of the task, and written in any order where the storage can.
//!
//! Several tasks may merge one file: each writes a range of its bytes as a file of its own, see [`part`] and
//! [`joining`].
//!
//! Memory depends on neither rows nor runs: up to 96 MiB of blocks being merged and a few that wait for the disk,
//! 8 MiB of ids ahead, 24 bytes per list, and 16 KiB of list sizes per run. Positions are found before, in as much.
//! With `keepFirst`, each repeated id takes 12 bytes, and 4 more with second codes.

mod assembly;
mod first_runs;
mod group_codes;
mod id_order;
pub(crate) mod id_rounds;
pub(crate) mod joining;
mod list_blocks;
mod output;
pub(crate) mod part;
mod positions;
mod row_merge;
pub(crate) mod runs;
mod scatter;
mod second_codes;
mod sequence;
mod single_task;
#[cfg(test)]
mod tests;
mod ties;

use std::path::Path;

use faiss_indexer_storage::Storages;
use log::info;

use crate::build_context::BuildContext;
use crate::cancellation::Cancellation;
use crate::duplicates::{Repeats, find_duplicates};
use crate::error::{BuildError, ErrorKind, Result};
use crate::family::MergePlan;
use crate::index_layout::{CodePart, FilePiece, Labels};
use crate::index_template::index_pieces;
use crate::merge::assembly::{assemble, file_bytes};
use crate::merge::first_runs::FirstRuns;
use crate::merge::output::Output;
pub(crate) use crate::merge::output::{block_bytes, blocks_bytes};
use crate::merge::part::{PART_BLOCK_BYTES, Part, SectionSums};
use crate::merge::positions::{LabelSource, PlaceTable};
use crate::merge::row_merge::{RowMerge, TieMemory};
use crate::merge::runs::Runs;
use crate::merge::single_task::merge_in_memory;
use crate::merge::ties::Ties;
use crate::receipts::{Clock, DuplicateRows, MergeReceipt, PartOfFile, Receipts};
use crate::scratch::scratch_directory;
use crate::spec::DuplicateIds;
use crate::stage::Progress;
use crate::training;
use crate::workers::Workers;

/// What a merge may use.
pub(crate) struct MergeResources<'a> {
    pub(crate) storages: &'a Storages,
    pub(crate) workers: &'a Workers,
    pub(crate) cancellation: &'a Cancellation,
    pub(crate) progress: &'a Progress,
    /// Memory of one block.
    pub(crate) block_bytes: usize,
}

impl<'a> MergeResources<'a> {
    pub(crate) fn new(
        storages: &'a Storages,
        workers: &'a Workers,
        cancellation: &'a Cancellation,
        progress: &'a Progress,
    ) -> Self {
        Self { storages, workers, cancellation, progress, block_bytes: block_bytes(workers.count()) }
    }
}

/// A file that was made of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MergedFile {
    /// Of the part, where several tasks make the file; rows are those of the whole.
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) rows: u64,
    pub(crate) duplicates: DuplicateRows,
    /// What was read, where several tasks make the file.
    pub(crate) sections: SectionSums,
}

/// Merges the runs that `receipts` name and that belong to `task` into a file in the temporary directory.
pub(crate) fn merge(
    context: &BuildContext,
    receipts: &Receipts,
    task: u32,
    resources: &MergeResources,
) -> Result<MergeReceipt> {
    let began = Clock::start();
    let (shard, part) = context.merge_task(task);
    if u64::from(shard) >= context.spec.shards {
        return Err(BuildError::invalid(format!("shard {shard} does not exist; shards={}", context.spec.shards)));
    }
    let trained = training::load(context, receipts.trained()?, resources.storages)?;
    let family = context.family()?;
    let layout = trained.run_layout(&family);
    for receipt in &receipts.shards {
        if receipt.fingerprint != layout.fingerprint {
            let message =
                format!("the shard of partition {} was encoded with another trained state", receipt.partition);
            return Err(BuildError::new(ErrorKind::FingerprintMismatch, message));
        }
    }
    refuse_changed_input(context, receipts.shards.iter().map(|shard| shard.rows).sum())?;
    let files = receipts.shards.iter().flat_map(|receipt| &receipt.runs).filter(|run| run.shard == shard);
    let runs = Runs::open(layout, files, resources.storages)?;
    let encoded: u64 = runs.rows().sum();
    info!("merging {encoded} rows in {} runs", runs.count());
    let block_bytes = if part.is_whole() { resources.block_bytes } else { PART_BLOCK_BYTES };
    let resources = &MergeResources { block_bytes, ..*resources };

    let uri = context.attempt_file("index");
    let policy = context.spec.duplicate_ids;
    let merged = match family.merge_plan() {
        MergePlan::SingleTask => merge_in_memory(&runs, &family, &trained.bytes, policy, &uri, resources)?,
        MergePlan::ByLists | MergePlan::ByPosition => {
            merge_runs(&runs, policy, |rows| index_pieces(&trained.bytes, &family, rows), &uri, part, resources)?
        }
    };
    Ok(MergeReceipt {
        uri,
        bytes: merged.bytes,
        crc32c: format!("{:08x}", merged.crc32c),
        rows: merged.rows,
        dropped_rows: encoded - merged.rows,
        duplicates: merged.duplicates,
        fingerprint: trained.fingerprint,
        shard,
        part: (!part.is_whole()).then_some(PartOfFile { number: part.number, of: part.of, sections: merged.sections }),
        clock: Clock::stop(began),
    })
}

/// Merges `runs` into the file `uri` of what `part` has of the pieces that `make_pieces` gives for the number of rows.
pub(crate) fn merge_runs(
    runs: &Runs,
    policy: DuplicateIds,
    make_pieces: impl Fn(u64) -> Result<Vec<FilePiece>>,
    uri: &str,
    part: Part,
    resources: &MergeResources,
) -> Result<MergedFile> {
    let merged = merge_checked(runs, policy, make_pieces, uri, part, resources);
    merged.map_err(|error| runs.name_damaged(error, resources.cancellation))
}

fn merge_checked(
    runs: &Runs,
    policy: DuplicateIds,
    make_pieces: impl Fn(u64) -> Result<Vec<FilePiece>>,
    uri: &str,
    part: Part,
    resources: &MergeResources,
) -> Result<MergedFile> {
    let MergeResources { storages, workers, cancellation, progress, block_bytes } = *resources;
    let sizes = runs.list_sizes(cancellation)?;
    // What the first part tells of repeated ids, the others need only where it changes what they write.
    let has_second_codes = runs.layout.second_code_size > 0;
    let (duplicates, mut repeats) = match part.number == 0 || policy == DuplicateIds::KeepFirst || has_second_codes {
        true => find_duplicates(runs, policy, workers, cancellation)?,
        false => (DuplicateRows::default(), Repeats::default()),
    };
    let mut without_repeats = None;
    if !repeats.is_empty() {
        let kept = without_repeats.insert(sizes.clone());
        repeats.find_lists(runs, kept, cancellation)?;
    }
    let kept = without_repeats.as_deref().unwrap_or(&sizes);
    let rows: u64 = kept.iter().sum();

    let pieces = make_pieces(rows)?;
    let goes_by_place = pieces.iter().any(|piece| matches!(piece, FilePiece::Lists { labels: Labels::Positions, .. }));
    let output = Output::create(uri, file_bytes(&pieces, &runs.layout, kept), part, resources)?;
    let is_reached = |kind: fn(&FilePiece) -> bool| {
        let mut end = 0;
        pieces.iter().any(|piece| {
            let begin = end;
            end += file_bytes(std::slice::from_ref(piece), &runs.layout, kept);
            kind(piece) && output.window().reaches(&(begin..end))
        })
    };
    let needs_first_codes = !part.is_whole()
        && has_second_codes
        && duplicates.rows > 0
        && is_reached(|piece| matches!(piece, FilePiece::Codes { part: CodePart::Second, .. }));
    let needs_labels = needs_first_codes || is_reached(|piece| matches!(piece, FilePiece::Lists { .. }));
    let labels = if !goes_by_place || !needs_labels {
        LabelSource::Ids
    } else if runs.layout.nlist == 1 {
        LabelSource::PlacesInList
    } else if runs.layout.positions {
        // Beside the output where that is a disk of this machine, for there is room for an index.
        let directory = storages.local_path(uri).and_then(|path| path.parent().map(Path::to_owned));
        let directory = directory.filter(|directory| directory.is_dir()).unwrap_or_else(scratch_directory);
        LabelSource::Places(PlaceTable::build(runs, &sizes, &repeats, &directory, workers, cancellation)?)
    } else {
        return Err(BuildError::new(ErrorKind::Internal, "runs without list numbers cannot be labelled by position"));
    };
    let ties = match runs.layout.second_code_size {
        0 => TieMemory::None,
        _ if repeats.is_empty() => TieMemory::Orders(Ties::default()),
        _ => TieMemory::First(FirstRuns::new(repeats.count())),
    };
    let merge = RowMerge {
        runs,
        sizes: &sizes,
        kept,
        repeats: &repeats,
        ties,
        needs_first_codes,
        labels,
        cancellation,
        progress,
    };
    assemble(&pieces, &merge, &output, block_bytes)?;
    let sections = output.window().sums();
    let (bytes, crc32c) = output.finish()?;
    Ok(MergedFile { bytes, crc32c, rows, duplicates, sections })
}

/// The sample stage counted the rows; an input that changed since then would give an index of neither state.
fn refuse_changed_input(context: &BuildContext, encoded: u64) -> Result<()> {
    match context.good_rows {
        Some(counted) if counted != encoded => Err(BuildError::new(
            ErrorKind::BadRows,
            format!("the input changed during the build: {counted} rows when sampling, {encoded} when encoding"),
        )),
        _ => Ok(()),
    }
}
