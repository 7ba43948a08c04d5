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
        let Some((id, run)) = self.pop() else { return Ok(None) };
        self.pull(run)?;
        Ok(Some(id))
    }

    /// The smallest id and its run, which then waits for [`IdMerge::pull`].
    fn pop(&mut self) -> Option<(i64, usize)> {
        self.next.pop().map(|Reverse(smallest)| smallest)
    }

    fn peek(&self) -> Option<i64> {
        self.next.peek().map(|Reverse((id, _))| *id)
    }

    /// Lets the next id of `run` in, if its list has one.
    fn pull(&mut self, run: usize) -> Result<()> {
        if let Some(id) = self.take(run)? {
            self.next.push(Reverse((id, run)));
        }
        Ok(())
    }

    fn take(&mut self, run: usize) -> Result<Option<i64>> {
        if self.left[run] == 0 {
            return Ok(None);
        }
        self.left[run] -= 1;
        self.runs[run].take_id().map(Some)
    }
}

/// Rows of one list after the other, ids ascending; rows of one id in the order of their codes.
pub(crate) struct CodeMerge {
    ids: IdMerge,
    codes: Vec<SectionReader>,
    code_size: usize,
    /// Runs whose next row has the id `tied_id`, with that row's code. Within a run, rows of one id are in the order
    /// of their codes already.
    tied: Vec<(Vec<u8>, usize)>,
    tied_id: i64,
    code: Vec<u8>,
}

impl CodeMerge {
    /// Over readers of the ids and the codes of the same runs.
    pub(crate) fn new(ids: Vec<SectionReader>, codes: Vec<SectionReader>, code_size: usize) -> Self {
        Self { ids: IdMerge::new(ids), codes, code_size, tied: Vec::new(), tied_id: 0, code: Vec::new() }
    }

    pub(crate) fn begin_list(&mut self, sizes: &[u64]) -> Result<()> {
        self.ids.begin_list(sizes)
    }

    pub(crate) fn next(&mut self) -> Result<Option<(i64, &[u8])>> {
        if self.tied.is_empty() {
            let Some((id, run)) = self.ids.pop() else { return Ok(None) };
            if self.ids.peek() != Some(id) {
                self.ids.pull(run)?;
                return Ok(Some((id, self.codes[run].take(self.code_size)?)));
            }
            self.tied_id = id;
            self.tie(run)?;
            while self.ids.peek() == Some(id) {
                if let Some((_, run)) = self.ids.pop() {
                    self.tie(run)?;
                }
            }
        }
        let smallest = (0..self.tied.len()).min_by(|a, b| self.tied[*a].0.cmp(&self.tied[*b].0)).unwrap_or_default();
        let (code, run) = self.tied.swap_remove(smallest);
        self.code = code;
        match self.ids.take(run)? {
            Some(id) if id == self.tied_id => self.tie(run)?,
            Some(id) => self.ids.next.push(Reverse((id, run))),
            None => (),
        }
        Ok(Some((self.tied_id, &self.code)))
    }

    fn tie(&mut self, run: usize) -> Result<()> {
        let code = self.codes[run].take(self.code_size)?.to_vec();
        self.tied.push((code, run));
        Ok(())
    }
}
