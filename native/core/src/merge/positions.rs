//! The place of every row in id order, list after list.
//!
//! Ids are read in ascending order together with their lists, so the places of one list come in ascending order, which
//! is the order of its rows. They are collected list by list and written to a scratch file in the order of the lists.

use std::collections::BTreeMap;
use std::ops::Range;

use faiss_indexer_storage::{CreateMode, LocalStorage, PositionalFile, Storage, Storages, join};
use uuid::Uuid;

use crate::cancellation::Cancellation;
use crate::duplicates::Repeats;
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::id_order::IdOrder;
use crate::merge::id_rounds::{IdRounds, Round};
use crate::merge::runs::{Piece, Runs, finish, read_pieces, segments};
use crate::numbers::{to_u64, to_usize};
use crate::run_file::Section;
use crate::workers::Workers;

/// Memory for places that wait to be written, of all lists together.
const WAITING_PLACES: usize = 4 << 20;
/// Rows that one worker orders at a time.
const ROUND_ROWS: usize = 1 << 18;

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
    file: Box<dyn PositionalFile>,
}

impl PlaceTable {
    /// `sizes` are the rows of each list in all runs.
    pub(crate) fn build(
        runs: &Runs,
        sizes: &[u64],
        repeats: &Repeats,
        directory: &str,
        storages: &Storages,
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<Self> {
        let rows: u64 = sizes.iter().sum();
        let mut scatter = Scatter::new(create_scratch(directory, rows * 8, storages)?, sizes);
        let id_passes = runs.passes(Section::SortedIds);
        let list_passes = runs.passes(Section::ListNumbers);
        let mut rounds = IdRounds::new(&id_passes, runs.rows().map(|rows| (0, rows)));
        let threads = workers.count().min(8);
        loop {
            let mut batch = Vec::with_capacity(threads);
            while batch.len() < threads {
                cancellation.check()?;
                match rounds.next(ROUND_ROWS)? {
                    None => break,
                    Some(Round::Rows { ids, pieces }) => {
                        let lists = read_pieces(&list_passes, &pieces, 4)?;
                        batch.push(PlacedRound { ids, lists, segments: segments(&pieces), counts: Vec::new() });
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
                        batch.push(PlacedRound { ids: Vec::new(), lists: Vec::new(), segments: Vec::new(), counts });
                    }
                }
            }
            if batch.is_empty() {
                break;
            }
            workers.each(batch.iter_mut().collect(), |round| {
                round.order(repeats);
                Ok(())
            })?;
            for round in &batch {
                for (list, count) in &round.counts {
                    scatter.add(*list, *count)?;
                }
            }
        }
        finish(&id_passes)?;
        finish(&list_passes)?;
        Ok(Self { file: scatter.finish()? })
    }

    /// The places `first..first + count` in the order of the file, as they are written.
    pub(crate) fn read(&self, first: u64, count: u64) -> Result<Vec<u8>> {
        let mut places = vec![0; to_usize(count * 8)?];
        self.file.read_exact_at(first * 8, &mut places)?;
        Ok(places)
    }
}

/// Beside the output where that is possible, else on a disk of this machine.
fn create_scratch(directory: &str, bytes: u64, storages: &Storages) -> Result<Box<dyn PositionalFile>> {
    let name = format!("places-{}", Uuid::new_v4().simple());
    let uri = join(directory, &name);
    if let Some(file) = storages.resolve(&uri)?.create_sized(&uri, bytes, CreateMode::New)? {
        return Ok(file);
    }
    let temporary = std::env::temp_dir();
    let uri = join(&temporary.to_string_lossy(), &format!("faiss-indexer-{name}"));
    let file = LocalStorage.create_sized(&uri, bytes, CreateMode::New)?;
    file.ok_or_else(|| BuildError::new(ErrorKind::Internal, "this machine's disk cannot be written in any order"))
}

struct PlacedRound {
    ids: Vec<i64>,
    lists: Vec<u8>,
    /// The rows of each run.
    segments: Vec<Range<u32>>,
    /// Lists of successive rows in id order, and how many rows of the same list follow one another.
    counts: Vec<(u32, u64)>,
}

impl PlacedRound {
    fn order(&mut self, repeats: &Repeats) {
        let (ids, lists) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.lists));
        let lists = lists.as_chunks().0;
        let list_at = |place: &u32| usize::try_from(*place).map_or(u32::MAX, |place| u32::from_le_bytes(lists[place]));
        let id_at = |place: u32| usize::try_from(place).map_or(i64::MAX, |place| ids[place]);
        let mut order = Vec::with_capacity(ids.len());
        IdOrder::default().sort(&ids, |id| *id, &self.segments, &mut order, |tied| tied.sort_by_key(list_at));
        repeats.drop_others(&mut order, None, id_at);
        self.counts.extend(order.iter().map(|place| (list_at(place), 1)));
    }
}

/// Hands out places in ascending order to lists.
struct Scatter {
    file: Box<dyn PositionalFile>,
    next_place: u64,
    /// Where in the file the next places of each list go.
    cursors: Vec<u64>,
    /// Where the places of each list end.
    ends: Vec<u64>,
    /// The same number of waiting places for each list.
    waiting: Vec<u64>,
    counts: Vec<u16>,
    capacity: usize,
    bytes: Vec<u8>,
}

impl Scatter {
    fn new(file: Box<dyn PositionalFile>, sizes: &[u64]) -> Self {
        let capacity = (WAITING_PLACES / sizes.len().max(1)).clamp(4, 4096);
        let mut ends = Vec::with_capacity(sizes.len());
        let mut cursors = Vec::with_capacity(sizes.len());
        let mut sum = 0;
        for size in sizes {
            cursors.push(sum);
            sum += size;
            ends.push(sum);
        }
        let (waiting, counts) = (vec![0; sizes.len() * capacity], vec![0; sizes.len()]);
        Self { file, next_place: 0, cursors, ends, waiting, counts, capacity, bytes: Vec::new() }
    }

    fn add(&mut self, list: u32, count: u64) -> Result<()> {
        let list = to_usize(u64::from(list))?;
        if list >= self.counts.len() {
            return Err(BuildError::new(ErrorKind::Internal, format!("a row is in list {list}, which does not exist")));
        }
        for _ in 0..count {
            let waiting = usize::from(self.counts[list]);
            self.waiting[list * self.capacity + waiting] = self.next_place;
            self.next_place += 1;
            self.counts[list] += 1;
            if waiting + 1 == self.capacity {
                self.flush(list)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, list: usize) -> Result<()> {
        let count = usize::from(std::mem::take(&mut self.counts[list]));
        let places = &self.waiting[list * self.capacity..list * self.capacity + count];
        self.bytes.clear();
        self.bytes.extend(places.iter().flat_map(|place| place.to_le_bytes()));
        let end = self.cursors[list] + to_u64(count);
        if end > self.ends[list] {
            return Err(BuildError::new(ErrorKind::Internal, format!("list {list} has more rows than its size says")));
        }
        self.file.write_all_at(self.cursors[list] * 8, &self.bytes)?;
        self.cursors[list] = end;
        Ok(())
    }

    fn finish(mut self) -> Result<Box<dyn PositionalFile>> {
        for list in 0..self.counts.len() {
            if self.counts[list] > 0 {
                self.flush(list)?;
            }
        }
        Ok(self.file)
    }
}
