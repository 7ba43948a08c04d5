//! What `benches/graph_build.rs` measures; no part of the library's interface.

use std::time::Instant;

use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::faiss_index::{FaissIndex, FaissMetric};
use crate::graph_index::GraphIndex;
use crate::single_task::build_single_task;
use crate::stage::Progress;
use crate::workers::Workers;

/// Seconds that filling an index of `factory` takes, and the bytes of its file.
///
/// # Errors
/// Those of the build.
pub fn fill(factory: &str, dimension: u64, vectors: &[f32], threads: Option<usize>) -> Result<(f64, Vec<u8>)> {
    let mut index = FaissIndex::create(dimension, factory, FaissMetric::L2)?;
    let workers = Workers::new(threads.unwrap_or(1), "benchmark")?;
    let cancellation = Cancellation::default();
    index.train(vectors, &workers, &cancellation)?;
    let trained = index.write()?;
    let rows = vectors.len() / usize::try_from(dimension).unwrap_or(1);
    let ids: Vec<i64> = (0..).take(rows).collect();
    let (vectors, mut file) = (vectors.to_vec(), Vec::new());
    let mut write = |piece: &[u8]| {
        file.extend_from_slice(piece);
        Ok(())
    };
    let began = Instant::now();
    if threads.is_some() {
        build_single_task(&trained, ids, vectors, &mut write, &workers, &cancellation, &Progress::default())?;
    } else {
        // Faiss' own add of all rows on one thread.
        let mut index = GraphIndex::read(&trained)?;
        index.whole().add(&vectors, &cancellation)?;
        index.write(ids, &mut write, &cancellation)?;
    }
    Ok((began.elapsed().as_secs_f64(), file))
}
