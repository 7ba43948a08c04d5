//! Which rows are queries of the report: those with the smallest hashes, whatever the partitions.

use std::collections::BinaryHeap;

use faiss_indexer_storage::Storages;

use crate::build_context::BuildContext;
use crate::cancellation::Cancellation;
use crate::error::{BuildError, Result};
use crate::evaluation::Queries;
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{SampleFile, SampleReceipt};
use crate::row_hash::query_hash;
use crate::sampler::RowFile;
use crate::spec::IndexSpec;
use crate::stage::Progress;

/// Recall of 80 % is measured to within about 1 % at k = 10.
const MOST_QUERIES: u64 = 200;
/// What a sample task holds of them at most.
const MOST_BYTES: u64 = 16 << 20;

/// The rows with the smallest hashes among those offered.
#[derive(Debug)]
pub(crate) struct QuerySample {
    seed: u64,
    most: usize,
    rows: BinaryHeap<QueryRow>,
}

/// In the order of the fields; the bits make the order total where rows share an id.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct QueryRow {
    hash: u64,
    id: i64,
    bits: Vec<u32>,
}

impl QuerySample {
    /// Nothing when the spec asks for no report.
    pub(crate) fn new(spec: &IndexSpec) -> Result<Option<Self>> {
        let most = (MOST_BYTES / (4 * spec.dimension.max(1))).clamp(1, MOST_QUERIES);
        let sample = Self { seed: spec.seed, most: to_usize(most)?, rows: BinaryHeap::new() };
        Ok(spec.report.then_some(sample))
    }

    /// Keeps a row, as an index sees it, if it is among those with the smallest hashes.
    pub(crate) fn offer(&mut self, id: i64, row: &[f32]) {
        let hash = query_hash(id, self.seed);
        if self.rows.len() >= self.most && self.rows.peek().is_some_and(|largest| hash > largest.hash) {
            return;
        }
        self.rows.push(QueryRow { hash, id, bits: row.iter().map(|component| component.to_bits()).collect() });
        if self.rows.len() > self.most {
            self.rows.pop();
        }
    }

    /// Writes the rows by ascending id; no file for no rows.
    pub(crate) fn write(
        self,
        context: &BuildContext,
        storages: &Storages,
        progress: &Progress,
    ) -> Result<Option<SampleFile>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let mut rows = self.rows.into_vec();
        rows.sort_unstable_by(|a, b| (a.id, &a.bits).cmp(&(b.id, &b.bits)));
        let mut file = RowFile::new(context, "queries", storages);
        for row in rows {
            let vector: Vec<f32> = row.bits.into_iter().map(f32::from_bits).collect();
            file.push(row.id, &vector)?;
        }
        file.finish(progress).map(Some)
    }
}

/// The queries of the whole input, from those of all partitions.
pub(crate) fn merge_queries(
    context: &BuildContext,
    samples: &[SampleReceipt],
    storages: &Storages,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<Option<SampleFile>> {
    let Some(mut all) = QuerySample::new(&context.spec)? else {
        return Ok(None);
    };
    let dimension = to_usize(context.spec.dimension)?;
    for file in samples.iter().filter_map(|sample| sample.queries.as_ref()) {
        cancellation.check()?;
        let (ids, vectors) = read_rows(file, dimension, storages)?;
        ids.iter().zip(vectors.chunks_exact(dimension)).for_each(|(id, row)| all.offer(*id, row));
    }
    all.write(context, storages, progress)
}

/// The queries of a build.
pub(crate) fn read_queries(context: &BuildContext, file: &SampleFile, storages: &Storages) -> Result<Queries> {
    let dimension = to_usize(context.spec.dimension)?;
    let (ids, vectors) = read_rows(file, dimension, storages)?;
    Ok(Queries::of_index_rows(vectors, ids, dimension, context.spec.metric))
}

fn read_rows(file: &SampleFile, dimension: usize, storages: &Storages) -> Result<(Vec<i64>, Vec<f32>)> {
    let reader = storages.resolve(&file.uri)?.open(&file.uri)?;
    let vector_bytes = file.rows * to_u64(dimension) * 4;
    if reader.length() != vector_bytes + file.rows * 8 {
        let text = format!("{} bytes do not hold {} rows", reader.length(), file.rows);
        return Err(BuildError::corrupt(&file.uri, text));
    }
    let mut bytes = vec![0; to_usize(reader.length())?];
    reader.read_exact_at(0, &mut bytes)?;
    if crc32c::crc32c(&bytes) != file.crc32c {
        return Err(BuildError::corrupt(&file.uri, "the checksum does not match"));
    }
    let (vectors, ids) = bytes.split_at(to_usize(vector_bytes)?);
    let vectors = vectors.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
    Ok((ids.as_chunks().0.iter().map(|raw| i64::from_le_bytes(*raw)).collect(), vectors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_builds::Rows;

    fn spec(dimension: &str, report: &str) -> IndexSpec {
        let pairs = [("dimension", dimension), ("report", report)];
        IndexSpec::from_pairs(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))).unwrap()
    }

    #[test]
    fn queries_are_the_same_in_any_order_and_are_not_the_training_rows() {
        let mut rows = Rows::new(3_000, 4);
        // An id that is there twice.
        rows.ids[7] = rows.ids[8];
        let choose = |rows: &Rows| {
            let mut sample = QuerySample::new(&spec("4", "true")).unwrap().unwrap();
            (0..rows.ids.len()).for_each(|row| sample.offer(rows.ids[row], rows.row(row)));
            sample.rows.into_sorted_vec()
        };
        let chosen = choose(&rows);
        assert_eq!(chosen.len(), 200);
        assert_eq!(chosen, choose(&rows.select((0..3_000).rev())));
        let mut training = rows.ids.clone();
        training.sort_by_key(|id| crate::row_hash::row_hash(*id, 1234));
        let both = chosen.iter().filter(|row| training[..200].contains(&row.id)).count();
        assert!(both < 40, "{both} of 200 queries are among the first 200 training rows");
    }

    #[test]
    fn rows_of_many_dimensions_are_fewer_queries() {
        for (dimension, most) in [("1", 200), ("20971", 200), ("1048576", 4)] {
            assert_eq!(QuerySample::new(&spec(dimension, "true")).unwrap().unwrap().most, most);
        }
        assert!(QuerySample::new(&spec("8", "false")).unwrap().is_none());
    }
}
