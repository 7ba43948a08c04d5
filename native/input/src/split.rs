use std::fmt;

use serde::{Deserialize, Serialize};

/// A piece of the input that one reader reads. The same files give the same splits in the same order, so that a
/// journal may key by them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The file's URI.
    pub file: String,
    /// The piece of it.
    pub part: SplitPart,
    /// Number of rows in it.
    pub rows: u64,
    /// Bytes of the file that have to be read for it.
    pub bytes: u64,
}

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SplitPart {
    /// The row group of this number in a Parquet file.
    RowGroup(usize),
    /// Consecutive record batches of an Arrow file.
    RecordBatches {
        /// Number of the first.
        first: usize,
        /// How many.
        count: usize,
    },
    /// Consecutive rows of an `.npy` file.
    Rows {
        /// Number of the first.
        first: u64,
        /// How many.
        count: u64,
    },
}

impl fmt::Display for SplitPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowGroup(number) => write!(formatter, "row group {number}"),
            Self::RecordBatches { first, count: 1 } => write!(formatter, "record batch {first}"),
            Self::RecordBatches { first, count } => {
                write!(formatter, "record batches {first} to {}", first.saturating_add(count.saturating_sub(1)))
            }
            Self::Rows { first, count } => {
                write!(formatter, "rows {first} to {}", first.saturating_add(count.saturating_sub(1)))
            }
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.file, self.part)
    }
}
