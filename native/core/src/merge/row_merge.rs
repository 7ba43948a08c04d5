//! What every part of a merge knows of its rows.

use crate::cancellation::Cancellation;
use crate::duplicates::Repeats;
use crate::error::Result;
use crate::merge::first_runs::FirstRuns;
use crate::merge::positions::LabelSource;
use crate::merge::runs::Runs;
use crate::merge::ties::{Tied, Ties};
use crate::stage::Progress;

pub(crate) struct RowMerge<'a> {
    pub(crate) runs: &'a Runs,
    /// Rows of each list in all runs.
    pub(crate) sizes: &'a [u64],
    /// Rows of each list in the index.
    pub(crate) kept: &'a [u64],
    pub(crate) repeats: &'a Repeats,
    /// What the first codes tell the second codes.
    pub(crate) ties: TieMemory,
    /// Whether first codes are merged wherever they are written, for what they tell the second codes.
    pub(crate) needs_first_codes: bool,
    pub(crate) labels: LabelSource,
    pub(crate) cancellation: &'a Cancellation,
    pub(crate) progress: &'a Progress,
}

/// What is remembered of rows that share an id, from merging their first codes to merging their second.
pub(crate) enum TieMemory {
    /// Nothing: rows have no second codes.
    None,
    /// All rows are kept.
    Orders(Ties),
    /// One row of each id is kept.
    First(FirstRuns),
}

impl RowMerge<'_> {
    /// Puts rows of one id, given by their places in `codes`, into the order of their codes.
    pub(crate) fn order_tied(&self, places: &mut [u32], codes: &[u8], code_size: usize) {
        places.sort_by(|a, b| code_at(codes, code_size, *a).cmp(code_at(codes, code_size, *b)));
    }

    /// Remembers for the second codes what they need of that order.
    pub(crate) fn record_tie(
        &self,
        list: u32,
        id: i64,
        places: &[u32],
        run_of: impl Fn(u32) -> usize,
        codes: &[u8],
        code_size: usize,
    ) -> Result<()> {
        let code = |place: &u32| code_at(codes, code_size, *place);
        let run = |place: &u32| u32::try_from(run_of(*place)).unwrap_or(u32::MAX);
        match &self.ties {
            TieMemory::None => Ok(()),
            TieMemory::Orders(ties) => {
                let mut last: Option<&[u8]> = None;
                let rows = places.iter().map(|place| {
                    let code = code(place);
                    let same_code = last.replace(code) == Some(code);
                    Tied { run: run(place), same_code }
                });
                ties.record(list, id, rows.collect())
            }
            TieMemory::First(first_runs) => {
                let (Some((number, kept_in)), Some(smallest)) = (self.repeats.find(id), places.first()) else {
                    return Ok(());
                };
                if kept_in != list {
                    return Ok(());
                }
                let mut runs: Vec<u32> = places.iter().map(run).collect();
                let same = places.iter().take_while(|place| code(place) == code(smallest)).count();
                let mut first = runs[..same].to_vec();
                for runs in [&mut runs, &mut first] {
                    runs.sort_unstable();
                    runs.dedup();
                }
                first_runs.record(number, &first, runs.len())
            }
        }
    }
}

/// The code at `place`.
pub(crate) fn code_at(codes: &[u8], code_size: usize, place: u32) -> &[u8] {
    let begin = usize::try_from(place).map_or(0, |place| place * code_size);
    &codes[begin..begin + code_size]
}
