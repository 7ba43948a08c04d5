//! The rows of many runs, whose ids ascend within each run, in rounds of bounded size: all rows of one range of ids,
//! then all rows of the next. However the ids are spread over the runs, a round holds about as many rows as asked for.

use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::runs::Piece;
use crate::numbers::{to_u64, to_usize};
use crate::run_reader::SectionPass;

/// Ids of all runs that are kept in memory ahead of the rounds.
const AHEAD_IDS: usize = 1 << 20;
/// Runs are read in steps of this many ids, fewer if there are many runs.
const LEAST_STEP_IDS: usize = 512;
const MOST_STEP_IDS: usize = 1 << 16;

/// Rows that come before all rows of the rounds after it. Rows of one id are never split between rounds.
pub(crate) enum Round {
    /// The pieces' ids, one piece after the other.
    Rows { ids: Vec<i64>, pieces: Vec<Piece> },
    /// One id that is too frequent for a round; in each piece, rows are in the order of their codes.
    Group { id: i64, pieces: Vec<Piece> },
}

pub(crate) struct IdRounds<'a> {
    passes: &'a [SectionPass<'a>],
    cursors: Vec<Cursor>,
    ahead: usize,
    bytes: Vec<u8>,
}

/// Rows `next..end` of a run are still to come; `ids` holds the first of them.
struct Cursor {
    next: u64,
    end: u64,
    ids: Vec<i64>,
}

impl Cursor {
    fn unread(&self) -> u64 {
        self.end - self.next - to_u64(self.ids.len())
    }
}

impl<'a> IdRounds<'a> {
    /// Over the rows `first..first + count` of each run.
    pub(crate) fn new(passes: &'a [SectionPass<'a>], ranges: impl Iterator<Item = (u64, u64)>) -> Self {
        let cursors =
            ranges.map(|(first, count)| Cursor { next: first, end: first + count, ids: Vec::new() }).collect();
        let ahead = (AHEAD_IDS / passes.len().max(1)).clamp(LEAST_STEP_IDS, MOST_STEP_IDS);
        Self { passes, cursors, ahead, bytes: Vec::new() }
    }

    /// The next round, of at most about `most_rows` rows.
    pub(crate) fn next(&mut self, most_rows: usize) -> Result<Option<Round>> {
        let runs = self.cursors.len();
        let mut taken = vec![0; runs];
        let mut total = 0;
        loop {
            let share = (most_rows.saturating_sub(total) / runs.max(1)).max(1);
            // The smallest id behind the share of any run: what is smaller can be taken, and is complete.
            let mut boundary: Option<i64> = None;
            for (run, taken) in taken.iter().enumerate() {
                self.fill(run, taken + share + 1)?;
                if let Some(behind) = self.cursors[run].ids.get(taken + share) {
                    boundary = Some(boundary.map_or(*behind, |least| least.min(*behind)));
                }
            }
            let before = total;
            for (cursor, taken) in self.cursors.iter().zip(&mut taken) {
                let left = &cursor.ids[*taken..];
                let share = &left[..left.len().min(share)];
                let count = boundary.map_or(share.len(), |boundary| share.partition_point(|id| *id < boundary));
                *taken += count;
                total += count;
            }
            match boundary {
                None => break,
                Some(_) if total >= most_rows / 2 && total > 0 => break,
                Some(_) if total > before => {}
                Some(_) if total > 0 => break,
                Some(id) => match self.take_group(id, most_rows)? {
                    Group::Small(counts) => return Ok(Some(self.emit(&counts))),
                    Group::Large(pieces) => return Ok(Some(Round::Group { id, pieces })),
                },
            }
        }
        Ok(if total == 0 { None } else { Some(self.emit(&taken)) })
    }

    /// All rows of `id`, which is the first id of every run that has it.
    fn take_group(&mut self, id: i64, most_rows: usize) -> Result<Group> {
        let mut counts = vec![0; self.cursors.len()];
        let mut total = 0;
        let mut fits = true;
        for (run, count) in counts.iter_mut().enumerate() {
            loop {
                let ids = &self.cursors[run].ids;
                *count = ids.iter().take_while(|other| **other == id).count();
                let wanted = *count * 2 + 1;
                if *count < ids.len() || self.cursors[run].unread() == 0 {
                    break;
                }
                if total + *count > most_rows {
                    fits = false;
                    break;
                }
                self.fill(run, wanted)?;
            }
            total += *count;
        }
        if total == 0 {
            // Ids that do not ascend; the run is damaged, and a full check will name it.
            let first = self.passes.first();
            return Err(first.map_or_else(nothing_to_group, |pass| pass.corrupt("its ids do not ascend")));
        }
        if fits && total <= most_rows.max(counts.len()) {
            return Ok(Group::Small(counts));
        }
        let mut pieces = Vec::new();
        for run in 0..self.cursors.len() {
            let first = self.cursors[run].next;
            loop {
                self.fill(run, 1)?;
                let cursor = &mut self.cursors[run];
                let count = cursor.ids.iter().take_while(|other| **other == id).count();
                cursor.ids.drain(..count);
                cursor.next += to_u64(count);
                if !cursor.ids.is_empty() || cursor.unread() == 0 {
                    break;
                }
            }
            let rows = self.cursors[run].next - first;
            if rows > 0 {
                pieces.push(Piece { run, first, rows });
            }
        }
        Ok(Group::Large(pieces))
    }

    /// Hands out the first `taken` rows of each run.
    fn emit(&mut self, taken: &[usize]) -> Round {
        let mut ids = Vec::with_capacity(taken.iter().sum());
        let mut pieces = Vec::new();
        for (run, (cursor, taken)) in self.cursors.iter_mut().zip(taken).enumerate() {
            if *taken > 0 {
                let rows = to_u64(*taken);
                pieces.push(Piece { run, first: cursor.next, rows });
                ids.extend(cursor.ids.drain(..*taken));
                cursor.next += rows;
            }
        }
        Round::Rows { ids, pieces }
    }

    /// Reads on until `wanted` ids of `run` are in memory or no more are left.
    fn fill(&mut self, run: usize, wanted: usize) -> Result<()> {
        let cursor = &mut self.cursors[run];
        if cursor.ids.len() >= wanted || cursor.unread() == 0 {
            return Ok(());
        }
        let missing = to_u64((wanted - cursor.ids.len()).max(self.ahead));
        let count = missing.min(cursor.unread());
        self.bytes.resize(to_usize(count)? * 8, 0);
        self.passes[run].read(cursor.next + to_u64(cursor.ids.len()), &mut self.bytes)?;
        cursor.ids.extend(self.bytes.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id)));
        Ok(())
    }
}

enum Group {
    Small(Vec<usize>),
    Large(Vec<Piece>),
}

fn nothing_to_group() -> BuildError {
    BuildError::new(ErrorKind::Internal, "no run has the id that its runs were to be merged at")
}
