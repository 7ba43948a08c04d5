//! Where `keepFirst` finds the one row of a repeated id that has two codes: in one of the runs whose first row of the
//! id has the smallest first code. Rows of a run are in order, so no other row of it can be the one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{BuildError, ErrorKind, Result};

/// The first codes leave it to the second codes of every run that has rows of the id in its list.
const EVERY_RUN: u32 = u32::MAX;
/// Numbers from here on are places in the sets; smaller ones are runs.
const SETS: u32 = 1 << 31;
/// Memory for sets: 64 MiB.
const MOST_IN_SETS: usize = 16 << 20;

pub(crate) struct FirstRuns {
    /// Of each repeated id, in the order of [`crate::duplicates::Repeats`].
    of_ids: Vec<AtomicU32>,
    /// One after the other, each with the number of its runs before it. Few ids need one: they are repeated in three
    /// runs or more, whose first codes are neither all the same nor smallest in one alone.
    sets: Mutex<Vec<u32>>,
}

impl FirstRuns {
    pub(crate) fn new(repeated_ids: usize) -> Self {
        let of_ids = (0..repeated_ids).map(|_| AtomicU32::new(EVERY_RUN)).collect();
        Self { of_ids, sets: Mutex::new(Vec::new()) }
    }

    /// Remembers for the repeated id number `place` the runs with the smallest first code, out of `runs` that have the
    /// id in its list. `first` are those, ascending.
    pub(crate) fn record(&self, place: usize, first: &[u32], runs: usize) -> Result<()> {
        let number = match first {
            _ if first.len() == runs => return Ok(()),
            [only] => *only,
            several => {
                let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
                let begin = u32::try_from(sets.len()).ok().filter(|_| sets.len() + several.len() < MOST_IN_SETS);
                let Some(begin) = begin else {
                    let message = "too many ids are repeated with the same first code in some runs and with another \
                                   one in others, which is more than keepFirst can remember";
                    return Err(BuildError::new(ErrorKind::DuplicateIds, message));
                };
                sets.extend(u32::try_from(several.len()));
                sets.extend(several);
                SETS + begin
            }
        };
        if let Some(of_id) = self.of_ids.get(place) {
            of_id.store(number, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether `run`, which has the repeated id number `place` in its list, has the smallest first code.
    pub(crate) fn has_first(&self, place: usize, run: usize) -> bool {
        let number = self.of_ids.get(place).map_or(EVERY_RUN, |of_id| of_id.load(Ordering::Relaxed));
        let Ok(run) = u32::try_from(run) else { return false };
        if number == EVERY_RUN {
            return true;
        }
        let Some(begin) = number.checked_sub(SETS).and_then(|begin| usize::try_from(begin).ok()) else {
            return number == run;
        };
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((count, rest)) = sets.get(begin..).and_then(<[u32]>::split_first) else { return false };
        let count = usize::try_from(*count).unwrap_or(0).min(rest.len());
        rest[..count].binary_search(&run).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_some_runs_and_all_runs_are_remembered() {
        let runs = FirstRuns::new(4);
        runs.record(0, &[7], 3).unwrap();
        runs.record(1, &[2, 900], 3).unwrap();
        runs.record(2, &[1, 5, 6], 3).unwrap();
        runs.record(3, &[0, 3], 4).unwrap();
        let first = |place: usize| [0, 1, 2, 3, 7, 900].map(|run| runs.has_first(place, run));
        assert_eq!(first(0), [false, false, false, false, true, false]);
        assert_eq!(first(1), [false, false, true, false, false, true]);
        assert_eq!(first(2), [true; 6]);
        assert_eq!(first(3), [true, false, false, true, false, false]);
    }
}
