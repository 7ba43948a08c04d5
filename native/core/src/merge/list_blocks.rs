//! Blocks of whole lists: the rows of successive lists are contiguous in every run, and so is what is made of them.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::error::{BuildError, ErrorKind, Result};
use crate::index_layout::ListFormat;
use crate::merge::id_order::IdOrder;
use crate::merge::output::Written;
use crate::merge::positions::LabelSource;
use crate::merge::row_merge::RowMerge;
use crate::merge::runs::{Piece, read_pieces_into};
use crate::numbers::{to_u64, to_usize};
use crate::run_reader::SectionPass;

/// Sizes of a block's lists in all runs: 4 bytes each.
const MOST_SIZES: usize = 1 << 20;
/// List sizes of one run that are read at a time.
const SIZES_PER_READ: u64 = 4096;

/// How many bytes a list of `rows` rows takes in the index.
pub(crate) fn list_bytes(format: &ListFormat, code_size: u64, rows: u64) -> u64 {
    match format {
        ListFormat::Array => rows * (code_size + 8),
        ListFormat::Blocks(packing) => {
            8 + rows * 8 + 8 + rows.div_ceil(packing.rows_per_block()) * packing.block_bytes()
        }
    }
}

/// Cuts the lists into blocks, in order.
pub(crate) struct ListPlanner<'a> {
    merge: &'a RowMerge<'a>,
    format: &'a ListFormat,
    sizes: Vec<SizeStream<'a>>,
    /// The next row of each run.
    rows: Vec<u64>,
    list: usize,
    /// Where the next list begins in the index.
    offset: u64,
    /// Rows of all runs before the next list.
    row: u64,
    block_bytes: u64,
}

/// Lists whose rows are read and merged at once.
pub(crate) struct ListBlock {
    lists: Range<usize>,
    /// For each list, the rows of each run.
    sizes: Vec<u32>,
    pieces: Vec<Piece>,
    offset: u64,
    end: u64,
    row: u64,
    rows: u64,
    /// Whether this task is the one that counts its rows.
    pub(crate) is_own: bool,
    ids: Vec<u8>,
    codes: Vec<u8>,
    places: Vec<u8>,
}

/// A list that is too large for a block.
pub(crate) struct LargeList {
    pub(crate) list: usize,
    /// The first row and the number of rows of each run.
    pub(crate) ranges: Vec<(u64, u64)>,
    pub(crate) offset: u64,
    /// Rows of all runs before the list.
    pub(crate) row: u64,
}

impl<'a> ListPlanner<'a> {
    pub(crate) fn new(
        merge: &'a RowMerge<'a>,
        format: &'a ListFormat,
        size_passes: &'a [SectionPass<'a>],
        offset: u64,
        block_bytes: usize,
    ) -> Self {
        let nlist = to_u64(merge.sizes.len());
        let sizes = size_passes.iter().map(|pass| SizeStream::new(pass, nlist)).collect();
        let rows = vec![0; size_passes.len()];
        Self { merge, format, sizes, rows, list: 0, offset, row: 0, block_bytes: to_u64(block_bytes) }
    }

    /// The next block, or `None` at a large list or at the end.
    pub(crate) fn next(&mut self) -> Result<Option<ListBlock>> {
        let runs = self.sizes.len();
        let begin = self.list;
        let (mut bytes, mut rows) = (0, 0);
        let mut end = begin;
        while let Some(size) = self.merge.sizes.get(end) {
            let list = self.most_bytes(*size);
            if bytes + list > self.block_bytes || (end > begin && (end - begin + 1) * runs > MOST_SIZES) {
                break;
            }
            bytes += list;
            rows += size;
            end += 1;
        }
        if end == begin {
            return Ok(None);
        }
        let lists = end - begin;
        let mut sizes = vec![0; lists * runs];
        let mut pieces = Vec::with_capacity(runs);
        for run in 0..runs {
            let first = self.rows[run];
            self.rows[run] += self.sizes[run].take(sizes.iter_mut().skip(run).step_by(runs))?;
            pieces.push(Piece { run, first, rows: self.rows[run] - first });
        }
        if pieces.iter().map(|piece| piece.rows).sum::<u64>() != rows {
            return Err(inconsistent());
        }
        let (offset, row) = (self.offset, self.row);
        self.offset += self.kept_bytes(begin..end);
        self.row += rows;
        self.list = end;
        let (ids, codes, places) = (Vec::new(), Vec::new(), Vec::new());
        let (lists, block_end) = (begin..end, self.offset);
        let block =
            ListBlock { lists, sizes, pieces, offset, end: block_end, row, rows, is_own: true, ids, codes, places };
        Ok(Some(block))
    }

    /// The list at which `next` stopped.
    pub(crate) fn large_list(&mut self) -> Result<Option<LargeList>> {
        let Some(size) = self.merge.sizes.get(self.list) else { return Ok(None) };
        let (list, offset, row) = (self.list, self.offset, self.row);
        let mut ranges = Vec::with_capacity(self.sizes.len());
        for (sizes, first) in self.sizes.iter_mut().zip(&mut self.rows) {
            let rows = sizes.take(std::iter::once(&mut 0))?;
            ranges.push((*first, rows));
            *first += rows;
        }
        if ranges.iter().map(|(_, rows)| rows).sum::<u64>() != *size {
            return Err(inconsistent());
        }
        self.offset += self.kept_bytes(list..list + 1);
        self.row += size;
        self.list += 1;
        Ok(Some(LargeList { list, ranges, offset, row }))
    }

    /// What a list takes in memory as it is read or as it is written, whichever is more: packed codes of a few rows are
    /// many times larger. Empty lists count a little, so that no block has too many.
    fn most_bytes(&self, rows: u64) -> u64 {
        let code_size = self.merge.runs.layout.code_size;
        (8 + rows * (code_size + 8)).max(list_bytes(self.format, code_size, rows))
    }

    fn kept_bytes(&self, lists: Range<usize>) -> u64 {
        let code_size = self.merge.runs.layout.code_size;
        self.merge.kept[lists].iter().map(|rows| list_bytes(self.format, code_size, *rows)).sum()
    }
}

impl ListBlock {
    /// Its place in the index.
    pub(crate) fn bytes(&self) -> Range<u64> {
        self.offset..self.end
    }

    pub(crate) fn read(
        &mut self,
        ids: &[SectionPass],
        codes: &[SectionPass],
        merge: &RowMerge,
        buffers: &BlockBuffers,
    ) -> Result<()> {
        self.pieces.retain(|piece| piece.rows > 0);
        (self.ids, self.codes) = buffers.take();
        read_pieces_into(ids, &self.pieces, 8, &mut self.ids)?;
        read_pieces_into(codes, &self.pieces, to_usize(merge.runs.layout.code_size)?, &mut self.codes)?;
        if let LabelSource::Places(places) = &merge.labels {
            self.places = places.read(self.row, self.rows)?;
        }
        Ok(())
    }

    /// The bytes of the lists in the index.
    pub(crate) fn merge(self, merge: &RowMerge, format: &ListFormat, buffers: &BlockBuffers) -> Result<Vec<Written>> {
        let code_size = to_usize(merge.runs.layout.code_size)?;
        let runs = self.sizes.len() / self.lists.len().max(1);
        let kept = &merge.kept[self.lists.clone()];
        let bytes: u64 = kept.iter().map(|rows| list_bytes(format, merge.runs.layout.code_size, *rows)).sum();
        let mut out = Vec::with_capacity(to_usize(bytes)?);

        let ids = self.ids.as_chunks().0;
        let id_at = |place: u32| usize::try_from(place).map_or(0, |place| i64::from_le_bytes(ids[place]));
        // The next row of each run in what was read.
        let mut next = vec![0_u32; runs];
        for piece in &self.pieces {
            next[piece.run] = u32::try_from(piece.rows).map_err(|_| inconsistent())?;
        }
        let mut sum = 0;
        for next in &mut next {
            sum += std::mem::replace(next, sum);
        }
        let run_begins = next.clone();

        let mut order_of = IdOrder::default();
        let (mut order, mut segments, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        let mut places_before = 0;
        for (at, kept) in kept.iter().enumerate() {
            let number = u32::try_from(self.lists.start + at).map_err(|_| inconsistent())?;
            let sizes = &self.sizes[at * runs..(at + 1) * runs];
            segments.clear();
            let mut rows = 0;
            for (next, size) in next.iter_mut().zip(sizes) {
                if *size > 0 {
                    segments.push(*next..*next + *size);
                    *next += *size;
                    rows += u64::from(*size);
                }
            }
            order.clear();
            if let [only] = segments.as_slice() {
                order.extend(only.clone());
            } else {
                let mut recorded = Ok(());
                order_of.sort(
                    ids,
                    |id| i64::from_le_bytes(*id),
                    &segments,
                    &mut order,
                    |tied| {
                        merge.order_tied(tied, &self.codes, code_size);
                        if recorded.is_ok() {
                            let run_of = |place| run_begins.partition_point(|begin| *begin <= place) - 1;
                            recorded = merge.record_tie(number, id_at(tied[0]), tied, run_of, &self.codes, code_size);
                        }
                    },
                );
                recorded?;
            }
            merge.repeats.drop_others(&mut order, Some(number), id_at);
            if to_u64(order.len()) != *kept {
                return Err(inconsistent());
            }
            let code = |place: &u32| {
                let begin = usize::try_from(*place).map_or(0, |place| place * code_size);
                &self.codes[begin..begin + code_size]
            };
            let write_labels = |out: &mut Vec<u8>| match &merge.labels {
                LabelSource::Ids => out.extend(order.iter().flat_map(|place| id_at(*place).to_le_bytes())),
                LabelSource::PlacesInList => out.extend((0..*kept).flat_map(u64::to_le_bytes)),
                LabelSource::Places(_) => {
                    out.extend_from_slice(&self.places[places_before * 8..(places_before + order.len()) * 8]);
                }
            };
            match format {
                ListFormat::Array => {
                    order.iter().for_each(|place| out.extend_from_slice(code(place)));
                    write_labels(&mut out);
                }
                ListFormat::Blocks(packing) => {
                    out.extend_from_slice(&kept.to_le_bytes());
                    write_labels(&mut out);
                    scratch.clear();
                    order.iter().for_each(|place| scratch.extend_from_slice(code(place)));
                    let packed = kept.div_ceil(packing.rows_per_block()) * packing.block_bytes();
                    out.extend_from_slice(&packed.to_le_bytes());
                    let begin = out.len();
                    out.resize(begin + to_usize(packed)?, 0);
                    packing.pack(&scratch, order.len(), &mut out[begin..])?;
                }
            }
            places_before += to_usize(rows)?;
        }
        if self.is_own {
            merge.progress.add_rows(self.rows);
        }
        buffers.give_back(self.ids, self.codes);
        Ok(vec![(self.offset, out)])
    }
}

/// Memory of blocks that are done, for blocks to come: memory that was in use just now costs nothing to get.
#[derive(Default)]
pub(crate) struct BlockBuffers(Mutex<Vec<(Vec<u8>, Vec<u8>)>>);

impl BlockBuffers {
    fn take(&self) -> (Vec<u8>, Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, ids: Vec<u8>, codes: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((ids, codes));
    }
}

fn inconsistent() -> BuildError {
    BuildError::new(ErrorKind::Internal, "the sections of a run contradict one another")
}

/// Reads one run's list sizes from front to back.
struct SizeStream<'a> {
    pass: &'a SectionPass<'a>,
    sizes: Vec<u32>,
    position: usize,
    next: u64,
    lists: u64,
}

impl<'a> SizeStream<'a> {
    fn new(pass: &'a SectionPass<'a>, lists: u64) -> Self {
        Self { pass, sizes: Vec::new(), position: 0, next: 0, lists }
    }

    /// Copies the next sizes to `places`; returns their sum.
    fn take<'p>(&mut self, places: impl Iterator<Item = &'p mut u32>) -> Result<u64> {
        let mut sum = 0;
        for place in places {
            if self.position == self.sizes.len() {
                self.fill()?;
            }
            *place = *self.sizes.get(self.position).ok_or_else(inconsistent)?;
            self.position += 1;
            sum += u64::from(*place);
        }
        Ok(sum)
    }

    fn fill(&mut self) -> Result<()> {
        let count = SIZES_PER_READ.min(self.lists - self.next);
        let mut bytes = vec![0; to_usize(count * 4)?];
        self.pass.read(self.next, &mut bytes)?;
        self.sizes.clear();
        self.sizes.extend(bytes.as_chunks().0.iter().map(|size| u32::from_le_bytes(*size)));
        self.next += count;
        self.position = 0;
        Ok(())
    }
}
