//! What every part of a merge knows of its rows.

use crate::cancellation::Cancellation;
use crate::duplicates::Repeats;
use crate::error::Result;
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
    /// Present where rows have second codes.
    pub(crate) ties: Option<Ties>,
    pub(crate) labels: LabelSource,
    pub(crate) cancellation: &'a Cancellation,
    pub(crate) progress: &'a Progress,
}

impl RowMerge<'_> {
    /// Puts rows of one id, given by their places in `codes`, into the order of their codes.
    pub(crate) fn order_tied(&self, places: &mut [u32], codes: &[u8], code_size: usize) {
        places.sort_by(|a, b| code_at(codes, code_size, *a).cmp(code_at(codes, code_size, *b)));
    }

    /// Remembers that order for the second codes.
    pub(crate) fn record_tie(
        &self,
        list: u32,
        id: i64,
        places: &[u32],
        run_of: impl Fn(u32) -> usize,
        codes: &[u8],
        code_size: usize,
    ) -> Result<()> {
        let Some(ties) = &self.ties else { return Ok(()) };
        let mut last: Option<&[u8]> = None;
        let rows = places.iter().map(|place| {
            let code = code_at(codes, code_size, *place);
            let same_code = last.replace(code) == Some(code);
            Tied { run: u32::try_from(run_of(*place)).unwrap_or(u32::MAX), same_code }
        });
        ties.record(list, id, rows.collect())
    }
}

/// The code at `place`.
pub(crate) fn code_at(codes: &[u8], code_size: usize, place: u32) -> &[u8] {
    let begin = usize::try_from(place).map_or(0, |place| place * code_size);
    &codes[begin..begin + code_size]
}
