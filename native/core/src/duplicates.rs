//! Ids that occur more than once, found exactly by one pass over all ids in ascending order.

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::id_rounds::{IdRounds, Round};
use crate::merge::runs::{Runs, finish};
use crate::numbers::{to_u64, to_usize};
use crate::receipts::DuplicateRows;
use crate::run_file::Section;
use crate::spec::DuplicateIds;
use crate::workers::Workers;

/// `keepFirst` holds the repeated ids in memory; more of them are a mistake in the input.
const MOST_KEPT: usize = 10_000_000;
/// How many ids a message names.
const FIRST_IDS: usize = 5;
/// Ids that one worker looks through at a time.
const ROUND_IDS: usize = 1 << 18;

/// The repeated ids of which one row is kept, ascending, each with the list of that row. Empty unless the policy is
/// `keepFirst`.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    ids: Vec<i64>,
    lists: Vec<u32>,
}

/// Goes through all ids of all runs. Under the policy `fail` a repeated id is an error.
pub(crate) fn find_duplicates(
    runs: &Runs,
    policy: DuplicateIds,
    workers: &Workers,
    cancellation: &Cancellation,
) -> Result<(DuplicateRows, Repeats)> {
    let passes = runs.passes(Section::SortedIds);
    let mut rounds = IdRounds::new(&passes, runs.rows().map(|rows| (0, rows)));
    let mut found = DuplicateRows::default();
    let mut repeats = Repeats::default();
    let threads = workers.count().min(8);
    loop {
        let mut batch = Vec::with_capacity(threads);
        while batch.len() < threads {
            cancellation.check()?;
            let Some(round) = rounds.next(ROUND_IDS)? else { break };
            batch.push((round, RoundRepeats::default()));
        }
        if batch.is_empty() {
            break;
        }
        workers.each(batch.iter_mut().collect(), |(round, repeats)| {
            repeats.look_through(round, policy);
            Ok(())
        })?;
        for (_, in_round) in batch {
            found.rows += in_round.rows;
            let free = FIRST_IDS - found.first_ids.len();
            found.first_ids.extend(in_round.first.into_iter().take(free));
            repeats.ids.extend(in_round.ids);
            if repeats.ids.len() > MOST_KEPT {
                let message =
                    format!("more than {MOST_KEPT} ids are repeated, which is more than keepFirst can remember");
                return Err(BuildError::new(ErrorKind::DuplicateIds, message));
            }
        }
    }
    finish(&passes)?;
    if policy == DuplicateIds::Fail && found.rows > 0 {
        return Err(to_error(&found));
    }
    repeats.lists = vec![0; repeats.ids.len()];
    Ok((found, repeats))
}

fn to_error(found: &DuplicateRows) -> BuildError {
    let first: Vec<String> = found.first_ids.iter().map(i64::to_string).collect();
    let message = format!(
        "duplicate ids: {} rows repeat an id [first ids {}]. duplicateIds=keepFirst keeps one row of each, \
         duplicateIds=allow keeps all.",
        found.rows,
        first.join(", ")
    );
    BuildError::new(ErrorKind::DuplicateIds, message)
}

/// Every occurrence of an id but its first, ascending.
fn repeated(ids: &mut Vec<i64>) -> Vec<i64> {
    /// Up to this many bits per id, marking ids is faster than ordering them.
    const BITS_PER_ID: u64 = 32;
    let (least, most) = ids.iter().fold((i64::MAX, i64::MIN), |(least, most), id| (least.min(*id), most.max(*id)));
    let spread = most.abs_diff(least);
    let mut repeated = Vec::new();
    match usize::try_from(spread / 64) {
        Ok(words) if spread < BITS_PER_ID * to_u64(ids.len()) => {
            let mut marks = vec![0_u64; words + 1];
            for id in ids {
                let bit = id.abs_diff(least);
                let word = usize::try_from(bit / 64).unwrap_or(0);
                let mask = 1 << (bit % 64);
                if marks[word] & mask != 0 {
                    repeated.push(*id);
                }
                marks[word] |= mask;
            }
            repeated.sort_unstable();
        }
        _ => {
            ids.sort_unstable();
            repeated.extend(ids.array_windows().filter(|[a, b]| a == b).map(|[a, _]| *a));
        }
    }
    repeated
}

#[derive(Default)]
struct RoundRepeats {
    rows: u64,
    first: Vec<i64>,
    ids: Vec<i64>,
}

impl RoundRepeats {
    fn look_through(&mut self, round: &mut Round, policy: DuplicateIds) {
        match round {
            Round::Rows { ids, .. } => {
                for group in repeated(ids).chunk_by(|a, b| a == b) {
                    self.add(group[0], to_u64(group.len()), policy);
                }
            }
            Round::Group { id, pieces } => {
                let rows: u64 = pieces.iter().map(|piece| piece.rows).sum();
                self.add(*id, rows - 1, policy);
            }
        }
    }

    fn add(&mut self, id: i64, rows: u64, policy: DuplicateIds) {
        self.rows += rows;
        if self.first.len() < FIRST_IDS {
            self.first.push(id);
        }
        if policy == DuplicateIds::KeepFirst {
            self.ids.push(id);
        }
    }
}

impl Repeats {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The list that keeps a row of `id`, if `id` is repeated.
    pub(crate) fn list_of(&self, id: i64) -> Option<u32> {
        self.find(id).map(|(_, list)| list)
    }

    /// The number of `id` among the repeated ids, and the list that keeps a row of it.
    pub(crate) fn find(&self, id: i64) -> Option<(usize, u32)> {
        let place = self.ids.binary_search(&id).ok()?;
        self.lists.get(place).map(|list| (place, *list))
    }

    pub(crate) fn count(&self) -> usize {
        self.ids.len()
    }

    /// How many of `ids`, which include all rows of theirs in `list` or, without one, in the whole index, are kept.
    pub(crate) fn kept(&self, ids: &[i64], list: Option<u32>) -> usize {
        if self.is_empty() {
            return ids.len();
        }
        let mut repeated: Vec<(i64, u32)> =
            ids.iter().filter_map(|id| self.list_of(*id).map(|kept_in| (*id, kept_in))).collect();
        let others = ids.len() - repeated.len();
        repeated.sort_unstable();
        repeated.dedup();
        others + repeated.iter().filter(|(_, kept_in)| list.is_none_or(|list| list == *kept_in)).count()
    }

    /// Takes the rows that are not kept out of `places`, which are the places of some rows in (id, code) order.
    pub(crate) fn drop_others(&self, places: &mut Vec<u32>, list: Option<u32>, id_at: impl Fn(u32) -> i64) {
        if self.is_empty() {
            return;
        }
        let mut last = None;
        places.retain(|place| {
            let id = id_at(*place);
            let is_first = last.replace(id) != Some(id);
            self.list_of(id).is_none_or(|kept_in| is_first && list.is_none_or(|list| list == kept_in))
        });
    }

    /// Finds the first list of every repeated id, and takes the rows of other lists and places out of `sizes`.
    pub(crate) fn find_lists(&mut self, runs: &Runs, sizes: &mut [u64], cancellation: &Cancellation) -> Result<()> {
        self.lists.fill(u32::MAX);
        for (size_pass, id_pass) in runs.passes(Section::ListSizes).iter().zip(&runs.passes(Section::Ids)) {
            const LISTS_PER_READ: usize = 1 << 12;
            const IDS_PER_READ: u64 = 1 << 16;
            let (mut lists, mut ids) = (Vec::new(), Vec::new());
            let mut row = 0;
            let count = sizes.len();
            for (begin, sizes) in (0..).step_by(LISTS_PER_READ).zip(sizes.chunks_mut(LISTS_PER_READ)) {
                lists.resize(LISTS_PER_READ.min(count - to_usize(begin)?) * 4, 0);
                size_pass.read(begin, &mut lists)?;
                for ((list, total), size) in (begin..).zip(sizes).zip(lists.as_chunks().0) {
                    let number = u32::try_from(list).unwrap_or(u32::MAX);
                    let mut left = u64::from(u32::from_le_bytes(*size));
                    while left > 0 {
                        cancellation.check()?;
                        let some = left.min(IDS_PER_READ);
                        ids.resize(to_usize(some * 8)?, 0);
                        id_pass.read(row, &mut ids)?;
                        for id in ids.as_chunks().0 {
                            if let Ok(place) = self.ids.binary_search(&i64::from_le_bytes(*id)) {
                                self.lists[place] = self.lists[place].min(number);
                                *total = total.saturating_sub(1);
                            }
                        }
                        row += some;
                        left -= some;
                    }
                }
            }
            size_pass.finish()?;
            id_pass.finish()?;
        }
        for list in &self.lists {
            match usize::try_from(*list).ok().and_then(|list| sizes.get_mut(list)) {
                Some(size) => *size += 1,
                None => return Err(BuildError::new(ErrorKind::Internal, "an id is in no list")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_repeats_are_found() {
        for scale in [1, 1_000, i64::MAX / 100] {
            let mut ids: Vec<i64> = [5, -3, 99, 5, -3, 0, 5, -99].iter().map(|id| id * scale).collect();
            assert_eq!(repeated(&mut ids), [-3 * scale, 5 * scale, 5 * scale]);
        }
        assert_eq!(repeated(&mut vec![i64::MAX, i64::MIN, i64::MAX]), [i64::MAX]);
        assert_eq!(repeated(&mut vec![7]), Vec::<i64>::new());
    }
}
