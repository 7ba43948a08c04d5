//! The order of rows that share id and list but come from several runs, as the merge of their first codes found it.
//!
//! Second codes are stored in id order, apart from the first codes that order such rows; this is what both agree on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{BuildError, ErrorKind, Result};

/// Memory for about this many rows; more of them are a mistake in the input.
pub(crate) const MOST_ROWS: usize = 4_000_000;

/// One row of a tie: the run it comes from, and whether its first code is that of the row before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tied {
    pub(crate) run: u32,
    pub(crate) same_code: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ties {
    table: Mutex<(HashMap<(u32, i64), Vec<Tied>>, usize)>,
}

impl Ties {
    /// Remembers the order of the rows of `id` in `list` if several runs have some.
    pub(crate) fn record(&self, list: u32, id: i64, rows: Vec<Tied>) -> Result<()> {
        if rows.iter().all(|row| row.run == rows[0].run) {
            return Ok(());
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.1 += rows.len();
        if table.1 > MOST_ROWS {
            let message = format!("more than {MOST_ROWS} rows repeat an id, which is more than two codes can go with");
            return Err(BuildError::new(ErrorKind::DuplicateIds, message));
        }
        table.0.insert((list, id), rows);
        Ok(())
    }

    /// The recorded order of the rows of `id` in `list`.
    pub(crate) fn order(&self, list: u32, id: i64) -> Option<Vec<Tied>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).0.get(&(list, id)).cloned()
    }
}
