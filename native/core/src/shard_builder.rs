//! The encode stage of one partition: rows in, sorted runs out, in bounded memory.

use std::sync::Arc;

use faiss_indexer_storage::Storages;

use crate::build_context::BuildContext;
use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::ledger::BadRow;
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{Clock, RunFile, ShardReceipt};
use crate::run_file::{RunLayout, SortedRows, write_run};
use crate::stage::Progress;
use crate::training::TrainedState;
use crate::vectors::RowFilter;
use crate::workers::Workers;

/// Encodes rows as they come and writes a run whenever half of the memory limit is full; sorting takes the rest.
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
    runs: Vec<RunFile>,
    began: u64,
}

impl ShardBuilder {
    pub(crate) fn open(
        context: BuildContext,
        partition: u32,
        trained: TrainedState,
        workers: Workers,
        storages: Storages,
    ) -> Result<Self> {
        /// The list number, the id, its sorted copy and the place in the order of a row.
        const BYTES_BESIDE_CODE: u64 = 4 + 8 + 8 + 8 + 4;
        let shape = trained.encoder.shape();
        let layout = trained.run_layout();
        let waiting = to_u64(workers.count() * trained.encoder.block_rows()) * shape.dimension * 4;
        let for_rows = (context.spec.memory_limit / 2).saturating_sub(waiting);
        let most_rows = for_rows / (shape.code_size + BYTES_BESIDE_CODE);
        let most_rows = to_usize(most_rows.clamp(1024, u64::from(u32::MAX)))?;
        Ok(Self {
            dimension: to_usize(context.spec.dimension)?,
            filter: RowFilter::new(to_usize(context.spec.dimension)?, context.spec.metric),
            rows: EncodedRows::new(most_rows, to_usize(shape.code_size)?, to_usize(layout.nlist)?)?,
            most_rows,
            waiting_ids: Vec::new(),
            waiting_vectors: Vec::new(),
            runs: Vec::new(),
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

    /// Adds a row that is encoded already: its first code and its second.
    pub(crate) fn append_encoded(&mut self, list: u32, id: i64, codes: &[u8]) -> Result<()> {
        if codes.len() != self.rows.code_size || u64::from(list) >= self.layout.nlist {
            let message = format!("a row of {} bytes in list {list} does not fit the shard", codes.len());
            return Err(BuildError::new(ErrorKind::Internal, message));
        }
        if self.rows.ids.len() >= self.most_rows {
            self.write_run(&Cancellation::default(), &Progress::default())?;
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
        self.encode_waiting(self.waiting_ids.len(), cancellation, progress)?;
        if !self.rows.ids.is_empty() {
            self.write_run(cancellation, progress)?;
        }
        Ok(ShardReceipt {
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
            self.write_run(cancellation, progress)?;
        }
        let mut lists = vec![0; count];
        let begin = self.rows.codes.len();
        self.rows.codes.resize(begin + count * self.rows.code_size, 0);
        let pieces: Vec<_> = self.waiting_vectors[..count * self.dimension]
            .chunks(block * self.dimension)
            .zip(lists.chunks_mut(block))
            .zip(self.rows.codes[begin..].chunks_mut(block * self.rows.code_size))
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

    fn write_run(&mut self, cancellation: &Cancellation, progress: &Progress) -> Result<()> {
        let uri = self.context.attempt_file(&format!("shard-{:05}-run-{}", self.partition, self.runs.len()));
        self.rows.sort();
        let run = write_run(uri, &self.layout, &self.rows, &self.storages, cancellation)?;
        progress.add_bytes(run.bytes);
        self.runs.push(run);
        self.rows.clear();
        Ok(())
    }
}

/// Rows in memory, in the order they came, and the order of a run.
struct EncodedRows {
    code_size: usize,
    nlist: usize,
    lists: Vec<u32>,
    ids: Vec<i64>,
    codes: Vec<u8>,
    order: Vec<u32>,
}

impl EncodedRows {
    /// Reserves addresses for `rows` rows; memory is used as rows come, and never twice by growing.
    fn new(rows: usize, code_size: usize, nlist: usize) -> Result<Self> {
        let (mut lists, mut ids, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        let reserved = lists
            .try_reserve_exact(rows)
            .and_then(|()| ids.try_reserve_exact(rows))
            .and_then(|()| codes.try_reserve_exact(rows * code_size));
        reserved.map_err(|_| {
            let message = format!("no memory for {rows} encoded rows; a smaller memoryLimit writes runs earlier");
            BuildError::new(ErrorKind::OutOfMemory, message)
        })?;
        Ok(Self { code_size, nlist, lists, ids, codes, order: Vec::new() })
    }

    fn sort(&mut self) {
        let mut order: Vec<u32> = (0..).take(self.ids.len()).collect();
        order.sort_unstable_by(|a, b| {
            let (a, b) = (index(*a), index(*b));
            (self.lists[a], self.ids[a]).cmp(&(self.lists[b], self.ids[b])).then_with(|| self.code(a).cmp(self.code(b)))
        });
        self.order = order;
    }

    fn code(&self, row: usize) -> &[u8] {
        &self.codes[row * self.code_size..(row + 1) * self.code_size]
    }

    fn clear(&mut self) {
        self.lists.clear();
        self.ids.clear();
        self.codes.clear();
        self.order = Vec::new();
    }
}

impl SortedRows for EncodedRows {
    fn list_sizes(&self) -> Vec<u32> {
        let mut sizes = vec![0; self.nlist];
        for list in &self.lists {
            sizes[index(*list)] += 1;
        }
        sizes
    }

    fn ids(&self) -> impl Iterator<Item = i64> {
        self.order.iter().map(|row| self.ids[index(*row)])
    }

    fn codes(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().map(|row| self.code(index(*row)))
    }
}

/// Lossless: the library is built for 64-bit machines only (`numbers::to_u64` asserts it).
#[expect(clippy::as_conversions, reason = "u32 fits into usize")]
fn index(row: u32) -> usize {
    row as usize
}
