//! The seam between the build and the code that learns and applies a quantization, which is Faiss' behind it.

use std::sync::Arc;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_encoder::FaissRowEncoder;
use crate::faiss_index::{FaissIndex, FaissMetric, Shape};
use crate::family::{Family, MergePlan};
use crate::numbers::to_usize;
use crate::spec::Metric;
use crate::workers::Workers;

/// Learns the parameters of a family from training rows.
pub(crate) trait Trainer {
    /// Trains on row-major `vectors` in the order given and returns the trained index without rows, as Faiss writes
    /// it. The same vectors give the same bytes on any number of workers.
    fn train(&self, vectors: &[f32], workers: &Workers, cancellation: &Cancellation) -> Result<Vec<u8>>;
}

/// Turns rows into what the index stores of them.
pub(crate) trait Encoder: Send + Sync {
    fn shape(&self) -> Shape;

    /// Writes the list number (0 where there are no lists) and the codes of each row-major row, first and second. A
    /// row's result does not depend on the rows beside it. `vectors` holds at most [`Encoder::block_rows`] rows.
    fn encode(&self, vectors: &[f32], lists: &mut [i64], codes: &mut [u8], cancellation: &Cancellation) -> Result<()>;

    /// Rows per call that keep a call short enough to be cancelled.
    fn block_rows(&self) -> usize;
}

pub(crate) fn trainer_for(family: &Family, dimension: u64, metric: Metric) -> impl Trainer {
    let factory_string = family.inner_factory_string().to_owned();
    FaissTrainer { factory_string, dimension, metric: metric.in_faiss() }
}

pub(crate) fn encoder_for(trained: &[u8], plan: MergePlan) -> Result<Arc<dyn Encoder>> {
    let index = FaissIndex::read(trained)?;
    Ok(match plan {
        MergePlan::ByLists | MergePlan::ByPosition => Arc::new(FaissEncoder::new(index)?),
        MergePlan::SingleTask => Arc::new(RawRows { shape: Shape::raw_rows(index.shape().dimension) }),
    })
}

struct FaissTrainer {
    factory_string: String,
    dimension: u64,
    metric: FaissMetric,
}

impl Trainer for FaissTrainer {
    fn train(&self, vectors: &[f32], workers: &Workers, cancellation: &Cancellation) -> Result<Vec<u8>> {
        let mut index = FaissIndex::create(self.dimension, &self.factory_string, self.metric)?;
        index.train(vectors, workers, cancellation)?;
        index.write()
    }
}

/// Rows as they came: the index is built from them in one piece.
struct RawRows {
    shape: Shape,
}

impl Encoder for RawRows {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn encode(&self, vectors: &[f32], lists: &mut [i64], codes: &mut [u8], cancellation: &Cancellation) -> Result<()> {
        cancellation.check()?;
        let (targets, []) = codes.as_chunks_mut() else {
            return Err(BuildError::new(ErrorKind::Internal, "rows were to be stored in buffers of the wrong size"));
        };
        lists.fill(0);
        for (target, component) in targets.iter_mut().zip(vectors) {
            *target = component.to_le_bytes();
        }
        Ok(())
    }

    fn block_rows(&self) -> usize {
        1024
    }
}

/// A row's result does not depend on the number of rows in a call (cpp/row_encoder.h).
struct FaissEncoder {
    encoder: FaissRowEncoder,
    block_rows: usize,
}

impl FaissEncoder {
    fn new(index: FaissIndex) -> Result<Self> {
        const LEAST_ROWS: u64 = 96;
        const MOST_ROWS: u64 = 960;
        /// About a fifth of a second of one core, so that a call can be cancelled in time.
        const MOST_MULTIPLICATIONS: u64 = 4_000_000_000;
        let rows = MOST_MULTIPLICATIONS / index.shape().multiplications.max(1);
        let block_rows = to_usize(rows.clamp(LEAST_ROWS, MOST_ROWS))?;
        Ok(Self { encoder: FaissRowEncoder::new(index)?, block_rows })
    }
}

impl Encoder for FaissEncoder {
    fn shape(&self) -> Shape {
        self.encoder.shape()
    }

    fn encode(&self, vectors: &[f32], lists: &mut [i64], codes: &mut [u8], cancellation: &Cancellation) -> Result<()> {
        let lists = if self.shape().nlist > 0 { lists } else { &mut [] };
        self.encoder.encode(vectors, lists, codes, cancellation)
    }

    fn block_rows(&self) -> usize {
        self.block_rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::IdMap;
    use crate::test_builds::Rows;

    #[test]
    fn the_code_of_a_row_does_not_depend_on_the_rows_beside_it() {
        let rows = Rows::new(3_000, 48);
        for factory in [
            "SQ8",
            "PQ12np",
            "PQ12x4fs",
            "RQ4x4",
            "RaBitQ",
            "LSH96r",
            "IVF16,Flat",
            "IVF16,SQ8",
            "OPQ12,IVF16,PQ12np",
            "IVF16_HNSW8,PQ12x4fsr",
            "IVF16,RQ4x4",
            "IVF16,PQ4+4",
            "PCA16,IVF16,SQ8,RFlat",
            "HNSW8",
        ] {
            let workers = Workers::new(1, "test").unwrap();
            let family = Family::parse(factory, 48, Metric::L2, IdMap::Auto).unwrap();
            let trainer = trainer_for(&family, 48, Metric::L2);
            let trained = trainer.train(&rows.vectors, &workers, &Cancellation::default()).unwrap();
            let encoder = encoder_for(&trained, family.merge_plan()).unwrap();
            let code_size = usize::try_from(encoder.shape().row_bytes()).unwrap();
            let encode = |from: usize, to: usize| {
                let (mut lists, mut codes) = (vec![0; to - from], vec![0; (to - from) * code_size]);
                let vectors = &rows.vectors[from * 48..to * 48];
                encoder.encode(vectors, &mut lists, &mut codes, &Cancellation::default()).unwrap();
                (lists, codes)
            };
            let (lists, codes) = encode(0, encoder.block_rows());
            for (from, to) in [(0, 1), (1, 2), (17, 20), (5, 300), (encoder.block_rows() - 1, encoder.block_rows())] {
                let expected = (lists[from..to].to_vec(), codes[from * code_size..to * code_size].to_vec());
                assert!(encode(from, to) == expected, "{factory}: rows {from} to {to}");
            }
        }
    }
}
