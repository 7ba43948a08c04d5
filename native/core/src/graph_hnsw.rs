//! HNSW on all threads of the task, with the bytes of Faiss' own add on one thread.
//!
//! Rows enter the graph in a fixed order. The next few are searched at the same time in the graph as it stands; then
//! they are committed in order up to the first whose search read a list that a row before it has changed. That one and
//! all whose results are out of date are searched again, beside the next rows (cpp/hnsw_shim.cpp).

#![expect(unsafe_code, reason = "the C++ shim is reached through extern functions")]

use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::faiss_index::check;
use crate::graph_index::Part;
use crate::numbers::to_u64;
use crate::stage::Progress;
use crate::workers::Workers;

/// More rows than this per thread are not searched ahead.
const MOST_AHEAD: usize = 32;

/// Links `rows` rows whose codes the storage of `index` holds. `vectors` are the rows themselves; without them the
/// storage must keep them.
pub(crate) fn build_hnsw(
    index: &mut Part<'_>,
    vectors: Option<&[f32]>,
    rows: usize,
    workers: &Workers,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let ahead = if workers.count() == 1 { Ahead::one() } else { Ahead::adapting(workers.count()) };
    build_with(index, vectors, rows, ahead, workers, cancellation, progress)
}

/// How many rows are searched at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    rows: usize,
    least: usize,
    most: usize,
    searched: usize,
    committed: usize,
}

impl Ahead {
    fn one() -> Self {
        Self::always(1)
    }

    fn always(rows: usize) -> Self {
        Self { rows, least: rows, most: rows, searched: 0, committed: 0 }
    }

    fn adapting(threads: usize) -> Self {
        Self { rows: 2 * threads, least: threads, most: MOST_AHEAD * threads, searched: 0, committed: 0 }
    }

    /// More when nearly every search was of use, fewer when many were in vain, judged over enough of both.
    fn adapt(&mut self, searched: usize, committed: usize) {
        const ENOUGH: usize = 64;
        self.searched += searched;
        self.committed += committed;
        if self.committed < ENOUGH {
            return;
        }
        if self.committed * 20 >= self.searched * 17 {
            self.rows = (self.rows + self.rows / 4 + 1).min(self.most);
        } else if self.committed * 4 < self.searched * 3 {
            self.rows = (self.rows - self.rows / 4).max(self.least);
        }
        (self.searched, self.committed) = (0, 0);
    }
}

pub(crate) fn build_with(
    index: &mut Part<'_>,
    vectors: Option<&[f32]>,
    rows: usize,
    mut ahead: Ahead,
    workers: &Workers,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<()> {
    let mut graph = Graph::open(index, vectors, rows, workers.count(), ahead.most, cancellation)?;
    progress.add_rows(1);
    // The first row needs no search. Everything before `searched` and not yet linked has a result.
    let (mut next, mut searched) = (1, 1);
    workers.inside(|| {
        let (mut total, mut rounds) = (0,0);
        while next < rows {
            let end = (next + ahead.rows).min(rows);
            let count = graph.search(next, searched, end, workers, cancellation)?;
            total += count; rounds += 1;
            searched = searched.max(end);
            let first = next;
            while next < end && graph.commit_if_right(next)? {
                next += 1;
            }
            progress.add_rows(to_u64(next - first));
            ahead.adapt(count, next - first);
        }
        eprintln!("searches/row {:.3} rows/round {:.2} ahead {}", total as f64 / rows as f64, rows as f64/rounds as f64, ahead.rows);
        Ok(())
    })
}

unsafe extern "C" {
    fn faiss_graph_hnsw_open(
        index: *mut c_void,
        vectors: *const f32,
        rows: u64,
        searchers: u64,
        window: u64,
        cancel: *const u8,
        out: *mut *mut c_void,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_hnsw_drop(build: *mut c_void);
    fn faiss_graph_hnsw_begin_round(build: *mut c_void);
    fn faiss_graph_hnsw_search(
        build: *mut c_void,
        worker: u64,
        slot: u64,
        position: u64,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_hnsw_still_right(
        build: *mut c_void,
        worker: u64,
        slot: u64,
        position: u64,
        right: *mut i32,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_hnsw_commit(build: *mut c_void, slot: u64);
}

/// The graph while it grows. A row's result lies in the slot of its position modulo the number of slots.
struct Graph<'used> {
    build: *mut c_void,
    slots: usize,
    used: PhantomData<(&'used mut c_void, &'used [f32])>,
}

// SAFETY: the build is tied to no thread, and the lifetime keeps others from what it points to.
unsafe impl Send for Graph<'_> {}
// SAFETY: the threads that share one call `search` and `still_right` only, for workers and slots of their own.
unsafe impl Sync for Graph<'_> {}

impl<'used> Graph<'used> {
    fn open(
        index: &'used mut Part<'_>,
        vectors: Option<&'used [f32]>,
        rows: usize,
        searchers: usize,
        slots: usize,
        cancellation: &Cancellation,
    ) -> Result<Self> {
        let (pointer, cancel) = (index.as_pointer(), cancellation.as_byte());
        let (rows, searchers, window) = (to_u64(rows), to_u64(searchers), to_u64(slots));
        let vectors = vectors.map_or(ptr::null(), <[f32]>::as_ptr);
        let mut build = ptr::null_mut();
        // SAFETY: the lifetime keeps index and vectors alive and unused by others until the graph is dropped.
        check(|message| unsafe {
            faiss_graph_hnsw_open(pointer, vectors, rows, searchers, window, cancel, &mut build, message)
        })?;
        Ok(Self { build, slots, used: PhantomData })
    }

    /// Searches the rows from `next` to `end`, but for those before `searched` whose results still hold. Returns the
    /// number of searches.
    fn search(
        &mut self,
        next: usize,
        searched: usize,
        end: usize,
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<usize> {
        // SAFETY: `&mut self`: no search runs.
        unsafe { faiss_graph_hnsw_begin_round(self.build) };
        let (graph, position, searches) = (&*self, AtomicUsize::new(next), AtomicUsize::new(0));
        workers.each((0..workers.count()).collect(), |worker| {
            loop {
                let row = position.fetch_add(1, Ordering::Relaxed);
                if row >= end {
                    return Ok(());
                }
                if row < searched && graph.still_right(worker, row)? {
                    continue;
                }
                cancellation.check()?;
                searches.fetch_add(1, Ordering::Relaxed);
                let (worker, slot) = (to_u64(worker), graph.slot(row));
                // SAFETY: each worker number is used by one closure, each row and so each slot (`end - next` is at
                // most their number) by one turn of the loop, and all are below the numbers given to `open`.
                check(|message| unsafe {
                    faiss_graph_hnsw_search(graph.build, worker, slot, to_u64(row), message)
                })?;
            }
        })?;
        Ok(searches.into_inner())
    }

    fn commit_if_right(&mut self, row: usize) -> Result<bool> {
        let right = self.still_right(0, row)?;
        if right {
            // SAFETY: `&mut self`: no search runs; the slot is in range.
            unsafe { faiss_graph_hnsw_commit(self.build, self.slot(row)) };
        }
        Ok(right)
    }

    fn still_right(&self, worker: usize, row: usize) -> Result<bool> {
        let (worker, slot, position) = (to_u64(worker), self.slot(row), to_u64(row));
        let mut right = 0;
        // SAFETY: worker and slot are in range, and the caller is their only user.
        check(|message| unsafe {
            faiss_graph_hnsw_still_right(self.build, worker, slot, position, &mut right, message)
        })?;
        Ok(right != 0)
    }

    fn slot(&self, row: usize) -> u64 {
        to_u64(row % self.slots)
    }
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        // SAFETY: this value owns the build and is gone after this call.
        unsafe { faiss_graph_hnsw_drop(self.build) }
    }
}
