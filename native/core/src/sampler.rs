//! The sample stage of one partition: counts its rows, and writes the rows that may train.

use std::collections::BinaryHeap;

use faiss_indexer_storage::{CreateMode, SequentialWrite, Storages};

use crate::build_context::BuildContext;
use crate::build_report::QuerySample;
use crate::error::Result;
use crate::ledger::{BadRow, Ledger};
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{Clock, SampleFile, SampleReceipt};
use crate::row_hash::{largest_kept, row_hash};
use crate::stage::Progress;
use crate::vectors::RowFilter;

/// Writes a file of the sampled rows, and a small one of the rows that may be queries of the report.
pub(crate) struct Sampler {
    context: BuildContext,
    storages: Storages,
    partition: u32,
    filter: RowFilter,
    good_rows: u64,
    /// The largest hash that is still kept; sinks once more rows are kept than training can use.
    limit: Option<u64>,
    /// Hashes of the kept rows, the largest on top; no more than training can use.
    kept: BinaryHeap<u64>,
    most_kept: usize,
    file: Option<RowFile>,
    queries: Option<QuerySample>,
    began: u64,
}

/// A file of rows that is being written: their vectors, row-major, followed by their ids. It is there as soon as there is
/// enough to write: a task that samples many groups of few rows would otherwise hold as many files open, for each of which
/// the clients of object stores keep 64 MiB.
pub(crate) struct RowFile {
    uri: String,
    storages: Storages,
    writer: Option<Box<dyn SequentialWrite>>,
    ids: Vec<i64>,
    buffer: Vec<u8>,
    crc32c: u32,
}

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

impl Sampler {
    pub(crate) fn open(context: BuildContext, partition: u32, storages: Storages) -> Result<Self> {
        let usable = context.factory_string.is_some().then(|| context.family()).transpose()?;
        let most_kept = usable.map_or(Ok(usize::MAX), |family| to_usize(family.training_rows().usable))?;
        Ok(Self {
            filter: RowFilter::new(to_usize(context.spec.dimension)?, context.spec.metric),
            limit: largest_kept(context.sample_rate),
            queries: QuerySample::new(&context.spec)?,
            context,
            storages,
            partition,
            good_rows: 0,
            kept: BinaryHeap::new(),
            most_kept,
            file: None,
            began: Clock::start(),
        })
    }

    pub(crate) fn append(&mut self, ids: &[i64], vectors: &[f32], progress: &Progress) -> Result<()> {
        let Self { context, storages, filter, good_rows, limit, kept, most_kept, file, queries, .. } = self;
        filter.each(ids, vectors, |id, row| {
            *good_rows += 1;
            if let Some(queries) = queries {
                queries.offer(id, row);
            }
            let hash = row_hash(id, context.spec.seed);
            if limit.is_none_or(|limit| hash > limit) {
                return Ok(());
            }
            kept.push(hash);
            if kept.len() > *most_kept {
                // Rows of this hash and above are not among the smallest that training can use, here or anywhere.
                kept.pop();
                *limit = kept.peek().copied();
            }
            let file = match file {
                Some(file) => file,
                None => file.insert(RowFile::new(context, "sample", storages)),
            };
            file.push(id, row)
        })?;
        progress.add_rows(to_u64(ids.len()));
        Ok(())
    }

    pub(crate) fn reject(&mut self, kind: BadRow, id: Option<i64>, dimension: Option<u64>) {
        self.filter.ledger_mut().record(kind, id, dimension);
    }

    pub(crate) fn finish(self, progress: &Progress) -> Result<SampleReceipt> {
        let ledger: Ledger = self.filter.ledger().clone();
        let sample = self.file.map(|file| file.finish(progress)).transpose()?;
        let queries = self.queries.map(|queries| queries.write(&self.context, &self.storages, progress)).transpose()?;
        Ok(SampleReceipt {
            partition: self.partition,
            good_rows: self.good_rows,
            ledger,
            sample,
            queries: queries.flatten(),
            clock: Clock::stop(self.began),
        })
    }
}

impl RowFile {
    pub(crate) fn new(context: &BuildContext, role: &str, storages: &Storages) -> Self {
        let uri = context.attempt_file(role);
        Self { uri, storages: storages.clone(), writer: None, ids: Vec::new(), buffer: Vec::new(), crc32c: 0 }
    }

    pub(crate) fn push(&mut self, id: i64, row: &[f32]) -> Result<()> {
        self.ids.push(id);
        self.buffer.extend(row.iter().flat_map(|component| component.to_le_bytes()));
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, &self.buffer);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.storages.resolve(&self.uri)?.create(&self.uri, CreateMode::New)?),
        };
        writer.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self, progress: &Progress) -> Result<SampleFile> {
        let ids = std::mem::take(&mut self.ids);
        for some in ids.chunks(WRITE_BYTES / size_of::<i64>()) {
            self.buffer.extend(some.iter().flat_map(|id| id.to_le_bytes()));
            self.flush()?;
        }
        self.flush()?;
        if let Some(writer) = self.writer {
            progress.add_bytes(writer.finish()?);
        }
        Ok(SampleFile { uri: self.uri, rows: to_u64(ids.len()), crc32c: self.crc32c })
    }
}
