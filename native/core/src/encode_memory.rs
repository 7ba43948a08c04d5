//! How the memory limit of an encode task is shared: half is for rows that are encoded and for rows that wait to be,
//! the rest for encoding.

use crate::encoded_rows::BYTES_BESIDE_CODES;
use crate::error::Result;
use crate::faiss_index::Shape;
use crate::numbers::{to_u64, to_usize};

/// Blocks of fewer rows cost the encoder as much as these.
const LEAST_BLOCK_ROWS: u64 = 96;
/// Bytes of memory that a waiting row takes beside its components: its id, and its list when it is found.
const BYTES_BESIDE_COMPONENTS: u64 = 8 + 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EncodeMemory {
    /// Rows that one worker encodes at a time.
    pub(crate) block_rows: usize,
    /// Rows that wait until all of them are encoded at once: whole blocks, one for each worker unless memory is short.
    pub(crate) step_rows: usize,
    /// Rows of a run, at least a quarter of the limit.
    pub(crate) run_rows: usize,
}

impl EncodeMemory {
    /// `most_block_rows` are what the encoder would have. What a row is encoded to does not depend on its block.
    pub(crate) fn share(limit: u64, threads: usize, most_block_rows: usize, shape: &Shape) -> Result<Self> {
        let waiting_row_bytes = shape.dimension * 4 + BYTES_BESIDE_COMPONENTS;
        let row_bytes = shape.code_size + shape.second_code_size + BYTES_BESIDE_CODES;
        // A quarter of the limit has room for a step before it is encoded, and for one after.
        let rows_that_fit = (limit / 4 / waiting_row_bytes.max(row_bytes)).max(1);
        let threads = to_u64(threads.max(1));
        let block_rows = (rows_that_fit / threads).max(LEAST_BLOCK_ROWS).min(rows_that_fit);
        let block_rows = block_rows.min(to_u64(most_block_rows)).max(1);
        let step_rows = block_rows * (rows_that_fit / block_rows).clamp(1, threads);
        let for_runs = (limit / 2).saturating_sub(step_rows * waiting_row_bytes);
        let run_rows = (for_runs / row_bytes).clamp(step_rows, u64::from(u32::MAX));
        Ok(Self { block_rows: to_usize(block_rows)?, step_rows: to_usize(step_rows)?, run_rows: to_usize(run_rows)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_limit_holds_and_runs_get_a_quarter_of_it_on_any_number_of_threads() {
        for threads in [1, 2, 12, 23, 32, 128, 1_000] {
            for dimension in [2, 96, 768, 1536, 4096, 65_536] {
                for limit in [16 * MIB, 256 * MIB, 4096 * MIB] {
                    for (code_size, second_code_size) in [(8, 0), (4 * dimension, 0), (dimension, 4 * dimension)] {
                        let mut shape = Shape::raw_rows(dimension);
                        (shape.code_size, shape.second_code_size) = (code_size, second_code_size);
                        let memory = EncodeMemory::share(limit, threads, 960, &shape).unwrap();
                        let what = format!("{threads} {dimension} {limit} {code_size}+{second_code_size}: {memory:?}");
                        let EncodeMemory { block_rows, step_rows, run_rows } = memory;
                        let (step_bytes, row_bytes) = (dimension * 4 + 16, code_size + second_code_size + 16);
                        let runs = to_u64(run_rows) * row_bytes;
                        assert!(to_u64(step_rows) * step_bytes + runs <= limit / 2, "{what}");
                        assert!(runs + row_bytes > limit / 4, "{what}");
                        assert!(block_rows > 0 && block_rows <= 960 && step_rows.is_multiple_of(block_rows), "{what}");
                        assert!(step_rows <= threads * block_rows, "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_are_whole_where_memory_is_plenty() {
        let mut shape = Shape::raw_rows(768);
        shape.code_size = 64;
        let memory = EncodeMemory::share(256 * MIB, 16, 960, &shape).unwrap();
        assert_eq!((memory.block_rows, memory.step_rows), (960, 16 * 960));
        let memory = EncodeMemory::share(256 * MIB, 64, 960, &shape).unwrap();
        assert_eq!((memory.block_rows, memory.step_rows), (339, 64 * 339));
    }
}
