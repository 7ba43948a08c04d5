//! The true neighbours of the report's queries among the rows of one shard, and the file that carries them.
//!
//! Little-endian: the number of queries (u64); then for each its number of neighbours (u64), their ranks (f64, smaller
//! is nearer) and their ids (i64).

use std::sync::Arc;

use faiss_indexer_storage::{CreateMode, Storages};

use crate::build_context::BuildContext;
use crate::build_report::query_sample::read_queries;
use crate::cancellation::Cancellation;
use crate::error::{BuildError, Result};
use crate::evaluation::{ExactSearch, Neighbours, Queries};
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{TrainReceipt, TruthFile};
use crate::workers::Workers;

/// Neighbours that are kept of each query: twice the largest k of the report, for rows that are equally far or share
/// their id.
const DEPTH: usize = 20;

/// Looks for the neighbours while rows pass by.
#[derive(Debug)]
pub(crate) struct PartialTruth {
    queries: Arc<Queries>,
    search: ExactSearch,
}

impl PartialTruth {
    /// Nothing when the build has no queries.
    pub(crate) fn open(context: &BuildContext, trained: &TrainReceipt, storages: &Storages) -> Result<Option<Self>> {
        let Some(file) = &trained.queries else {
            return Ok(None);
        };
        let queries = Arc::new(read_queries(context, file, storages)?);
        Ok(Some(Self { search: ExactSearch::new(Arc::clone(&queries), DEPTH)?, queries }))
    }

    pub(crate) fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Looks at rows as the index sees them.
    pub(crate) fn append(
        &mut self,
        ids: &[i64],
        vectors: &[f32],
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<()> {
        self.search.append_checked(ids, vectors, workers, cancellation)
    }

    /// Writes what was found.
    pub(crate) fn write(self, context: &BuildContext, partition: u32, storages: &Storages) -> Result<TruthFile> {
        let nearest = self.search.nearest();
        let mut bytes = to_u64(nearest.len()).to_le_bytes().to_vec();
        for rows in nearest.iter().map(|nearest| nearest.rows()) {
            bytes.extend(to_u64(rows.len()).to_le_bytes());
            bytes.extend(rows.iter().flat_map(|row| row.rank.to_le_bytes()));
            bytes.extend(rows.iter().flat_map(|row| row.id.to_le_bytes()));
        }
        let uri = context.attempt_file(&format!("shard-{partition:05}-truth"));
        let mut file = storages.resolve(&uri)?.create(&uri, CreateMode::New)?;
        file.write_all(&bytes)?;
        file.finish()?;
        Ok(TruthFile { uri, bytes: to_u64(bytes.len()), crc32c: crc32c::crc32c(&bytes) })
    }

    /// Adds what another shard found.
    pub(crate) fn read(&mut self, file: &TruthFile, storages: &Storages) -> Result<()> {
        let reader = storages.resolve(&file.uri)?.open(&file.uri)?;
        let count = self.queries.count();
        let corrupt = |text: &str| BuildError::corrupt(&file.uri, text);
        if reader.length() > to_u64(8 + count * (8 + DEPTH * 16)) {
            return Err(corrupt("it is longer than its queries can make it"));
        }
        let mut bytes = vec![0; to_usize(reader.length())?];
        reader.read_exact_at(0, &mut bytes)?;
        if crc32c::crc32c(&bytes) != file.crc32c {
            return Err(corrupt("the checksum does not match"));
        }
        let words: Vec<[u8; 8]> = bytes.as_chunks().0.to_vec();
        let mut words = words.into_iter();
        let mut next = || words.next().ok_or_else(|| corrupt("it ends too early"));
        if u64::from_le_bytes(next()?) != to_u64(count) {
            return Err(corrupt("it is about other queries"));
        }
        for query in 0..count {
            let rows = to_usize(u64::from_le_bytes(next()?).min(to_u64(DEPTH)))?;
            let ranks = (0..rows).map(|_| next().map(f64::from_le_bytes)).collect::<Result<Vec<f64>>>()?;
            for rank in ranks {
                self.search.add(query, rank, i64::from_le_bytes(next()?));
            }
        }
        Ok(())
    }

    /// The neighbours among all rows.
    pub(crate) fn finish(self) -> (Arc<Queries>, Neighbours) {
        (self.queries, self.search.finish())
    }
}
