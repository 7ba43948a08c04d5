//! NSG on all threads of the task, with the bytes of Faiss' own add on one thread (cpp/nsg_shim.cpp).

#![expect(unsafe_code, reason = "the C++ shim is reached through extern functions")]

use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::info;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::check;
use crate::graph_index::Part;
use crate::numbers::to_u64;
use crate::stage::Progress;
use crate::workers::Workers;

/// Faiss refuses to make a graph of nearest neighbours for fewer rows (NNDescent.cpp, NUM_EVAL_POINTS).
const LEAST_ROWS: u64 = 101;

/// Links `rows` rows whose codes the storage of `index` holds.
pub(crate) fn build_nsg(
    index: &mut Part<'_>,
    rows: usize,
    workers: &Workers,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<()> {
    let mut graph = Graph::open(index, rows, workers)?;
    // The threads of a pool hand short pieces of work to each other faster than another thread does.
    workers.inside(|| {
        graph.find_neighbors(workers, cancellation)?;
        graph.link(workers, cancellation, progress)
    })?;
    graph.finish(cancellation)
}

#[repr(C)]
#[derive(Debug, Default)]
struct Parameters {
    links: u64,
    kept: u64,
    neighbors: u64,
    rounds: u64,
}

/// The numbers of the steps in the shim.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
enum Step {
    Draw = 0,
    Measure = 1,
    Join = 2,
    Insert = 3,
    Select = 4,
    Sample = 5,
    Combine = 6,
    Extract = 7,
    Sum = 8,
    Enter = 9,
    Link = 10,
    LinkBack = 11,
}

unsafe extern "C" {
    fn faiss_graph_nsg_parameters(index: *const c_void, parameters: *mut Parameters, message: *mut *mut c_char) -> i32;
    fn faiss_graph_nsg_open(
        index: *mut c_void,
        rows: u64,
        workers: u64,
        slots: u64,
        out: *mut *mut c_void,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_nsg_drop(build: *mut c_void);
    fn faiss_graph_nsg_run(
        build: *mut c_void,
        step: i32,
        worker: u64,
        slot: u64,
        first: u64,
        end: u64,
        message: *mut *mut c_char,
    ) -> i32;
    fn faiss_graph_nsg_finish(build: *mut c_void, cancel: *const u8, message: *mut *mut c_char) -> i32;
}

/// The graph while it grows.
struct Graph<'used> {
    build: *mut c_void,
    rows: usize,
    rounds: u64,
    slots: usize,
    used: PhantomData<&'used mut c_void>,
}

// SAFETY: the build is tied to no thread, and the lifetime keeps others from what it points to.
unsafe impl Send for Graph<'_> {}
// SAFETY: the threads that share one call `run` only, for workers, slots and rows of their own.
unsafe impl Sync for Graph<'_> {}

impl<'used> Graph<'used> {
    fn open(index: &'used mut Part<'_>, rows: usize, workers: &Workers) -> Result<Self> {
        /// More let idle threads help with uneven rows, and take memory for what they find.
        const SLOTS_PER_WORKER: usize = 2;
        let pointer = index.as_pointer();
        let mut parameters = Parameters::default();
        // SAFETY: the pointer is a live index, and `parameters` has the layout of the shim's struct.
        check(|message| unsafe { faiss_graph_nsg_parameters(pointer, &mut parameters, message) })?;
        check_rows(to_u64(rows), &parameters)?;
        let slots = SLOTS_PER_WORKER * workers.count();
        let mut build = ptr::null_mut();
        // SAFETY: the lifetime keeps the index alive and unused by others until the graph is dropped.
        check(|message| unsafe {
            let (rows, workers, slots) = (to_u64(rows), to_u64(workers.count()), to_u64(slots));
            faiss_graph_nsg_open(pointer, rows, workers, slots, &mut build, message)
        })?;
        Ok(Self { build, rows, rounds: parameters.rounds, slots, used: PhantomData })
    }

    /// The nearest neighbours of every row, by NN-descent.
    fn find_neighbors(&mut self, workers: &Workers, cancellation: &Cancellation) -> Result<()> {
        self.in_row_order(Step::Draw, cancellation)?;
        self.on_all(Step::Measure, workers, cancellation)?;
        for round in 1..=self.rounds {
            self.join(workers, cancellation)?;
            self.on_all(Step::Select, workers, cancellation)?;
            self.in_row_order(Step::Sample, cancellation)?;
            self.on_all(Step::Combine, workers, cancellation)?;
            info!("round {round} of {} of the search for nearest neighbours is done", self.rounds);
        }
        self.on_all(Step::Extract, workers, cancellation)
    }

    fn join(&mut self, workers: &Workers, cancellation: &Cancellation) -> Result<()> {
        /// A row may ask for tens of thousands of comparisons, each of which may leave 24 bytes.
        const ROWS_PER_SLOT: usize = 4;
        let graph = &*self;
        let rows_at_once = graph.slots * ROWS_PER_SLOT;
        for first in (0..graph.rows).step_by(rows_at_once) {
            let end = (first + rows_at_once).min(graph.rows);
            let slots = (end - first).div_ceil(ROWS_PER_SLOT);
            let next = AtomicUsize::new(0);
            workers.each((0..workers.count()).collect(), |worker| {
                loop {
                    let slot = next.fetch_add(1, Ordering::Relaxed);
                    if slot >= slots {
                        return Ok(());
                    }
                    cancellation.check()?;
                    let from = first + slot * ROWS_PER_SLOT;
                    graph.run(Step::Join, worker, slot, from, (from + ROWS_PER_SLOT).min(end))?;
                }
            })?;
            workers
                .each((0..workers.count()).collect(), |partition| graph.run(Step::Insert, partition, slots, 0, 0))?;
        }
        Ok(())
    }

    fn link(&mut self, workers: &Workers, cancellation: &Cancellation, progress: &Progress) -> Result<()> {
        self.in_row_order(Step::Sum, cancellation)?;
        self.run(Step::Enter, 0, 0, 0, 0)?;
        self.on_all(Step::Link, workers, cancellation)?;
        self.in_row_order(Step::LinkBack, cancellation)?;
        progress.add_rows(to_u64(self.rows));
        Ok(())
    }

    fn finish(self, cancellation: &Cancellation) -> Result<()> {
        let cancel = cancellation.as_byte();
        // SAFETY: `self` is the only user of the build.
        check(|message| unsafe { faiss_graph_nsg_finish(self.build, cancel, message) })
    }

    fn on_all(&mut self, step: Step, workers: &Workers, cancellation: &Cancellation) -> Result<()> {
        const ROWS: usize = 32;
        let (graph, next) = (&*self, AtomicUsize::new(0));
        workers.each((0..workers.count()).collect(), |worker| {
            loop {
                let first = next.fetch_add(ROWS, Ordering::Relaxed);
                if first >= graph.rows {
                    return Ok(());
                }
                cancellation.check()?;
                graph.run(step, worker, 0, first, (first + ROWS).min(graph.rows))?;
            }
        })
    }

    fn in_row_order(&mut self, step: Step, cancellation: &Cancellation) -> Result<()> {
        const ROWS: usize = 256;
        for first in (0..self.rows).step_by(ROWS) {
            cancellation.check()?;
            self.run(step, 0, 0, first, (first + ROWS).min(self.rows))?;
        }
        Ok(())
    }

    fn run(&self, step: Step, worker: usize, slot: usize, first: usize, end: usize) -> Result<()> {
        #[expect(clippy::as_conversions, reason = "reads the discriminant of a repr(i32) enum")]
        let step = step as i32;
        let (worker, slot, first, end) = (to_u64(worker), to_u64(slot), to_u64(first), to_u64(end));
        // SAFETY: workers, slots and rows are in range, and callers that run at the same time use different ones.
        check(|message| unsafe { faiss_graph_nsg_run(self.build, step, worker, slot, first, end, message) })
    }
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        // SAFETY: this value owns the build and is gone after this call.
        unsafe { faiss_graph_nsg_drop(self.build) }
    }
}

fn check_rows(rows: u64, parameters: &Parameters) -> Result<()> {
    let least = LEAST_ROWS.max(parameters.kept).max(parameters.neighbors + 1);
    if rows < least {
        let text = format!("NSG needs at least {least} rows, and there are {rows}");
        return Err(BuildError::new(ErrorKind::TooFewRows, text));
    }
    // Faiss counts the entries of its tables in 32 bits.
    let most = u64::from(i32::MAX.unsigned_abs()) / parameters.links.max(parameters.neighbors).max(1);
    if rows > most {
        let text = format!("NSG holds at most {most} rows, and there are {rows}; shards=N makes several indexes");
        return Err(BuildError::invalid(text));
    }
    Ok(())
}
