//! The threads of one task.

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::error::{BuildError, ErrorKind, Result};

/// Runs independent pieces of work on as many threads as the task may use. One thread means the caller's own.
#[derive(Debug)]
pub struct Workers(Option<ThreadPool>);

impl Workers {
    /// `threads` threads, named after `stage`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] if they cannot be started.
    pub fn new(threads: usize, stage: &str) -> Result<Self> {
        if threads <= 1 {
            return Ok(Self(None));
        }
        let stage = stage.to_owned();
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(move |number| format!("faiss-{stage}-{number}"))
            .build()
            .map(|pool| Self(Some(pool)))
            .map_err(|error| {
                BuildError::new(ErrorKind::OutOfMemory, format!("cannot start {threads} threads: {error}"))
            })
    }

    pub(crate) fn count(&self) -> usize {
        self.0.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// Runs `work` on one of the threads, where calls of [`Workers::each`] start without waking it first.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            None => work(),
            Some(pool) => pool.install(work),
        }
    }

    /// Calls `work` once for each piece; the first error wins and the remaining pieces may be left undone.
    pub(crate) fn each<T: Send>(&self, pieces: Vec<T>, work: impl Fn(T) -> Result<()> + Sync + Send) -> Result<()> {
        match &self.0 {
            None => pieces.into_iter().try_for_each(work),
            Some(pool) => pool.install(|| pieces.into_par_iter().try_for_each(work)),
        }
    }
}
