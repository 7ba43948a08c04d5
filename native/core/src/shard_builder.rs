//! The encode stage of one partition: rows in, sorted runs out, in bounded memory.

use std::sync::Arc;

use faiss_indexer_storage::Storages;

use crate::build_context::BuildContext;
use crate::build_report::PartialTruth;
use crate::cancellation::Cancellation;
use crate::encoded_rows::{BYTES_BESIDE_CODES, EncodedRows};
use crate::error::{BuildError, ErrorKind, Result};
use crate::ledger::BadRow;
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{Clock, RunFile, ShardReceipt};
use crate::run_file::{RunLayout, write_run};
use crate::stage::Progress;
use crate::training::TrainedState;
use crate::vectors::RowFilter;
use crate::workers::Workers;

/// Encodes rows as they come and writes a run whenever half of the memory limit is full; the rest is for encoding and for what waits to be
/// encoded.
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
    most_rows: usize,
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
        let row_bytes = shape.code_size + shape.second_code_size + BYTES_BESIDE_CODES;
        let step = to_u64(workers.count() * trained.encoder.block_rows());
        // Almost two steps of rows wait at most.
        let waiting = 2 * step * (shape.dimension * 4 + 8);
        let for_rows = (context.spec.memory_limit / 2).saturating_sub(waiting);
        let most_rows = for_rows / row_bytes;
        let most_rows = to_usize(most_rows.max(step).clamp(1024, u64::from(u32::MAX)))?;
        Ok(Self {
            dimension: to_usize(context.spec.dimension)?,
            filter: RowFilter::new(to_usize(context.spec.dimension)?, context.spec.metric),
            rows: EncodedRows::new(
                most_rows,
                to_usize(shape.code_size)?,
                to_usize(shape.second_code_size)?,
                to_usize(layout.nlist)?,
            )?,
            shards: u32::try_from(context.spec.shards).unwrap_or(u32::MAX),
            most_rows,
            waiting_ids: Vec::new(),
            waiting_vectors: Vec::new(),
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
        // However many rows come at once, no more wait than the workers take.
        let step = self.workers.count() * self.trained.encoder.block_rows();
        for (ids, vectors) in ids.chunks(step).zip(vectors.chunks(step * self.dimension)) {
            self.append_step(ids, vectors, cancellation, progress)?;
        }
        Ok(())
    }

    /// Adds a row that is encoded already: its first code and its second.
    pub(crate) fn append_encoded(&mut self, list: u32, id: i64, codes: &[u8]) -> Result<()> {
        if codes.len() != self.rows.row_bytes() || u64::from(list) >= self.layout.nlist {
            let (bytes, expected, lists) = (codes.len(), self.rows.row_bytes(), self.layout.nlist);
            let message =
                format!("a row of {bytes} bytes in list {list} does not fit {expected} bytes and {lists} lists");
            return Err(BuildError::new(ErrorKind::Internal, message));
        }
        if self.rows.ids.len() >= self.most_rows {
            self.write_runs(&Cancellation::default(), &Progress::default())?;
        }
        self.rows.lists.push(list);
        self.rows.ids.push(id);
        self.rows.codes.extend_from_slice(codes);
        Ok(())
    }

    fn append_step(
        &mut self,
        ids: &[i64],
        vectors: &[f32],
        cancellation: &Cancellation,
        progress: &Progress,
    ) -> Result<()> {
        let (waiting_ids, waiting_vectors) = (&mut self.waiting_ids, &mut self.waiting_vectors);
        self.filter.each(ids, vectors, |id, row| {
            waiting_ids.push(id);
            waiting_vectors.extend_from_slice(row);
            Ok(())
        })?;
        // Whole blocks only: the encoder pads others, which costs as much as rows do.
        let block = self.trained.encoder.block_rows();
        if self.waiting_ids.len() >= self.workers.count() * block {
            let whole = self.waiting_ids.len() / block * block;
            self.encode_waiting(whole, cancellation, progress)?;
        }
        Ok(())
    }

    pub(crate) fn reject(&mut self, kind: BadRow, id: Option<i64>, dimension: Option<u64>) {
        self.filter.ledger_mut().record(kind, id, dimension);
    }

    pub(crate) fn finish(mut self, cancellation: &Cancellation, progress: &Progress) -> Result<ShardReceipt> {
        self.encode_waiting(self.waiting_ids.len(), cancellation, progress)?;
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

    fn encode_waiting(&mut self, count: usize, cancellation: &Cancellation, progress: &Progress) -> Result<()> {
        let encoder = Arc::clone(&self.trained.encoder);
        let block = encoder.block_rows();
        if !self.rows.ids.is_empty() && self.rows.ids.len() + count > self.most_rows {
            self.write_runs(cancellation, progress)?;
        }
        if let Some(truth) = &mut self.truth {
            let rows = &self.waiting_vectors[..count * self.dimension];
            truth.append(&self.waiting_ids[..count], rows, &self.workers, cancellation)?;
        }
        let mut lists = vec![0; count];
        let begin = self.rows.codes.len();
        let row_bytes = self.rows.row_bytes();
        self.rows.codes.resize(begin + count * row_bytes, 0);
        let pieces: Vec<_> = self.waiting_vectors[..count * self.dimension]
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
        self.rows.ids.extend(self.waiting_ids.drain(..count));
        self.waiting_vectors.drain(..count * self.dimension);
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
        shard.most_rows = 700;
        let (mut lists, mut codes) = ([0], [0; 2]);
        for row in 0..3_000 {
            encoder.encode(rows.row(row), &mut lists, &mut codes, &Cancellation::default()).unwrap();
            shard.append_encoded(u32::try_from(lists[0]).unwrap(), rows.ids[row], &codes).unwrap();
        }
        for (list, codes) in [(4, [0; 2].as_slice()), (0, &[0; 3])] {
            assert_eq!(shard.append_encoded(list, 1, codes).unwrap_err().kind(), ErrorKind::Internal);
        }
        let shard = shard.finish(&Cancellation::default(), &Progress::default()).unwrap();
        assert_eq!((shard.runs.len(), shard.rows), (5, 3_000));
        let trained = to_json(&Receipt::Train(receipts.trained().unwrap().clone())).unwrap();
        let shard = to_json(&Receipt::Encode(shard)).unwrap();
        let merged = build.task(StageKind::Merge, &reference.build, &[trained, shard], 0, None).unwrap();
        let merged = Receipts::parse(&[merged]).unwrap();
        assert_eq!(merged.merged[0].crc32c, receipts.merged[0].crc32c);
    }
}
