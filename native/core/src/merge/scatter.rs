//! Hands out places in ascending order to lists, on disk.
//!
//! Places wait in memory until they fill a part of the file that is worth writing. Where there are too many lists for
//! that, neighbours share a bucket: its places and their lists are written as they come, and put in order at the end.

use std::ops::Range;
use std::path::Path;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::numbers::{to_u64, to_usize};
use crate::scratch::ScratchFile;
use crate::workers::Workers;

/// Memory for places that wait to be written, of all buckets together.
const WAITING_BYTES: usize = 32 << 20;
const PLACE_BYTES: u64 = 8;
const LIST_BYTES: u64 = 4;
/// Workers that put buckets in order at the same time, each in 20 bytes per row of its bucket.
const MOST_WORKERS: usize = 8;

/// Neighbouring lists whose places are collected together.
pub(crate) struct Buckets {
    /// The first list of each, and after them the number of lists.
    lists: Vec<u32>,
    /// Rows of all runs before each, and after them the number of rows.
    rows: Vec<u64>,
    is_shared: bool,
}

/// When lists share buckets.
pub(crate) struct BucketSizes {
    /// So many lists have a bucket of their own.
    pub(crate) most_lists: usize,
    /// The rows of a shared bucket, unless one list alone has more; and its lists.
    pub(crate) most_rows: u64,
}

impl Default for BucketSizes {
    fn default() -> Self {
        Self { most_lists: 1 << 14, most_rows: 1 << 18 }
    }
}

impl Buckets {
    /// `sizes` are the rows of each list in all runs.
    pub(crate) fn new(sizes: &[u64], limits: &BucketSizes) -> Self {
        let is_shared = sizes.len() > limits.most_lists;
        let (mut lists, mut rows) = (Vec::new(), Vec::new());
        let (mut row, mut rows_in_bucket, mut lists_in_bucket) = (0, 0, 0);
        for (list, size) in (0..).zip(sizes) {
            let is_full = rows_in_bucket > 0 && rows_in_bucket + size > limits.most_rows;
            if !is_shared || lists.is_empty() || is_full || lists_in_bucket == limits.most_rows {
                lists.push(list);
                rows.push(row);
                (rows_in_bucket, lists_in_bucket) = (0, 0);
            }
            rows_in_bucket += size;
            lists_in_bucket += 1;
            row += size;
        }
        lists.push(u32::try_from(sizes.len()).unwrap_or(u32::MAX));
        rows.push(row);
        Self { lists, rows, is_shared }
    }

    /// The bucket of `list`, if the list exists.
    pub(crate) fn find(&self, list: u32) -> Option<u32> {
        match self.lists.last() {
            Some(end) if list < *end => {}
            _ => return None,
        }
        if !self.is_shared {
            return Some(list);
        }
        u32::try_from(self.lists.partition_point(|first| *first <= list)).ok()?.checked_sub(1)
    }

    fn count(&self) -> usize {
        self.rows.len() - 1
    }

    fn total_rows(&self) -> u64 {
        self.rows.last().copied().unwrap_or(0)
    }
}

pub(crate) struct Scatter<'a> {
    buckets: &'a Buckets,
    places: ScratchFile,
    /// The list of each place; where lists share buckets.
    lists: Option<ScratchFile>,
    next_place: u64,
    /// Where the next places of each bucket go.
    cursors: Vec<u64>,
    /// The same number of waiting places for each bucket, and their lists.
    waiting: Vec<u64>,
    waiting_lists: Vec<u32>,
    counts: Vec<u16>,
    capacity: usize,
    bytes: Vec<u8>,
}

impl<'a> Scatter<'a> {
    pub(crate) fn new(buckets: &'a Buckets, directory: &Path) -> Result<Self> {
        let rows = buckets.total_rows();
        let places = ScratchFile::create(directory, rows * PLACE_BYTES, "the places of rows in lists")?;
        let shared = buckets.is_shared.then(|| ScratchFile::create(directory, rows * LIST_BYTES, "the lists of rows"));
        let waiting_bytes = PLACE_BYTES + if buckets.is_shared { LIST_BYTES } else { 0 };
        let capacity = (WAITING_BYTES / to_usize(waiting_bytes)? / buckets.count().max(1)).clamp(64, 4096);
        let waiting = buckets.count() * capacity;
        Ok(Self {
            buckets,
            places,
            lists: shared.transpose()?,
            next_place: 0,
            cursors: buckets.rows[..buckets.count()].to_vec(),
            waiting: vec![0; waiting],
            waiting_lists: vec![0; if buckets.is_shared { waiting } else { 0 }],
            counts: vec![0; buckets.count()],
            capacity,
            bytes: Vec::new(),
        })
    }

    /// Gives the next `count` places to `list`, which is in `bucket`.
    pub(crate) fn add(&mut self, list: u32, bucket: u32, count: u64) -> Result<()> {
        let bucket = to_usize(u64::from(bucket))?;
        for _ in 0..count {
            let waiting = usize::from(self.counts[bucket]);
            let at = bucket * self.capacity + waiting;
            self.waiting[at] = self.next_place;
            if let Some(waiting_list) = self.waiting_lists.get_mut(at) {
                *waiting_list = list;
            }
            self.next_place += 1;
            self.counts[bucket] += 1;
            if waiting + 1 == self.capacity {
                self.flush(bucket)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, bucket: usize) -> Result<()> {
        let count = usize::from(std::mem::take(&mut self.counts[bucket]));
        let waiting = bucket * self.capacity..bucket * self.capacity + count;
        let (row, end) = (self.cursors[bucket], self.cursors[bucket] + to_u64(count));
        if end > self.buckets.rows[bucket + 1] {
            return Err(too_many_rows(self.buckets.lists[bucket]));
        }
        self.bytes.clear();
        self.bytes.extend(self.waiting[waiting.clone()].iter().flat_map(|place| place.to_le_bytes()));
        self.places.write_all_at(row * PLACE_BYTES, &self.bytes)?;
        if let Some(lists) = &self.lists {
            self.bytes.clear();
            self.bytes.extend(self.waiting_lists[waiting].iter().flat_map(|list| list.to_le_bytes()));
            lists.write_all_at(row * LIST_BYTES, &self.bytes)?;
        }
        self.cursors[bucket] = end;
        Ok(())
    }

    /// The file: places list after list, each list's from where the rows of the lists before it end.
    pub(crate) fn finish(
        mut self,
        sizes: &[u64],
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<ScratchFile> {
        for bucket in 0..self.counts.len() {
            if self.counts[bucket] > 0 {
                self.flush(bucket)?;
            }
        }
        let Self { buckets, places, lists, cursors, waiting, waiting_lists, .. } = self;
        drop((waiting, waiting_lists));
        if let Some(lists) = lists {
            let all: Vec<(usize, u64)> = cursors.into_iter().enumerate().collect();
            for some in all.chunks(workers.count().min(MOST_WORKERS)) {
                cancellation.check()?;
                workers.each(some.to_vec(), |(bucket, end)| {
                    let lists_of = to_usize(buckets.lists[bucket].into())?..to_usize(buckets.lists[bucket + 1].into())?;
                    // A list that is alone is in order.
                    let filled = sizes[lists_of.clone()].iter().filter(|size| **size > 0).count();
                    if filled < 2 {
                        return Ok(());
                    }
                    order_bucket(&places, &lists, buckets.rows[bucket]..end, lists_of, sizes)
                })?;
            }
        }
        Ok(places)
    }
}

/// Puts the places of a bucket, which are at `rows`, where those of their lists belong. With rows that are left out
/// they fill less than the bucket.
fn order_bucket(
    places: &ScratchFile,
    lists: &ScratchFile,
    rows: Range<u64>,
    lists_of: Range<usize>,
    sizes: &[u64],
) -> Result<()> {
    let count = to_usize(rows.end - rows.start)?;
    let (mut place_bytes, mut list_bytes) = (vec![0; count * 8], vec![0; count * 4]);
    places.read_exact_at(rows.start * PLACE_BYTES, &mut place_bytes)?;
    lists.read_exact_at(rows.start * LIST_BYTES, &mut list_bytes)?;
    // Where the rows of each list end, and where its next place goes.
    let mut ends = Vec::with_capacity(lists_of.len());
    let mut next = Vec::with_capacity(lists_of.len());
    let mut end = 0;
    for size in &sizes[lists_of.clone()] {
        next.push(end);
        end += to_usize(*size)?;
        ends.push(end);
    }
    let mut ordered = vec![0; end * 8];
    let ordered_places: &mut [[u8; 8]] = ordered.as_chunks_mut().0;
    for (place, list) in place_bytes.as_chunks().0.iter().zip(list_bytes.as_chunks().0) {
        let list = u32::from_le_bytes(*list);
        let at =
            to_usize(list.into())?.checked_sub(lists_of.start).filter(|at| *at < next.len() && next[*at] < ends[*at]);
        let at = at.ok_or_else(|| too_many_rows(list))?;
        ordered_places[next[at]] = *place;
        next[at] += 1;
    }
    places.write_all_at(rows.start * PLACE_BYTES, &ordered)
}

fn too_many_rows(list: u32) -> BuildError {
    BuildError::new(ErrorKind::Internal, format!("list {list}, or one beside it, has more rows than its size says"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row_hash::row_hash;

    /// Rows of lists in the order of their places; every third list is empty, and list 20 has most rows.
    fn lists_of_rows() -> Vec<u32> {
        let random = (0..5_000).map(|row| row_hash(row, 4));
        random.map(|hash| if hash % 2 == 0 { 20 } else { u32::try_from(hash % 100 * 3).unwrap() }).collect()
    }

    #[test]
    fn every_list_gets_its_places_in_order_whether_it_shares_a_bucket_or_not() {
        let rows = lists_of_rows();
        let mut sizes = vec![0; 301];
        rows.iter().for_each(|list| sizes[*list as usize] += 1);
        let mut expected: Vec<(u32, u64)> = rows.iter().copied().zip(0..).collect();
        expected.sort_unstable();
        for (most_lists, most_rows) in [(1_000, 1), (301, 9), (10, 1), (10, 60), (10, 700), (10, 10_000)] {
            let buckets = Buckets::new(&sizes, &BucketSizes { most_lists, most_rows });
            let directory = tempfile::tempdir().unwrap();
            let mut scatter = Scatter::new(&buckets, directory.path()).unwrap();
            for list in &rows {
                scatter.add(*list, buckets.find(*list).unwrap(), 1).unwrap();
            }
            assert_eq!(buckets.find(301), None);
            let workers = Workers::new(2, "test").unwrap();
            let file = scatter.finish(&sizes, &workers, &Cancellation::default()).unwrap();
            let mut bytes = vec![0; rows.len() * 8];
            file.read_exact_at(0, &mut bytes).unwrap();
            let found: Vec<u64> = bytes.as_chunks().0.iter().map(|place| u64::from_le_bytes(*place)).collect();
            let expected: Vec<u64> = expected.iter().map(|(_, place)| *place).collect();
            assert!(found == expected, "{most_lists} lists, {most_rows} rows");
        }
    }

    #[test]
    fn memory_does_not_grow_with_lists() {
        // The lists of IMI2x12, with few rows and with many.
        for size in [0, 1, 60] {
            let sizes = vec![size; 1 << 24];
            let buckets = Buckets::new(&sizes, &BucketSizes::default());
            let directory = tempfile::tempdir().unwrap();
            if size < 60 {
                let scatter = Scatter::new(&buckets, directory.path()).unwrap();
                let waiting = scatter.waiting.len() * 8 + scatter.waiting_lists.len() * 4;
                assert!(waiting + scatter.cursors.len() * 18 < WAITING_BYTES + (1 << 20), "{size} {waiting}");
            }
            assert!(buckets.count() * (64 * 12 + 30) < WAITING_BYTES, "{}", buckets.count());
        }
    }

    #[test]
    fn a_list_with_more_rows_than_its_size_is_refused() {
        let sizes = [2, 1, 5];
        for most_lists in [1, 10] {
            let buckets = Buckets::new(&sizes, &BucketSizes { most_lists, most_rows: 100 });
            let directory = tempfile::tempdir().unwrap();
            let mut scatter = Scatter::new(&buckets, directory.path()).unwrap();
            for _ in 0..2 {
                scatter.add(1, buckets.find(1).unwrap(), 1).unwrap();
            }
            let workers = Workers::new(1, "test").unwrap();
            let error = scatter.finish(&sizes, &workers, &Cancellation::default()).err().unwrap();
            assert!(error.to_string().starts_with("list 1,"), "{error}");
        }
    }
}
