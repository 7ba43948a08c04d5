//! Streams of ids, and of ids with codes, merged from all runs in ascending order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::run_file::SectionReader;

/// The ids of one list after the other, or of whole runs, ascending.
pub(crate) struct IdMerge {
    runs: Vec<SectionReader>,
    left: Vec<u64>,
    next: BinaryHeap<Reverse<(i64, usize)>>,
}

impl IdMerge {
    /// Over readers of sections of ids.
    pub(crate) fn new(runs: Vec<SectionReader>) -> Self {
        Self { left: vec![0; runs.len()], runs, next: BinaryHeap::new() }
    }

    /// Goes on to the next `sizes[run]` ids of each run.
    pub(crate) fn begin_list(&mut self, sizes: &[u64]) -> Result<()> {
        self.left.copy_from_slice(sizes);
        (0..sizes.len()).try_for_each(|run| self.pull(run))
    }

    pub(crate) fn next(&mut self) -> Result<Option<i64>> {
        Ok(self.next_with_run()?.map(|(id, _)| id))
    }

    fn next_with_run(&mut self) -> Result<Option<(i64, usize)>> {
        let Some(Reverse((id, run))) = self.next.pop() else { return Ok(None) };
        self.pull(run)?;
        Ok(Some((id, run)))
    }

    fn peek(&self) -> Option<i64> {
        self.next.peek().map(|Reverse((id, _))| *id)
    }

    fn pull(&mut self, run: usize) -> Result<()> {
        if self.left[run] > 0 {
            self.left[run] -= 1;
            self.next.push(Reverse((self.runs[run].take_id()?, run)));
        }
        Ok(())
    }
}

/// Rows of one list after the other, ids ascending; rows of one id in the order of their codes.
pub(crate) struct CodeMerge {
    ids: IdMerge,
    codes: Vec<SectionReader>,
    code_size: usize,
    code: Vec<u8>,
    same_id: Vec<Vec<u8>>,
    same: i64,
}

impl CodeMerge {
    /// Over readers of the ids and the codes of the same runs.
    pub(crate) fn new(ids: Vec<SectionReader>, codes: Vec<SectionReader>, code_size: usize) -> Self {
        Self { ids: IdMerge::new(ids), codes, code_size, code: Vec::new(), same_id: Vec::new(), same: 0 }
    }

    pub(crate) fn begin_list(&mut self, sizes: &[u64]) -> Result<()> {
        self.ids.begin_list(sizes)
    }

    pub(crate) fn next(&mut self) -> Result<Option<(i64, &[u8])>> {
        if self.same_id.is_empty() {
            let Some((id, run)) = self.ids.next_with_run()? else { return Ok(None) };
            if self.ids.peek() != Some(id) {
                return Ok(Some((id, self.codes[run].take(self.code_size)?)));
            }
            self.collect_same(id, run)?;
        }
        self.code = self.same_id.pop().unwrap_or_default();
        Ok(Some((self.same, &self.code)))
    }

    /// Rows of one id may come from several runs, whose order means nothing: their codes decide.
    fn collect_same(&mut self, id: i64, run: usize) -> Result<()> {
        self.same = id;
        self.same_id.push(self.codes[run].take(self.code_size)?.to_vec());
        while self.ids.peek() == Some(id) {
            if let Some((_, run)) = self.ids.next_with_run()? {
                self.same_id.push(self.codes[run].take(self.code_size)?.to_vec());
            }
        }
        self.same_id.sort_unstable_by(|one, other| other.cmp(one));
        Ok(())
    }
}
