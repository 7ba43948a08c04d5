//! 4-bit codes that Faiss interleaves block by block for fast scan, and how to read them row by row
//! (`pq4_pack_codes` in pq4_fast_scan.cpp).

use std::ops::Range;

use faiss_indexer_storage::RandomRead;

use crate::error::{BuildError, ErrorKind, Result};
use crate::numbers::{to_u64, to_usize};

/// Rows whose codes share a run of 32 bytes: 16 bytes of low and high halves for each of two sub-quantizers.
const GROUP_ROWS: u64 = 32;

/// How codes are interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedLayout {
    /// Rows per block, a multiple of 32.
    pub(crate) rows_per_block: u64,
    /// Sub-quantizers, rounded up to an even number.
    pub(crate) padded_subquantizers: u64,
    /// Bytes per row when codes are not interleaved.
    pub(crate) code_size: u64,
}

impl PackedLayout {
    /// Bytes per block.
    pub(crate) fn block_bytes(&self) -> Option<u64> {
        self.padded_subquantizers.div_ceil(2).checked_mul(self.rows_per_block)
    }

    /// Whether rows can be told from blocks of `block_bytes` bytes: other quantizers put more than codes there.
    pub(crate) fn fits(&self, block_bytes: u64) -> bool {
        self.rows_per_block > 0
            && self.rows_per_block.is_multiple_of(GROUP_ROWS)
            && self.code_size <= self.padded_subquantizers.div_ceil(2)
            && self.block_bytes() == Some(block_bytes)
    }

    /// The codes of one block's rows, one after the other.
    pub(crate) fn unpack(&self, block: &[u8], codes: &mut Vec<u8>) -> Result<()> {
        let (rows, size) = (to_usize(self.rows_per_block)?, to_usize(self.code_size)?);
        let begin = codes.len();
        codes.resize(begin + rows * size, 0);
        for (row, code) in codes[begin..].chunks_exact_mut(size.max(1)).enumerate() {
            let (group, place) = (row / 32 * 32, row % 32);
            let half = place % 16;
            // Rows 0 to 7 have the even bytes and rows 8 to 15 the odd ones.
            let at = group + if half < 8 { 2 * half } else { 2 * (half - 8) + 1 };
            let shift = if place < 16 { 0 } else { 4 };
            for (pair, byte) in code.iter_mut().enumerate() {
                let from = pair * rows + at;
                let (Some(low), Some(high)) = (block.get(from), block.get(from + 16)) else {
                    return Err(BuildError::new(ErrorKind::Internal, "a block of packed codes is too short"));
                };
                *byte = (low >> shift & 15) | (high >> shift & 15) << 4;
            }
        }
        Ok(())
    }
}

/// Reads rows of interleaved codes from front to back.
pub(crate) struct PackedReader<'a> {
    file: &'a dyn RandomRead,
    layout: PackedLayout,
    left: Range<u64>,
    block: Vec<u8>,
}

impl<'a> PackedReader<'a> {
    /// Over the whole blocks in `range`.
    pub(crate) fn new(file: &'a dyn RandomRead, layout: PackedLayout, range: Range<u64>) -> Self {
        Self { file, layout, left: range, block: Vec::new() }
    }

    /// Appends the codes of at least one more block, as many as fit into `about_bytes`.
    pub(crate) fn read(&mut self, about_bytes: u64, codes: &mut Vec<u8>) -> Result<()> {
        let size = self.layout.block_bytes().unwrap_or(0).max(1);
        let bytes = (about_bytes / size).max(1).saturating_mul(size).min(self.left.end - self.left.start);
        self.block.resize(to_usize(bytes)?, 0);
        self.file.read_exact_at(self.left.start, &mut self.block)?;
        self.left.start += to_u64(self.block.len());
        self.block.chunks_exact(to_usize(size)?).try_for_each(|block| self.layout.unpack(block, codes))
    }
}
