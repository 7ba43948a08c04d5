//! Encoded rows in memory, as they came, and in the orders that a run stores them in.

use crate::error::{BuildError, ErrorKind, Result};
use crate::row_hash::row_hash;

/// Rows of one partition that wait for their run.
pub(crate) struct EncodedRows {
    code_size: usize,
    second_code_size: usize,
    nlist: usize,
    pub(crate) lists: Vec<u32>,
    pub(crate) ids: Vec<i64>,
    /// Each row's first code and second code.
    pub(crate) codes: Vec<u8>,
    order: Vec<u32>,
}

/// Bytes of memory that a row takes beside its codes: its list, its id and its place in the order.
pub(crate) const BYTES_BESIDE_CODES: u64 = 4 + 8 + 4;

impl EncodedRows {
    /// Reserves addresses for `rows` rows; memory is used as rows come, and never twice by growing.
    pub(crate) fn new(rows: usize, code_size: usize, second_code_size: usize, nlist: usize) -> Result<Self> {
        let (mut lists, mut ids, mut codes, mut order) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let reserved = lists
            .try_reserve_exact(rows)
            .and_then(|()| ids.try_reserve_exact(rows))
            .and_then(|()| order.try_reserve_exact(rows))
            .and_then(|()| codes.try_reserve_exact(rows * (code_size + second_code_size)));
        reserved.map_err(|_| {
            let message = format!("no memory for {rows} encoded rows; a smaller memoryLimit writes runs earlier");
            BuildError::new(ErrorKind::OutOfMemory, message)
        })?;
        Ok(Self { code_size, second_code_size, nlist, lists, ids, codes, order })
    }

    /// Bytes of a row's codes.
    pub(crate) fn row_bytes(&self) -> usize {
        self.code_size + self.second_code_size
    }

    /// Orders the rows by shard and calls `each` with the rows of every shard that has some.
    pub(crate) fn by_shard(
        &mut self,
        shards: u32,
        mut each: impl FnMut(u32, &mut RunRows) -> Result<()>,
    ) -> Result<()> {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let mut ends = vec![0_usize; index(shards)];
        for id in &self.ids {
            ends[index(shard_of(*id, shards))] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            // Where the shard begins; placing its rows turns this into where it ends.
            let count = std::mem::replace(end, sum);
            sum += count;
        }
        order.resize(self.ids.len(), 0);
        for (row, id) in (0..).zip(&self.ids) {
            let place = &mut ends[index(shard_of(*id, shards))];
            order[*place] = row;
            *place += 1;
        }
        let mut begin = 0;
        for (shard, end) in (0..shards).zip(ends) {
            if end > begin {
                each(shard, &mut RunRows { rows: self, order: &mut order[begin..end] })?;
            }
            begin = end;
        }
        self.order = order;
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.lists.clear();
        self.ids.clear();
        self.codes.clear();
        self.order.clear();
    }

    fn codes(&self, row: u32) -> &[u8] {
        let begin = index(row) * self.row_bytes();
        &self.codes[begin..begin + self.row_bytes()]
    }
}

/// The part of the output that holds a row: a function of its id, so rows that share an id meet.
pub(crate) fn shard_of(id: i64, shards: u32) -> u32 {
    /// Keeps the choice of the shard apart from the choice of the sample.
    const SHARD_SEED: u64 = 0xA076_1D64_78BD_642F;
    if shards <= 1 {
        return 0;
    }
    u32::try_from(row_hash(id, SHARD_SEED) % u64::from(shards)).unwrap_or(0)
}

/// Rows of one run, in the order that was asked for last.
pub(crate) struct RunRows<'a> {
    rows: &'a EncodedRows,
    order: &'a mut [u32],
}

impl RunRows<'_> {
    pub(crate) fn count(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn list_sizes(&self) -> Vec<u32> {
        let mut sizes = vec![0; self.rows.nlist];
        for list in self.lists() {
            sizes[index(list)] += 1;
        }
        sizes
    }

    /// By list, id, first code, second code.
    pub(crate) fn sort_by_list(&mut self) {
        let rows = self.rows;
        let key = |row: u32| (rows.lists[index(row)], rows.ids[index(row)]);
        self.order.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)).then_with(|| rows.codes(*a).cmp(rows.codes(*b))));
    }

    /// By id, list, first code, second code.
    pub(crate) fn sort_by_id(&mut self) {
        let rows = self.rows;
        let key = |row: u32| (rows.ids[index(row)], rows.lists[index(row)]);
        self.order.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)).then_with(|| rows.codes(*a).cmp(rows.codes(*b))));
    }

    pub(crate) fn lists(&self) -> impl Iterator<Item = u32> {
        self.order.iter().map(|row| self.rows.lists[index(*row)])
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.order.iter().map(|row| self.rows.ids[index(*row)])
    }

    pub(crate) fn first_codes(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().map(|row| &self.rows.codes(*row)[..self.rows.code_size])
    }

    pub(crate) fn second_codes(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().map(|row| &self.rows.codes(*row)[self.rows.code_size..])
    }
}

/// Lossless: the library is built for 64-bit machines only (`numbers::to_u64` asserts it).
#[expect(clippy::as_conversions, reason = "u32 fits into usize")]
fn index(row: u32) -> usize {
    row as usize
}
