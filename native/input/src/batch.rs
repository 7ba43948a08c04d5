//! What a reader hands on.

use std::fmt;

/// Rows of one split, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// One id for each row of `vectors`.
    pub ids: Vec<i64>,
    /// Row after row, every one of [`Input::dimension`](crate::Input::dimension) components. NaN and infinities are
    /// left in; so are finite doubles that are infinite as `f32`.
    pub vectors: Vec<f32>,
    /// The rows that are in neither.
    pub rejected: Vec<Rejected>,
}

impl Batch {
    /// Number of rows read: the good and the rejected.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ids.len() + self.rejected.len()
    }
}

/// Why a row cannot be a vector with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// The id is null.
    NullId,
    /// The embedding is null, or a struct around it.
    NullEmbedding {
        /// The row's id.
        id: i64,
    },
    /// The embedding has another number of components.
    WrongDimension {
        /// The row's id.
        id: i64,
        /// Number of components.
        dimension: usize,
    },
    /// A component of the embedding is null.
    NullComponent {
        /// The row's id.
        id: i64,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NullId => write!(formatter, "a row has no id"),
            Self::NullEmbedding { id } => write!(formatter, "the row of id {id} has no embedding"),
            Self::WrongDimension { id, dimension } => {
                write!(formatter, "the embedding of id {id} has dimension {dimension}")
            }
            Self::NullComponent { id } => write!(formatter, "the embedding of id {id} has a null in it"),
        }
    }
}

/// The size of a batch that readers aim at, in bytes of ids and embeddings.
const BATCH_BYTES: usize = 4 << 20;

/// The most rows that are decoded at once in search of one that tells the dimension.
pub(crate) const MOST_ROWS_OF_A_SEARCH: usize = 1_024;

/// How many rows a reader decodes at once. `average_components` is what the file says of its rows, so that rows of a
/// wrong, larger dimension are bounded too.
pub(crate) fn rows_per_batch(dimension: usize, average_components: usize, batch_rows: usize) -> usize {
    let components = dimension.max(average_components);
    let row_bytes = components.saturating_mul(size_of::<f32>()).saturating_add(size_of::<i64>());
    (BATCH_BYTES / row_bytes).min(batch_rows).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_four_mebibytes_or_the_asked_rows_or_one() {
        for (dimension, average, asked, expected) in [
            (192, 192, 1_000_000, 5_405),
            (192, 192, 100, 100),
            (192, 192, 0, 1),
            (192, 2_000_000, 100, 1),
            (10_000_000, 1, 100, 1),
            (usize::MAX, usize::MAX, 100, 1),
        ] {
            assert_eq!(rows_per_batch(dimension, average, asked), expected);
        }
    }
}
