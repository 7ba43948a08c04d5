//! The place of every row in id order, list after list.
//!
//! Ids are read in ascending order together with their lists, so the places of one list come in ascending order, which
//! is the order of its rows. They are written to a scratch file in the order of the lists.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::cancellation::Cancellation;
use crate::duplicates::Repeats;
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::id_order::IdOrder;
use crate::merge::id_rounds::{IdRounds, Round};
use crate::merge::runs::{Piece, Runs, finish, read_pieces, segments};
use crate::merge::scatter::{BucketSizes, Buckets, Scatter};
use crate::numbers::{to_u64, to_usize};
use crate::run_file::Section;
use crate::scratch::ScratchFile;
use crate::workers::Workers;

/// Rows that all workers order at a time, in about 32 bytes each, and that one of them orders at most.
const BATCH_ROWS: usize = 1 << 20;
const ROUND_ROWS: usize = 1 << 18;
const MOST_WORKERS: usize = 8;

/// What is written as the label of a row.
pub(crate) enum LabelSource {
    /// The user's ids.
    Ids,
    /// With a single list, the number of the row in it.
    PlacesInList,
    /// Read from a scratch file.
    Places(PlaceTable),
}

/// Places on disk: those of list `l` begin where all rows of the lists before `l` end, left-out rows included.
pub(crate) struct PlaceTable {
    file: ScratchFile,
}

impl PlaceTable {
    /// `sizes` are the rows of each list in all runs. The table and what it is made of go to the disk of `directory`.
    pub(crate) fn build(
        runs: &Runs,
        sizes: &[u64],
        repeats: &Repeats,
        directory: &Path,
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<Self> {
        let buckets = Buckets::new(sizes, &BucketSizes::default());
        let mut scatter = Scatter::new(&buckets, directory)?;
        let id_passes = runs.passes(Section::SortedIds);
        let list_passes = runs.passes(Section::ListNumbers);
        let mut rounds = IdRounds::new(&id_passes, runs.rows().map(|rows| (0, rows)));
        let threads = workers.count().min(MOST_WORKERS);
        let round_rows = (BATCH_ROWS / threads).min(ROUND_ROWS);
        loop {
            let mut batch = Vec::with_capacity(threads);
            while batch.len() < threads {
                cancellation.check()?;
                match rounds.next(round_rows)? {
                    None => break,
                    Some(Round::Rows { ids, pieces }) => {
                        let lists = read_pieces(&list_passes, &pieces, 4)?;
                        batch.push(PlacedRound { ids, lists, segments: segments(&pieces), ..PlacedRound::default() });
                    }
                    Some(Round::Group { pieces, .. }) => {
                        let mut counts = BTreeMap::<u32, u64>::new();
                        for piece in pieces {
                            for first in (piece.first..piece.first + piece.rows).step_by(ROUND_ROWS) {
                                let rows = to_u64(ROUND_ROWS).min(piece.first + piece.rows - first);
                                let some = Piece { first, rows, ..piece };
                                for list in read_pieces(&list_passes, &[some], 4)?.as_chunks().0 {
                                    *counts.entry(u32::from_le_bytes(*list)).or_default() += 1;
                                }
                            }
                        }
                        let mut counts: Vec<(u32, u64)> = counts.into_iter().collect();
                        if !repeats.is_empty() {
                            counts.truncate(1);
                            counts.iter_mut().for_each(|(_, count)| *count = 1);
                        }
                        batch.push(PlacedRound { counts, ..PlacedRound::default() });
                    }
                }
            }
            if batch.is_empty() {
                break;
            }
            workers.each(batch.iter_mut().collect(), |round| {
                round.order(repeats, &buckets);
                Ok(())
            })?;
            for round in &batch {
                for (list, bucket) in &round.placed {
                    scatter.add(*list, bucket.ok_or_else(|| no_such_list(*list))?, 1)?;
                }
                for (list, count) in &round.counts {
                    scatter.add(*list, buckets.find(*list).ok_or_else(|| no_such_list(*list))?, *count)?;
                }
            }
        }
        finish(&id_passes)?;
        finish(&list_passes)?;
        Ok(Self { file: scatter.finish(sizes, workers, cancellation)? })
    }

    /// The places `first..first + count` in the order of the file, as they are written.
    pub(crate) fn read(&self, first: u64, count: u64) -> Result<Vec<u8>> {
        let mut places = vec![0; to_usize(count * 8)?];
        self.file.read_exact_at(first * 8, &mut places)?;
        Ok(places)
    }
}

#[derive(Default)]
struct PlacedRound {
    ids: Vec<i64>,
    lists: Vec<u8>,
    /// The rows of each run.
    segments: Vec<Range<u32>>,
    /// The lists of the rows in id order, and their buckets.
    placed: Vec<(u32, Option<u32>)>,
    /// Of an id with very many rows: the lists and how many rows are in each.
    counts: Vec<(u32, u64)>,
}

impl PlacedRound {
    fn order(&mut self, repeats: &Repeats, buckets: &Buckets) {
        let (ids, lists) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.lists));
        let lists = lists.as_chunks().0;
        let list_at = |place: &u32| usize::try_from(*place).map_or(u32::MAX, |place| u32::from_le_bytes(lists[place]));
        let id_at = |place: u32| usize::try_from(place).map_or(i64::MAX, |place| ids[place]);
        let mut order = Vec::with_capacity(ids.len());
        IdOrder::default().sort(&ids, |id| *id, &self.segments, &mut order, |tied| tied.sort_by_key(list_at));
        repeats.drop_others(&mut order, None, id_at);
        self.placed.extend(order.iter().map(list_at).map(|list| (list, buckets.find(list))));
    }
}

fn no_such_list(list: u32) -> BuildError {
    BuildError::new(ErrorKind::Internal, format!("a row is in list {list}, which does not exist"))
}
