//! The merge stage: all runs become one index file, read and written as streams.
//!
//! Memory does not depend on rows, nor on shards up to 1,024 runs: one size per list, and a share of [`BUFFER_BYTES`]
//! per open section. Each run beyond that adds 64 KiB.

use faiss_indexer_storage::{CreateMode, SequentialWrite, Storages};
use log::info;

use crate::build_context::BuildContext;
use crate::cancellation::Cancellation;
use crate::duplicates::{Duplicates, find_duplicates};
use crate::error::{BuildError, ErrorKind, Result};
use crate::index_template::{IndexTemplate, list_block_header};
use crate::merge_streams::{CodeMerge, IdMerge};
use crate::numbers::to_usize;
use crate::receipts::{Clock, MergeReceipt, Receipts};
use crate::run_file::{RunLayout, RunReader, Section, SectionReader};
use crate::spec::DuplicateIds;
use crate::stage::Progress;
use crate::training::{self, TrainedState};

/// Shared by the sections of all runs that are read at the same time.
const BUFFER_BYTES: usize = 64 << 20;

/// Merges the shards that `receipts` name into one file in the temporary directory.
pub(crate) fn merge(
    context: &BuildContext,
    receipts: &Receipts,
    storages: &Storages,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<MergeReceipt> {
    let began = Clock::start();
    let trained = training::load(context, receipts.trained()?, storages)?;
    let runs = open_runs(receipts, &trained, storages)?;
    let encoded: u64 = receipts.shards.iter().map(|shard| shard.rows).sum();
    refuse_changed_input(context, encoded)?;
    info!("merging {encoded} rows in {} runs", runs.sections.len());

    let mut sizes = runs.total_sizes()?;
    let policy = context.spec.duplicate_ids;
    let duplicates = if policy == DuplicateIds::Allow {
        Duplicates::default()
    } else {
        find_duplicates(runs.all_ids()?, policy, cancellation)?
    };
    if !duplicates.is_empty() {
        runs.keep_first(&duplicates, &mut sizes, cancellation)?;
    }
    let rows: u64 = sizes.iter().sum();

    let template = IndexTemplate::new(&trained.bytes, &context.family()?, rows)?;
    let uri = context.attempt_file("index");
    let mut output = HashedWriter::new(storages.resolve(&uri)?.create(&uri, CreateMode::New)?);
    match template {
        IndexTemplate::ByLists { before } => {
            output.write(&before)?;
            output.write(&list_block_header(runs.layout.nlist, runs.layout.code_size, &sizes))?;
            runs.write_lists(&mut output, duplicates, cancellation, progress)?;
        }
        IndexTemplate::ByPosition { before, code_units, between } => {
            output.write(&before)?;
            output.write(&code_units.to_le_bytes())?;
            runs.write_sequence(&mut output, &between, rows, duplicates, cancellation, progress)?;
        }
    }
    let (bytes, crc32c) = output.finish()?;
    progress.add_bytes(bytes);
    let fingerprint = trained.fingerprint;
    Ok(MergeReceipt { uri, bytes, crc32c, rows, dropped_rows: encoded - rows, fingerprint, clock: Clock::stop(began) })
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

fn open_runs(receipts: &Receipts, trained: &TrainedState, storages: &Storages) -> Result<Runs> {
    let layout = trained.run_layout();
    for shard in &receipts.shards {
        if shard.fingerprint != layout.fingerprint {
            let message = format!("the shard of partition {} was encoded with another trained state", shard.partition);
            return Err(BuildError::new(ErrorKind::FingerprintMismatch, message));
        }
    }
    let files = receipts.shards.iter().flat_map(|shard| &shard.runs);
    let sections = files.map(|run| RunReader::open(run, &layout, storages)).collect::<Result<Vec<_>>>()?;
    Ok(Runs { layout, sections })
}

/// A section's share of the buffers: the sizes, the codes and two passes over the ids are read at the same time.
fn buffer_bytes(runs: usize) -> usize {
    const SECTIONS: usize = 4;
    (BUFFER_BYTES / SECTIONS / runs.max(1)).clamp(16 << 10, 4 << 20)
}

struct Runs {
    layout: RunLayout,
    sections: Vec<RunReader>,
}

impl Runs {
    /// One reader per run for `section`.
    fn readers(&self, section: Section) -> Vec<SectionReader> {
        let buffer = buffer_bytes(self.sections.len());
        self.sections.iter().map(|run| run.section(section, buffer)).collect()
    }

    /// All ids of all runs, ascending.
    fn all_ids(&self) -> Result<IdMerge> {
        let mut ids = IdMerge::new(self.readers(Section::SortedIds));
        let rows: Vec<u64> = self.sections.iter().map(RunReader::rows).collect();
        ids.begin_list(&rows)?;
        Ok(ids)
    }

    fn total_sizes(&self) -> Result<Vec<u64>> {
        let mut total = vec![0; to_usize(self.layout.nlist)?];
        for mut sizes in self.sections.iter().map(|run| run.section(Section::ListSizes, 1 << 20)) {
            for total in &mut total {
                *total += sizes.take_size()?;
            }
        }
        Ok(total)
    }

    /// Takes the rows that repeat an id out of `sizes`.
    fn keep_first(&self, duplicates: &Duplicates, sizes: &mut [u64], cancellation: &Cancellation) -> Result<()> {
        let mut duplicates = duplicates.clone();
        let mut list_sizes = self.readers(Section::ListSizes);
        let mut ids = IdMerge::new(self.readers(Section::Ids));
        for size in sizes {
            ids.begin_list(&next_sizes(&mut list_sizes)?)?;
            while let Some(id) = ids.next()? {
                cancellation.check()?;
                if !duplicates.keep(id) {
                    *size -= 1;
                }
            }
        }
        Ok(())
    }

    /// The codes and then the ids of each list.
    fn write_lists(
        &self,
        output: &mut HashedWriter,
        mut duplicates: Duplicates,
        cancellation: &Cancellation,
        progress: &Progress,
    ) -> Result<()> {
        let mut list_sizes = self.readers(Section::ListSizes);
        let code_size = to_usize(self.layout.code_size)?;
        let mut codes = CodeMerge::new(self.readers(Section::Ids), self.readers(Section::Codes), code_size);
        let mut ids = IdMerge::new(self.readers(Section::Ids));
        // The ids are merged a second time, for they follow the codes; what is kept of them must be the same.
        let mut duplicates_of_ids = duplicates.clone();
        for _ in 0..self.layout.nlist {
            cancellation.check()?;
            let sizes = next_sizes(&mut list_sizes)?;
            write_codes(&mut codes, &sizes, output, &mut duplicates, cancellation, progress)?;
            write_ids(&mut ids, &sizes, output, &mut duplicates_of_ids, cancellation)?;
        }
        Ok(())
    }

    /// All codes, what stands between, and the ids of the id map.
    fn write_sequence(
        &self,
        output: &mut HashedWriter,
        between: &[u8],
        rows: u64,
        mut duplicates: Duplicates,
        cancellation: &Cancellation,
        progress: &Progress,
    ) -> Result<()> {
        let sizes = next_sizes(&mut self.readers(Section::ListSizes))?;
        let code_size = to_usize(self.layout.code_size)?;
        let mut codes = CodeMerge::new(self.readers(Section::Ids), self.readers(Section::Codes), code_size);
        let mut duplicates_of_ids = duplicates.clone();
        write_codes(&mut codes, &sizes, output, &mut duplicates, cancellation, progress)?;
        output.write(between)?;
        output.write(&rows.to_le_bytes())?;
        let mut ids = IdMerge::new(self.readers(Section::Ids));
        write_ids(&mut ids, &sizes, output, &mut duplicates_of_ids, cancellation)
    }
}

/// Rows between two looks at the cancellation flag.
const ROWS_PER_CHECK: u64 = 1 << 16;

fn write_codes(
    codes: &mut CodeMerge,
    sizes: &[u64],
    output: &mut HashedWriter,
    duplicates: &mut Duplicates,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<()> {
    codes.begin_list(sizes)?;
    let mut rows = 0_u64;
    while let Some((id, code)) = codes.next()? {
        if duplicates.keep(id) {
            output.write(code)?;
        }
        rows += 1;
        if rows.is_multiple_of(ROWS_PER_CHECK) {
            cancellation.check()?;
            progress.add_rows(ROWS_PER_CHECK);
        }
    }
    progress.add_rows(rows % ROWS_PER_CHECK);
    Ok(())
}

fn write_ids(
    ids: &mut IdMerge,
    sizes: &[u64],
    output: &mut HashedWriter,
    duplicates: &mut Duplicates,
    cancellation: &Cancellation,
) -> Result<()> {
    ids.begin_list(sizes)?;
    let mut rows = 0_u64;
    while let Some(id) = ids.next()? {
        if duplicates.keep(id) {
            output.write(&id.to_le_bytes())?;
        }
        rows += 1;
        if rows.is_multiple_of(ROWS_PER_CHECK) {
            cancellation.check()?;
        }
    }
    Ok(())
}

fn next_sizes(readers: &mut [SectionReader]) -> Result<Vec<u64>> {
    readers.iter_mut().map(SectionReader::take_size).collect()
}

/// The output file, written in large pieces and hashed on the way.
struct HashedWriter {
    file: Box<dyn SequentialWrite>,
    crc32c: u32,
    buffer: Vec<u8>,
}

impl HashedWriter {
    const WRITE_BYTES: usize = 4 << 20;

    fn new(file: Box<dyn SequentialWrite>) -> Self {
        Self { file, crc32c: 0, buffer: Vec::with_capacity(Self::WRITE_BYTES) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(Self::WRITE_BYTES) {
            if self.buffer.len() + piece.len() > Self::WRITE_BYTES {
                self.flush()?;
            }
            self.buffer.extend_from_slice(piece);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, &self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, String)> {
        self.flush()?;
        Ok((self.file.finish()?, format!("{:08x}", self.crc32c)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffers_of_many_runs_share_a_fixed_budget() {
        for runs in [1, 2, 64, 512, 1024] {
            assert!(4 * runs * buffer_bytes(runs) <= BUFFER_BYTES, "{runs} runs");
        }
    }
}
