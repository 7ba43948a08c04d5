//! The encode stage of one partition: rows in, sorted runs out, in bounded memory.

use std::sync::Arc;

use faiss_indexer_storage::Storages;

use crate::build_context::BuildContext;
use crate::build_report::PartialTruth;
use crate::cancellation::Cancellation;
use crate::encode_memory::EncodeMemory;
use crate::encoded_rows::EncodedRows;
use crate::error::{BuildError, ErrorKind, Result};
use crate::ledger::BadRow;
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{Clock, RunFile, ShardReceipt};
use crate::run_file::{RunLayout, write_run};
use crate::stage::Progress;
use crate::training::TrainedState;
use crate::vectors::RowFilter;
use crate::workers::Workers;

/// Encodes rows as they come and writes a run whenever their share of the memory limit is full.
pub(crate) struct ShardBuilder {
    context: BuildContext,
    storages: Storages,
    partition: u32,
    trained: TrainedState,
    layout: RunLayout,
    workers: Workers,
    filter: RowFilter,
    dimension: usize,
    waiting_ids: Vec<i64>,
    waiting_vectors: Vec<f32>,
    rows: EncodedRows,
    memory: EncodeMemory,
    shards: u32,
    runs: Vec<RunFile>,
    truth: Option<PartialTruth>,
    began: u64,
}

impl ShardBuilder {
    pub(crate) fn open(
        context: BuildContext,
        partition: u32,
        trained: TrainedState,
        workers: Workers,
        storages: Storages,
        truth: Option<PartialTruth>,
    ) -> Result<Self> {
        let shape = trained.encoder.shape();
        let layout = trained.run_layout(&context.family()?);
        let limit = context.spec.memory_limit;
        let memory = EncodeMemory::share(limit, workers.count(), trained.encoder.block_rows(), &shape)?;
        let dimension = to_usize(context.spec.dimension)?;
        let (mut waiting_ids, mut waiting_vectors) = (Vec::new(), Vec::new());
        let reserved = waiting_ids.try_reserve_exact(memory.step_rows);
        reserved.and_then(|()| waiting_vectors.try_reserve_exact(memory.step_rows * dimension)).map_err(|_| {
            let message = format!("no memory for {} rows to wait to be encoded", memory.step_rows);
            BuildError::new(ErrorKind::OutOfMemory, message)
        })?;
        Ok(Self {
            dimension,
            filter: RowFilter::new(to_usize(context.spec.dimension)?, context.spec.metric),
            rows: EncodedRows::new(
                memory.run_rows,
                to_usize(shape.code_size)?,
                to_usize(shape.second_code_size)?,
                to_usize(layout.nlist)?,
            )?,
            shards: u32::try_from(context.spec.shards).unwrap_or(u32::MAX),
            memory,
            waiting_ids,
            waiting_vectors,
            runs: Vec::new(),
            truth,
            began: Clock::start(),
            context,
            storages,
            partition,
            trained,
            layout,
            workers,
        })
    }

    pub(crate) fn append(
        &mut self,
        ids: &[i64],
        vectors: &[f32],
        cancellation: &Cancellation,
        progress: &Progress,
    ) -> Result<()> {
        if vectors.len() != ids.len() * self.dimension {
            let (ids, floats, dimension) = (ids.len(), vectors.len(), self.dimension);
            return Err(BuildError::invalid(format!("{ids} ids do not fit {floats} floats of {dimension} dimensions")));
        }
        // However many rows come at once, no more wait than the workers take, and these encode whole blocks only.
        let (mut ids, mut vectors) = (ids, vectors);
        while !ids.is_empty() {
            let room = (self.memory.step_rows - self.waiting_ids.len()).min(ids.len());
            let (some_ids, other_ids) = ids.split_at(room);
            let (some_vectors, other_vectors) = vectors.split_at(room * self.dimension);
            let (waiting_ids, waiting_vectors) = (&mut self.waiting_ids, &mut self.waiting_vectors);
            let expected = waiting_ids.len() + room;
            self.filter.each(some_ids, some_vectors, |id, row| {
                waiting_ids.push(id);
                waiting_vectors.extend_from_slice(row);
                Ok(())
            })?;
            // Nothing is left to do for bad rows; the others count when they are encoded.
            progress.add_rows(to_u64(expected - self.waiting_ids.len()));
            if self.waiting_ids.len() == self.memory.step_rows {
                self.encode_waiting(cancellation, progress)?;
            }
            (ids, vectors) = (other_ids, other_vectors);
        }
        Ok(())
    }

    /// Adds a row that is encoded already: its first code and its second.
    pub(crate) fn append_encoded(
        &mut self,
        list: u32,
        id: i64,
        codes: &[u8],
        cancellation: &Cancellation,
        progress: &Progress,
    ) -> Result<()> {
        if codes.len() != self.rows.row_bytes() || u64::from(list) >= self.layout.nlist {
            let (bytes, expected, lists) = (codes.len(), self.rows.row_bytes(), self.layout.nlist);
            let message =
                format!("a row of {bytes} bytes in list {list} does not fit {expected} bytes and {lists} lists");
            return Err(BuildError::new(ErrorKind::Internal, message));
        }
        if self.rows.ids.len() >= self.memory.run_rows {
            self.write_runs(cancellation, progress)?;
        }
        self.rows.lists.push(list);
        self.rows.ids.push(id);
        self.rows.codes.extend_from_slice(codes);
        Ok(())
    }

    pub(crate) fn reject(&mut self, kind: BadRow, id: Option<i64>, dimension: Option<u64>) {
        self.filter.ledger_mut().record(kind, id, dimension);
    }

    pub(crate) fn finish(mut self, cancellation: &Cancellation, progress: &Progress) -> Result<ShardReceipt> {
        self.encode_waiting(cancellation, progress)?;
        if !self.rows.ids.is_empty() {
            self.write_runs(cancellation, progress)?;
        }
        let truth = self.truth.map(|truth| truth.write(&self.context, self.partition, &self.storages)).transpose()?;
        Ok(ShardReceipt {
            truth,
            partition: self.partition,
            fingerprint: self.trained.fingerprint,
            rows: self.runs.iter().map(|run| run.rows).sum(),
            ledger: self.filter.ledger().clone(),
            runs: self.runs,
            clock: Clock::stop(self.began),
        })
    }

    fn encode_waiting(&mut self, cancellation: &Cancellation, progress: &Progress) -> Result<()> {
        let encoder = Arc::clone(&self.trained.encoder);
        let (count, block) = (self.waiting_ids.len(), self.memory.block_rows);
        if !self.rows.ids.is_empty() && self.rows.ids.len() + count > self.memory.run_rows {
            self.write_runs(cancellation, progress)?;
        }
        if let Some(truth) = &mut self.truth {
            truth.append(&self.waiting_ids, &self.waiting_vectors, &self.workers, cancellation)?;
        }
        let mut lists = vec![0; count];
        let begin = self.rows.codes.len();
        let row_bytes = self.rows.row_bytes();
        self.rows.codes.resize(begin + count * row_bytes, 0);
        let pieces: Vec<_> = self
            .waiting_vectors
            .chunks(block * self.dimension)
            .zip(lists.chunks_mut(block))
            .zip(self.rows.codes[begin..].chunks_mut(block * row_bytes))
            .collect();
        self.workers.each(pieces, |((vectors, lists), codes)| {
            cancellation.check()?;
            encoder.encode(vectors, lists, codes, cancellation)
        })?;
        for list in lists {
            let number = u32::try_from(list).ok().filter(|number| u64::from(*number) < self.layout.nlist);
            self.rows.lists.push(number.ok_or_else(|| {
                let message = format!("a row was assigned to list {list} of {}", self.layout.nlist);
                BuildError::new(ErrorKind::Faiss, message)
            })?);
        }
        self.rows.ids.append(&mut self.waiting_ids);
        self.waiting_vectors.clear();
        progress.add_rows(to_u64(count));
        Ok(())
    }

    /// Writes what is in memory, one run for each shard of the output that has rows.
    fn write_runs(&mut self, cancellation: &Cancellation, progress: &Progress) -> Result<()> {
        let Self { context, partition, runs, layout, storages, rows, shards, .. } = self;
        rows.by_shard(*shards, |shard, rows| {
            let uri = context.attempt_file(&format!("shard-{partition:05}-run-{}", runs.len()));
            let run = write_run(uri, shard, layout, rows, storages, cancellation)?;
            progress.add_bytes(run.bytes);
            runs.push(run);
            Ok(())
        })?;
        rows.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::receipts::{Receipt, Receipts, to_json};
    use crate::stage::StageKind;
    use crate::test_builds::{Rows, TestBuild};
    use crate::training;

    #[test]
    fn rows_that_are_encoded_already_make_the_same_index() {
        let spec = [("factoryString", "IVF4,PQ2np"), ("memoryLimit", "16MiB")];
        let rows = Rows::new(3_000, 8);
        let build = TestBuild::new();
        let reference = build.merged(&spec, &rows.partitions(2)).unwrap();
        let receipts = Receipts::parse(&reference.receipts).unwrap();
        let context = BuildContext::from_json(&reference.build).unwrap();
        let trained = training::load(&context, receipts.trained().unwrap(), &build.storages).unwrap();

        let encoder = Arc::clone(&trained.encoder);
        let workers = Workers::new(1, "encode").unwrap();
        let mut shard = ShardBuilder::open(context, 0, trained, workers, build.storages.clone(), None).unwrap();
        // Runs of a few rows each.
        shard.memory.run_rows = 700;
        let (mut lists, mut codes, progress) = ([0], [0; 2], Progress::default());
        for row in 0..3_000 {
            encoder.encode(rows.row(row), &mut lists, &mut codes, &Cancellation::default()).unwrap();
            let list = u32::try_from(lists[0]).unwrap();
            shard.append_encoded(list, rows.ids[row], &codes, &Cancellation::default(), &progress).unwrap();
        }
        let written: u64 = shard.runs.iter().map(|run| run.bytes).sum();
        assert!(written > 0 && progress.bytes.load(Ordering::Relaxed) == written);
        for (list, codes) in [(4, [0; 2].as_slice()), (0, &[0; 3])] {
            let error = shard.append_encoded(list, 1, codes, &Cancellation::default(), &progress).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
        }
        let shard = shard.finish(&Cancellation::default(), &Progress::default()).unwrap();
        assert_eq!((shard.runs.len(), shard.rows), (5, 3_000));
        let trained = to_json(&Receipt::Train(receipts.trained().unwrap().clone())).unwrap();
        let shard = to_json(&Receipt::Encode(shard)).unwrap();
        let merged = build.task(StageKind::Merge, &reference.build, &[trained, shard], 0, None).unwrap();
        let merged = Receipts::parse(&[merged]).unwrap();
        assert_eq!(merged.merged[0].crc32c, receipts.merged[0].crc32c);
    }

    #[test]
    fn a_cancelled_import_does_not_begin_another_run() {
        let spec = [("factoryString", "IVF4,PQ2np"), ("memoryLimit", "16MiB")];
        let build = TestBuild::new();
        let reference = build.merged(&spec, &Rows::new(3_000, 8).partitions(1)).unwrap();
        let receipts = Receipts::parse(&reference.receipts).unwrap();
        let context = BuildContext::from_json(&reference.build).unwrap();
        let trained = training::load(&context, receipts.trained().unwrap(), &build.storages).unwrap();
        let workers = Workers::new(1, "encode").unwrap();
        let mut shard = ShardBuilder::open(context, 7, trained, workers, build.storages.clone(), None).unwrap();
        shard.memory.run_rows = 1;
        let (cancellation, progress) = (Cancellation::default(), Progress::default());
        shard.append_encoded(0, 1, &[0; 2], &cancellation, &progress).unwrap();
        cancellation.cancel();
        let error = shard.append_encoded(0, 2, &[0; 2], &cancellation, &progress).unwrap_err();
        assert_eq!((error.kind(), shard.runs.len()), (ErrorKind::Cancelled, 0));
    }

    #[test]
    fn many_threads_hold_no_more_rows_and_make_the_same_index() {
        let rows = Rows::new(40_000, 96);
        let build = |threads, memory| {
            let build = TestBuild { threads, ..TestBuild::new() };
            let spec = [("factoryString", "IVF4,Flat"), ("memoryLimit", memory), ("sampleRate", "0.05")];
            let merged = build.merged(&spec, &rows.partitions(1)).unwrap();
            let receipts = Receipts::parse(&merged.receipts).unwrap();
            let run_rows: Vec<u64> = receipts.shards[0].runs.iter().map(|run| run.rows).collect();
            (run_rows, receipts.merged[0].crc32c.clone())
        };
        let (one_run, crc32c) = build(1, "256MiB");
        let (run_rows, crc32c_of_runs) = build(40, "16MiB");
        assert_eq!((one_run, crc32c), (vec![40_000], crc32c_of_runs));
        // Half of the limit, and a quarter of it but for the last run.
        assert!(run_rows.iter().all(|rows| rows * (96 * 4 + 16) <= 8 << 20), "{run_rows:?}");
        assert!(run_rows.iter().rev().skip(1).all(|rows| rows * (96 * 4 + 16) > 3 << 20), "{run_rows:?}");
    }
}
