//! The codes of an id with so many rows that they do not fit into a block: merged row by row.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::merge::row_merge::{RowMerge, TieMemory};
use crate::merge::runs::Piece;
use crate::merge::ties::{MOST_ROWS, Tied};
use crate::numbers::{to_u64, to_usize};
use crate::run_reader::SectionPass;

/// Memory for codes that are read ahead, of all runs together.
const AHEAD_BYTES: usize = 8 << 20;

pub(crate) struct GroupCodes<'a> {
    merge: &'a RowMerge<'a>,
    passes: &'a [SectionPass<'a>],
    list: u32,
    id: i64,
    item_bytes: usize,
    rows_ahead: u64,
    pieces: Vec<PieceCodes>,
    /// The next code of each piece, the smallest on top.
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    begun: bool,
    last: Option<Vec<u8>>,
    order: Vec<Tied>,
}

struct PieceCodes {
    left: Piece,
    codes: Vec<u8>,
    position: usize,
}

impl<'a> GroupCodes<'a> {
    pub(crate) fn new(
        merge: &'a RowMerge<'a>,
        passes: &'a [SectionPass<'a>],
        list: u32,
        id: i64,
        pieces: Vec<Piece>,
        item_bytes: usize,
    ) -> Self {
        let rows_ahead = to_u64((AHEAD_BYTES / pieces.len().max(1) / item_bytes.max(1)).max(1));
        let pieces = pieces.into_iter().map(|left| PieceCodes { left, codes: Vec::new(), position: 0 }).collect();
        let (next, order) = (BinaryHeap::new(), Vec::new());
        Self { merge, passes, list, id, item_bytes, rows_ahead, pieces, next, begun: false, last: None, order }
    }

    /// The next codes, of at most `most_rows` rows; none at the end.
    pub(crate) fn next(&mut self, most_rows: usize) -> Result<Vec<u8>> {
        if !self.begun {
            self.begun = true;
            (0..self.pieces.len()).try_for_each(|piece| self.pull(piece))?;
        }
        let mut out = Vec::with_capacity(most_rows.min(1 << 16) * self.item_bytes);
        while out.len() < most_rows * self.item_bytes {
            let Some(Reverse((code, piece))) = self.next.pop() else { break };
            out.extend_from_slice(&code);
            self.pull(piece)?;
            if let TieMemory::Orders(_) = self.merge.ties {
                let same_code = self.last.as_ref() == Some(&code);
                let run = u32::try_from(self.pieces[piece].left.run).unwrap_or(u32::MAX);
                self.order.push(Tied { run, same_code });
                self.last = Some(code);
            }
        }
        let is_complete = out.is_empty() || self.order.len() > MOST_ROWS;
        if let (true, TieMemory::Orders(ties)) = (is_complete, &self.merge.ties) {
            // More rows than can be remembered are refused here, before they take more memory.
            ties.record(self.list, self.id, std::mem::take(&mut self.order))?;
        }
        Ok(out)
    }

    fn pull(&mut self, number: usize) -> Result<()> {
        let piece = &mut self.pieces[number];
        if piece.position == piece.codes.len() {
            if piece.left.rows == 0 {
                return Ok(());
            }
            let rows = self.rows_ahead.min(piece.left.rows);
            piece.codes.resize(to_usize(rows)? * self.item_bytes, 0);
            self.passes[piece.left.run].read(piece.left.first, &mut piece.codes)?;
            piece.left.first += rows;
            piece.left.rows -= rows;
            piece.position = 0;
        }
        let code = piece.codes[piece.position..piece.position + self.item_bytes].to_vec();
        piece.position += self.item_bytes;
        self.next.push(Reverse((code, number)));
        Ok(())
    }
}
