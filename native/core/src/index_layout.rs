//! What an index file consists of, from its first byte to its last: bytes that training fixed, and rows in between.
//!
//! [`crate::index_template`] makes the layout of a family, [`crate::merge`] fills it.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;

/// One part of an index file. The parts of a file follow one another without gaps.
#[derive(Debug, Clone)]
pub(crate) enum FilePiece {
    /// Bytes as they stand.
    Bytes(Vec<u8>),
    /// The block of inverted lists: its header with all list sizes, then every list.
    Lists {
        /// How the codes of a list are stored.
        format: ListFormat,
        /// What is stored as the label of a row.
        labels: Labels,
    },
    /// A vector of codes of all rows in id order, after its length in units (u64).
    Codes {
        /// Which of a row's codes.
        part: CodePart,
        /// Bytes per unit of the length: 1, or 4 where Faiss counts floats.
        unit_bytes: u64,
        /// Absent where the codes of rows simply follow one another.
        packing: Option<Arc<dyn RowPacking>>,
    },
    /// The id map: the number of rows (u64), then all ids, ascending.
    IdMap,
}

/// The two ways in which Faiss writes inverted lists (`write_InvertedLists` in index_write.cpp).
#[derive(Debug, Clone)]
pub(crate) enum ListFormat {
    /// `ilar`: a table of sizes, then for each list its codes and its labels.
    Array,
    /// `ilbl`: for each list its labels and then its packed codes, both after their length.
    Blocks(Arc<dyn RowPacking>),
}

/// The labels in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    /// The user's ids.
    Ids,
    /// The place of the row in id order; an id map around the index, or a second code beside it, goes by that.
    Positions,
}

/// A row has one code, or two when the index re-ranks by a finer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodePart {
    /// The code that is searched.
    First,
    /// The code that refines the result.
    Second,
}

/// Codes that Faiss stores interleaved, block by block (4-bit fast scan).
pub(crate) trait RowPacking: Send + Sync + fmt::Debug {
    /// Rows per block; the last block of a sequence is filled up with zero codes.
    fn rows_per_block(&self) -> u64;

    /// Bytes per block.
    fn block_bytes(&self) -> u64;

    /// Packs the codes of `rows` rows, which begin at the first row of a block, into `packed`, which holds the
    /// blocks of these rows exactly.
    fn pack(&self, codes: &[u8], rows: usize, packed: &mut [u8]) -> Result<()>;
}
