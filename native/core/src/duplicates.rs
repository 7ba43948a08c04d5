//! Ids that occur more than once.

use std::collections::HashMap;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge_streams::IdMerge;
use crate::spec::DuplicateIds;

/// The ids that occur more than once, and which of them were met already.
#[derive(Debug, Clone, Default)]
pub(crate) struct Duplicates {
    met: HashMap<i64, bool>,
    first: Vec<i64>,
    rows: u64,
}

/// `keepFirst` holds the repeated ids in memory; more of them are a mistake in the input.
const MOST_KEPT: usize = 10_000_000;
/// How many ids a message names.
const FIRST_IDS: usize = 5;

/// Goes through all ids of all runs in ascending order. Under the policy `fail` a repeated id is an error.
pub(crate) fn find_duplicates(
    mut ids: IdMerge,
    policy: DuplicateIds,
    cancellation: &Cancellation,
) -> Result<Duplicates> {
    let mut duplicates = Duplicates::default();
    let (mut last, mut seen) = (None, 0_u64);
    while let Some(id) = ids.next()? {
        if last == Some(id) {
            duplicates.add(id, policy)?;
        }
        last = Some(id);
        seen += 1;
        if seen.is_multiple_of(1 << 16) {
            cancellation.check()?;
        }
    }
    if policy == DuplicateIds::Fail && duplicates.rows > 0 { Err(duplicates.to_error()) } else { Ok(duplicates) }
}

impl Duplicates {
    pub(crate) fn is_empty(&self) -> bool {
        self.met.is_empty()
    }

    fn to_error(&self) -> BuildError {
        let first: Vec<String> = self.first.iter().map(i64::to_string).collect();
        let message = format!(
            "duplicate ids: {} rows repeat an id [first ids {}]. duplicateIds=keepFirst keeps one row of each, \
             duplicateIds=allow keeps all.",
            self.rows,
            first.join(", ")
        );
        BuildError::new(ErrorKind::DuplicateIds, message)
    }

    /// Whether this is the first row of its id.
    pub(crate) fn keep(&mut self, id: i64) -> bool {
        self.met.get_mut(&id).is_none_or(|met| !std::mem::replace(met, true))
    }

    fn add(&mut self, id: i64, policy: DuplicateIds) -> Result<()> {
        self.rows += 1;
        if self.first.len() < FIRST_IDS && self.first.last() != Some(&id) {
            self.first.push(id);
        }
        if policy == DuplicateIds::KeepFirst {
            self.met.insert(id, false);
        }
        if self.met.len() > MOST_KEPT {
            let message = format!("more than {MOST_KEPT} ids are repeated, which is more than keepFirst can remember");
            return Err(BuildError::new(ErrorKind::DuplicateIds, message));
        }
        Ok(())
    }
}
