//! Counts of the rows that no index can hold, by kind, with the first ids of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{BuildError, ErrorKind};

/// How many ids of each kind are kept: the smallest, so that partitioning does not change them.
const FIRST_IDS: usize = 5;

/// Why a row cannot be in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum BadRow {
    NullId,
    NullEmbedding,
    NullComponent,
    WrongDimension,
    NotFinite,
    TooLarge,
    ZeroNorm,
}

impl BadRow {
    fn describe(self) -> &'static str {
        match self {
            Self::NullId => "without an id",
            Self::NullEmbedding => "without an embedding",
            Self::NullComponent => "with a null inside the embedding",
            Self::WrongDimension => "of the wrong dimension",
            Self::NotFinite => "with NaN or an infinite number",
            Self::TooLarge => "too large for distances in single precision",
            Self::ZeroNorm => "of length zero, which cosine cannot scale",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    rows: u64,
    first_ids: Vec<i64>,
    /// For the wrong dimension: the dimension of the row with the smallest id.
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<u64>,
}

/// The bad rows of a partition, or of all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ledger(BTreeMap<BadRow, Entry>);

impl Ledger {
    /// Counts one row. `id` is absent when the row has none, `dimension` unless it is what is wrong.
    pub(crate) fn record(&mut self, kind: BadRow, id: Option<i64>, dimension: Option<u64>) {
        let one = Entry { rows: 1, first_ids: id.into_iter().collect(), dimension };
        self.0.entry(kind).or_default().add(one);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (kind, entry) in other.0 {
            self.0.entry(kind).or_default().add(entry);
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.0.values().map(|entry| entry.rows).sum()
    }

    pub(crate) fn rows_of(&self, kind: BadRow) -> u64 {
        self.0.get(&kind).map_or(0, |entry| entry.rows)
    }

    /// Each kind in words, its rows and the first of their ids.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'static str, u64, &[i64])> {
        self.0.iter().map(|(kind, entry)| (kind.describe(), entry.rows, entry.first_ids.as_slice()))
    }

    /// The bad rows in words, for a message.
    pub(crate) fn describe(&self, expected_dimension: u64) -> String {
        let kinds: Vec<String> = self
            .0
            .iter()
            .map(|(kind, entry)| {
                let ids: Vec<String> = entry.first_ids.iter().map(i64::to_string).collect();
                let mut text = format!("{} {}", entry.rows, kind.describe());
                if let Some(dimension) = entry.dimension {
                    text += &format!(" ({dimension} instead of {expected_dimension})");
                }
                match ids.as_slice() {
                    [] => text,
                    [id] => text + &format!(" [id {id}]"),
                    ids => text + &format!(" [first ids {}]", ids.join(", ")),
                }
            })
            .collect();
        kinds.join("; ")
    }

    /// The error of the policy `badRows=fail`.
    pub(crate) fn to_error(&self, expected_dimension: u64) -> BuildError {
        let found = self.describe(expected_dimension);
        let message = format!("{} bad rows: {found}. badRows=skip leaves them out.", self.rows());
        BuildError::new(ErrorKind::BadRows, message)
    }
}

impl Entry {
    fn add(&mut self, other: Self) {
        let smaller = other.first_ids.first() < self.first_ids.first() || self.first_ids.is_empty();
        if other.dimension.is_some() && (self.dimension.is_none() || smaller) {
            self.dimension = other.dimension;
        }
        self.rows += other.rows;
        self.first_ids.extend(other.first_ids);
        self.first_ids.sort_unstable();
        self.first_ids.truncate(FIRST_IDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_merged_in_any_order_give_the_same_ledger_and_message() {
        let mut left = Ledger::default();
        left.record(BadRow::NotFinite, Some(9), None);
        left.record(BadRow::WrongDimension, Some(4), Some(7));
        let mut right = Ledger::default();
        right.record(BadRow::WrongDimension, Some(2), Some(9));
        right.record(BadRow::NullId, None, None);
        let (mut one, mut other) = (left.clone(), right.clone());
        one.merge(right);
        other.merge(left);
        assert_eq!(one, other);
        let message = one.to_error(8).to_string();
        for part in
            ["4 bad rows", "1 without an id", "2 of the wrong dimension (9 instead of 8) [first ids 2, 4]", "[id 9]"]
        {
            assert!(message.contains(part), "{message}");
        }
    }
}
