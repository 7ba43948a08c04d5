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
use std::time::Instant;

use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::faiss_index::check;
use crate::graph_index::Part;
use crate::graph_pace::Pace;
use crate::numbers::to_u64;
use crate::stage::Progress;
use crate::workers::Workers;

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
    build_at(Pace::new(workers.count()), index, vectors, rows, workers, cancellation, progress)
}

pub(crate) fn build_at(
    mut pace: Pace,
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
    let mut graph = Graph::open(index, vectors, rows, workers.count(), pace.most_rows(), cancellation)?;
    progress.add_rows(1);
    workers.inside(|| {
        // The first row needs no search. Everything before `searched` and not yet linked has a result.
        let (mut next, mut searched) = (1, 1);
        while next < rows {
            let (first, began) = (next, Instant::now());
            let end = (next + pace.rows()).min(rows);
            let searches = graph.search(next, searched, end, workers, cancellation)?;
            searched = searched.max(end);
            while next < end && graph.commit_if_right(next)? {
                next += 1;
            }
            progress.add_rows(to_u64(next - first));
            pace.record(searches, next - first, began.elapsed());
        }
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
// SAFETY: the threads that share one call `search_row` and `still_right` only, for workers and slots of their own.
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
        let work = |worker: usize| {
            loop {
                let row = position.fetch_add(1, Ordering::Relaxed);
                if row >= end {
                    return Ok(());
                }
                cancellation.check()?;
                if row >= searched || !graph.still_right(worker, row)? {
                    graph.search_row(worker, row)?;
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        if end - next == 1 {
            work(0)?
        } else {
            workers.each((0..workers.count()).collect(), work)?
        }
        Ok(searches.into_inner())
    }

    fn search_row(&self, worker: usize, row: usize) -> Result<()> {
        let (worker, slot, position) = (to_u64(worker), self.slot(row), to_u64(row));
        // SAFETY: worker, slot and position are below the numbers given to `open`, and the caller is the only user of
        // worker and slot: rows of one round are at most as many as there are slots.
        check(|message| unsafe { faiss_graph_hnsw_search(self.build, worker, slot, position, message) })
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
