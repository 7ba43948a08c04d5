//! The order of rows that share an id when their second codes are merged: the one that their first codes have found.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::first_runs::FirstRuns;
use crate::merge::row_merge::{RowMerge, TieMemory, code_at};
use crate::merge::ties::Ties;
use crate::numbers::to_usize;

/// Rows in the order of their runs, and in a run by id, list, first code and second code.
pub(crate) struct SecondCodes<'a, R: Fn(u32) -> usize> {
    pub(crate) codes: &'a [u8],
    pub(crate) item_bytes: usize,
    /// Four bytes each; none where there is one list.
    pub(crate) lists: &'a [u8],
    pub(crate) run_of: R,
}

impl<R: Fn(u32) -> usize> SecondCodes<'_, R> {
    /// Puts the rows of `id`, given by their ascending places, into the order of the index, or puts the one that is
    /// kept before the others.
    pub(crate) fn order(&self, merge: &RowMerge, id: i64, places: &mut [u32]) -> Result<()> {
        match &merge.ties {
            TieMemory::None => Err(unprepared(id)),
            TieMemory::Orders(ties) => self.order_all(ties, id, places),
            TieMemory::First(first_runs) => {
                let (number, kept_in) = merge.repeats.find(id).ok_or_else(|| unprepared(id))?;
                let first = self.first(first_runs, number, kept_in, places).ok_or_else(|| unprepared(id))?;
                places.swap(0, first);
                Ok(())
            }
        }
    }

    /// Which of `places` is kept. In the list that keeps a row, the first row of a run has its smallest first code.
    fn first(&self, first_runs: &FirstRuns, number: usize, kept_in: u32, places: &[u32]) -> Option<usize> {
        let mut last_run = None;
        let in_list = places.iter().enumerate().filter(|(_, place)| self.list_of(place) == kept_in);
        let firsts = in_list.filter(|(_, place)| {
            let run = (self.run_of)(**place);
            last_run.replace(run) != Some(run) && first_runs.has_first(number, run)
        });
        firsts.min_by(|(_, a), (_, b)| self.code(a).cmp(self.code(b))).map(|(at, _)| at)
    }

    /// By list, then as the first codes were, then by second code.
    fn order_all(&self, ties: &Ties, id: i64, places: &mut [u32]) -> Result<()> {
        places.sort_by_key(|place| self.list_of(place));
        for same_list in places.chunk_by_mut(|a, b| self.list_of(a) == self.list_of(b)) {
            let mut of_runs = self.by_run(same_list);
            if of_runs.len() < 2 {
                continue;
            }
            let order = ties.order(self.list_of(&same_list[0]), id);
            let order = order.filter(|order| order.len() == same_list.len()).ok_or_else(|| unprepared(id))?;
            let in_runs = same_list.to_vec();
            let mut same_code_from = 0;
            for (at, tied) in order.iter().enumerate() {
                let next = of_runs.get_mut(&to_usize(u64::from(tied.run))?).and_then(Iterator::next);
                let Some(next) = next else {
                    return Err(BuildError::new(ErrorKind::Internal, format!("the rows of id {id} have changed")));
                };
                same_list[at] = in_runs[next];
                if !tied.same_code {
                    self.order_by_code(&mut same_list[same_code_from..at]);
                    same_code_from = at;
                }
            }
            self.order_by_code(&mut same_list[same_code_from..]);
        }
        Ok(())
    }

    /// Where in `places` the rows of each run are.
    fn by_run(&self, places: &[u32]) -> HashMap<usize, Range<usize>> {
        let mut begin = 0;
        places
            .chunk_by(|a, b| (self.run_of)(*a) == (self.run_of)(*b))
            .map(|rows| {
                begin += rows.len();
                let run = rows.first().map_or(usize::MAX, |place| (self.run_of)(*place));
                (run, begin - rows.len()..begin)
            })
            .collect()
    }

    fn order_by_code(&self, places: &mut [u32]) {
        places.sort_by(|a, b| self.code(a).cmp(self.code(b)));
    }

    fn code(&self, place: &u32) -> &[u8] {
        code_at(self.codes, self.item_bytes, *place)
    }

    fn list_of(&self, place: &u32) -> u32 {
        let list = usize::try_from(*place).ok().and_then(|at| self.lists.as_chunks().0.get(at));
        list.map_or(0, |list| u32::from_le_bytes(*list))
    }
}

fn unprepared(id: i64) -> BuildError {
    let message = format!("the first codes of id {id} were not merged before its second codes");
    BuildError::new(ErrorKind::Internal, message)
}
