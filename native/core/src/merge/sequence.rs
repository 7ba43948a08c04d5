//! One sequence of all rows of a list, or of the index, in id order: their codes, or their ids.

use crate::error::{BuildError, ErrorKind, Result};
use crate::index_layout::RowPacking;
use crate::merge::group_codes::GroupCodes;
use crate::merge::id_order::IdOrder;
use crate::merge::id_rounds::{IdRounds, Round};
use crate::merge::output::{Output, Written};
use crate::merge::part::Claim;
use crate::merge::row_merge::{RowMerge, code_at};
use crate::merge::runs::{Piece, again, finish, read_pieces, segments, skip};
use crate::merge::second_codes::SecondCodes;
use crate::numbers::{to_u64, to_usize};
use crate::run_file::Section;
use crate::run_reader::SectionPass;

/// What a sequence holds of its rows.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    /// The first codes of the rows of one list.
    Codes { list: u32, packing: Option<&'a dyn RowPacking> },
    /// The ids of the rows of one list, or of all.
    Ids { list: Option<u32> },
    /// The second codes of all rows.
    SecondCodes { packing: Option<&'a dyn RowPacking> },
}

impl<'a> Content<'a> {
    fn list(&self) -> Option<u32> {
        match self {
            Self::Codes { list, .. } => Some(*list),
            Self::Ids { list } => *list,
            Self::SecondCodes { .. } => None,
        }
    }

    fn packing(&self) -> Option<&'a dyn RowPacking> {
        match self {
            Self::Codes { packing, .. } | Self::SecondCodes { packing } => *packing,
            Self::Ids { .. } => None,
        }
    }
}

/// Passes over the sections that sequences read. A section is read once by all sequences that share them.
pub(crate) struct SequencePasses<'a> {
    pub(crate) ids: &'a [SectionPass<'a>],
    /// First or second codes; unused for ids.
    pub(crate) codes: &'a [SectionPass<'a>],
    /// Of the sorted ids; only for second codes of an index with lists.
    pub(crate) lists: Option<&'a [SectionPass<'a>]>,
}

/// Rows of one range of ids.
struct SequenceBlock {
    ids: Vec<i64>,
    pieces: Vec<Piece>,
    /// Kept rows before this block, and in it.
    rank: u64,
    kept: usize,
    codes: Vec<u8>,
    lists: Vec<u8>,
    /// Rows that are merged already.
    ready: Option<Vec<u8>>,
    /// Whether this task is the one that counts its rows.
    is_own: bool,
}

/// Writes the rows `ranges` of each run at `offset`.
pub(crate) fn write_sequence(
    merge: &RowMerge,
    output: &Output,
    passes: &SequencePasses,
    ranges: impl Iterator<Item = (u64, u64)>,
    content: Content,
    offset: u64,
    block_bytes: usize,
) -> Result<()> {
    let item_bytes = match content {
        Content::Codes { .. } => to_usize(merge.runs.layout.code_size)?,
        Content::Ids { .. } => 8,
        Content::SecondCodes { .. } => to_usize(merge.runs.layout.second_code_size)?,
    };
    let block_rows = (block_bytes / (item_bytes + 8)).max(1);
    let codes_again = again(passes.codes);
    let lists_again = passes.lists.map(again);
    // What others count is read apart from what counts here.
    let passes_again = SequencePasses { ids: passes.ids, codes: &codes_again, lists: lists_again.as_deref() };
    let passes = &ClaimedPasses { own: passes, shared: &passes_again };
    let mut planner = SequencePlanner {
        merge,
        output,
        offset,
        passes,
        rounds: IdRounds::new(passes.own.ids, ranges),
        content,
        item_bytes,
        block_rows,
        rank: 0,
        group: None,
    };
    let read = |block: &mut SequenceBlock| block.read(passes.of(block.is_own), &content, item_bytes);
    let rows_done = |block: &SequenceBlock| {
        if let (Content::Codes { .. }, true) = (content, block.is_own) {
            merge.progress.add_rows(block.pieces.iter().map(|piece| piece.rows).sum());
        }
    };
    let Some(packing) = content.packing() else {
        return output.fill(
            || planner.next(),
            read,
            |block: SequenceBlock| {
                rows_done(&block);
                let at = offset + block.rank * to_u64(item_bytes);
                Ok(vec![(at, block.merge(merge, &content, item_bytes)?)])
            },
        );
    };
    // Blocks of packed codes do not end where blocks of ids do, so the rows left over wait for the next.
    let (rows_per_block, bytes_per_block) = (packing.rows_per_block(), packing.block_bytes());
    let mut left_over = Vec::new();
    let mut written = 0;
    let mut next_rank = 0;
    let mut ended = false;
    output.fill(
        || {
            if ended {
                return Ok(None);
            }
            match planner.next()? {
                Some(mut block) => {
                    if block.rank != next_rank {
                        // What the rows before it fill of its first packed block is not this task's.
                        written = block.rank / rows_per_block * bytes_per_block;
                        left_over = vec![0; to_usize(block.rank % rows_per_block)? * item_bytes];
                    }
                    next_rank = block.rank + to_u64(block.kept);
                    read(&mut block)?;
                    rows_done(&block);
                    left_over.extend(block.merge(merge, &content, item_bytes)?);
                }
                None => ended = true,
            }
            let packed = pack_whole_blocks(packing, &mut left_over, item_bytes, ended)?;
            let at = offset + written;
            written += to_u64(packed.len());
            Ok(Some((at, packed)))
        },
        |_| Ok(()),
        |ready: Written| Ok(vec![ready]),
    )
}

fn pack_whole_blocks(
    packing: &dyn RowPacking,
    codes: &mut Vec<u8>,
    item_bytes: usize,
    with_rest: bool,
) -> Result<Vec<u8>> {
    let rows_per_block = to_usize(packing.rows_per_block())?;
    let rows = codes.len() / item_bytes.max(1);
    let packed_rows = if with_rest { rows } else { rows / rows_per_block * rows_per_block };
    let mut packed = vec![0; packed_rows.div_ceil(rows_per_block) * to_usize(packing.block_bytes())?];
    packing.pack(&codes[..packed_rows * item_bytes], packed_rows, &mut packed)?;
    codes.drain(..packed_rows * item_bytes);
    Ok(packed)
}

/// Passes for the blocks that count in this task, and for those that count in another.
struct ClaimedPasses<'a> {
    own: &'a SequencePasses<'a>,
    shared: &'a SequencePasses<'a>,
}

impl<'a> ClaimedPasses<'a> {
    fn of(&self, is_own: bool) -> &'a SequencePasses<'a> {
        if is_own { self.own } else { self.shared }
    }
}

struct SequencePlanner<'a> {
    merge: &'a RowMerge<'a>,
    output: &'a Output<'a>,
    /// Where the sequence begins in the index.
    offset: u64,
    passes: &'a ClaimedPasses<'a>,
    rounds: IdRounds<'a>,
    content: Content<'a>,
    item_bytes: usize,
    block_rows: usize,
    rank: u64,
    group: Option<GroupRows<'a>>,
}

/// What is left of an id with very many rows.
enum GroupRows<'a> {
    Ids { id: i64, rows: u64 },
    Codes(GroupCodes<'a>),
}

impl<'a> SequencePlanner<'a> {
    fn next(&mut self) -> Result<Option<SequenceBlock>> {
        loop {
            self.merge.cancellation.check()?;
            if let Some(group) = &mut self.group {
                let bytes = group.next(self.block_rows)?;
                if !bytes.is_empty() {
                    let rank = self.rank;
                    self.rank += to_u64(bytes.len() / self.item_bytes);
                    let (ready, kept) = (Some(bytes), to_usize(self.rank - rank)?);
                    let block = self.block(Vec::new(), Vec::new(), rank);
                    return Ok(Some(SequenceBlock { ready, kept, is_own: false, ..block }));
                }
                self.group = None;
            }
            match self.rounds.next(self.block_rows)? {
                None => return Ok(None),
                Some(Round::Rows { ids, pieces }) => {
                    let rank = self.rank;
                    let block = self.block(ids, pieces, rank);
                    self.rank += to_u64(block.kept);
                    if let Some(block) = self.claimed(block) {
                        return Ok(Some(block));
                    }
                }
                Some(Round::Group { id, pieces }) => {
                    if let Some(block) = self.begin_group(id, pieces)? {
                        return Ok(Some(block));
                    }
                }
            }
        }
    }

    fn block(&self, ids: Vec<i64>, pieces: Vec<Piece>, rank: u64) -> SequenceBlock {
        let kept = self.merge.repeats.kept(&ids, self.content.list());
        SequenceBlock { ids, pieces, rank, kept, codes: Vec::new(), lists: Vec::new(), ready: None, is_own: true }
    }

    /// How far this task is concerned with `rows` rows from `rank` on.
    fn claim(&self, rank: u64, rows: u64) -> Claim {
        let end = rank + rows;
        let bytes = match self.content.packing() {
            None => rank * to_u64(self.item_bytes)..end * to_u64(self.item_bytes),
            Some(packing) => {
                let (rows, bytes) = (packing.rows_per_block(), packing.block_bytes());
                rank / rows * bytes..end.div_ceil(rows) * bytes
            }
        };
        let is_needed = self.merge.needs_first_codes && matches!(self.content, Content::Codes { .. });
        self.output.claim(&(self.offset + bytes.start..self.offset + bytes.end), is_needed)
    }

    fn claimed(&self, block: SequenceBlock) -> Option<SequenceBlock> {
        match self.claim(block.rank, to_u64(block.kept)) {
            Claim::Foreign => None,
            claim => Some(SequenceBlock { is_own: claim == Claim::Own, ..block }),
        }
    }

    fn begin_group(&mut self, id: i64, pieces: Vec<Piece>) -> Result<Option<SequenceBlock>> {
        if !self.merge.repeats.is_empty() {
            return self.first_of_group(id, pieces);
        }
        let rows = pieces.iter().map(|piece| piece.rows).sum();
        let claim = self.claim(self.rank, rows);
        if let (Claim::Foreign, Content::Ids { .. } | Content::Codes { .. }) = (claim, self.content) {
            self.rank += rows;
            return Ok(None);
        }
        let is_own = claim == Claim::Own;
        match self.content {
            Content::Ids { .. } => self.group = Some(GroupRows::Ids { id, rows }),
            Content::Codes { list, .. } => {
                if is_own {
                    self.merge.progress.add_rows(rows);
                }
                let (merge, codes) = (self.merge, self.passes.of(is_own).codes);
                self.group = Some(GroupRows::Codes(GroupCodes::new(merge, codes, list, id, pieces, self.item_bytes)));
            }
            Content::SecondCodes { .. } => {
                let message = format!(
                    "id {id} has {rows} rows, more than can be ordered by two codes; duplicateIds=keepFirst keeps one"
                );
                return Err(BuildError::new(ErrorKind::DuplicateIds, message));
            }
        }
        Ok(None)
    }

    /// The first row of a run is the first in the order of the codes, so one row of each run is enough.
    fn first_of_group(&mut self, id: i64, pieces: Vec<Piece>) -> Result<Option<SequenceBlock>> {
        let firsts: Vec<Piece> = pieces.iter().map(|piece| Piece { rows: 1, ..*piece }).collect();
        let rank = self.rank;
        let block = self.block(vec![id; firsts.len()], firsts, rank);
        self.rank += to_u64(block.kept);
        let Some(block) = self.claimed(block) else { return Ok(None) };
        let passes = self.passes.of(block.is_own);
        for piece in pieces {
            let rest = Piece { first: piece.first + 1, rows: piece.rows - 1, ..piece };
            if !matches!(self.content, Content::Ids { .. }) {
                skip(&passes.codes[piece.run], rest, self.item_bytes)?;
            }
            if let (Content::SecondCodes { .. }, Some(lists)) = (self.content, passes.lists) {
                skip(&lists[piece.run], rest, 4)?;
            }
        }
        Ok(Some(block))
    }
}

impl GroupRows<'_> {
    fn next(&mut self, most_rows: usize) -> Result<Vec<u8>> {
        match self {
            Self::Codes(codes) => codes.next(most_rows),
            Self::Ids { id, rows } => {
                let some = to_u64(most_rows).min(*rows);
                *rows -= some;
                Ok(id.to_le_bytes().repeat(to_usize(some)?))
            }
        }
    }
}

impl SequenceBlock {
    fn read(&mut self, passes: &SequencePasses, content: &Content, item_bytes: usize) -> Result<()> {
        if !matches!(content, Content::Ids { .. }) {
            self.codes = read_pieces(passes.codes, &self.pieces, item_bytes)?;
        }
        if let (Content::SecondCodes { .. }, Some(lists)) = (content, passes.lists) {
            self.lists = read_pieces(lists, &self.pieces, 4)?;
        }
        Ok(())
    }

    fn merge(self, merge: &RowMerge, content: &Content, item_bytes: usize) -> Result<Vec<u8>> {
        if let Some(ready) = self.ready {
            return Ok(ready);
        }
        let id_at = |place: u32| usize::try_from(place).map_or(0, |place| self.ids[place]);
        let segments = segments(&self.pieces);
        // A place is in the piece before which all others end; beyond all pieces there is none.
        let run_of = |place: u32| {
            let piece = segments.partition_point(|segment| segment.end <= place);
            self.pieces.get(piece).map_or(usize::MAX, |piece| piece.run)
        };
        let mut order = Vec::with_capacity(self.ids.len());
        let mut tied = Ok(());
        IdOrder::default().sort(
            &self.ids,
            |id| *id,
            &segments,
            &mut order,
            |places| {
                if tied.is_ok() {
                    let id = id_at(places[0]);
                    tied = match content {
                        Content::Ids { .. } => Ok(()),
                        Content::Codes { list, .. } => {
                            merge.order_tied(places, &self.codes, item_bytes);
                            merge.record_tie(*list, id, places, run_of, &self.codes, item_bytes)
                        }
                        Content::SecondCodes { .. } => {
                            let rows = SecondCodes { codes: &self.codes, item_bytes, lists: &self.lists, run_of };
                            rows.order(merge, id, places)
                        }
                    };
                }
            },
        );
        tied?;
        merge.repeats.drop_others(&mut order, content.list(), id_at);
        if order.len() != self.kept {
            return Err(BuildError::new(ErrorKind::Internal, "the sections of a run contradict one another"));
        }
        let mut out = Vec::with_capacity(order.len() * item_bytes);
        match content {
            Content::Ids { .. } => out.extend(order.iter().flat_map(|place| id_at(*place).to_le_bytes())),
            _ => order.iter().for_each(|place| out.extend_from_slice(code_at(&self.codes, item_bytes, *place))),
        }
        Ok(out)
    }
}

/// A whole index section in id order: passes, written, verified.
pub(crate) fn write_all_rows(
    merge: &RowMerge,
    output: &Output,
    content: Content,
    offset: u64,
    block_bytes: usize,
) -> Result<()> {
    let has_lists = merge.runs.layout.nlist > 1;
    let ids = merge.runs.passes(Section::SortedIds);
    let codes = match content {
        Content::Codes { .. } => merge.runs.passes(Section::Codes),
        Content::SecondCodes { .. } => merge.runs.passes(Section::SecondCodes),
        Content::Ids { .. } => Vec::new(),
    };
    let needs_lists = has_lists && matches!(content, Content::SecondCodes { .. });
    let lists = if needs_lists { merge.runs.passes(Section::ListNumbers) } else { Vec::new() };
    let passes = SequencePasses { ids: &ids, codes: &codes, lists: needs_lists.then_some(lists.as_slice()) };
    write_sequence(merge, output, &passes, merge.runs.rows().map(|rows| (0, rows)), content, offset, block_bytes)?;
    finish(&ids)?;
    let section = match content {
        Content::SecondCodes { .. } => Section::SecondCodes,
        _ => Section::Codes,
    };
    output.window().settle(section, &codes)?;
    output.window().settle(Section::ListNumbers, &lists)
}
