//! A flag that stops a stage from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{BuildError, ErrorKind, Result};

/// Shared by a stage and whoever may cancel it. Work checks it at least every 200 ms, but for steps that cannot be
/// interrupted. Those of about two seconds at most: sorting a full run, one singular value decomposition of OPQ, and
/// ordering the centroids of one sub-quantizer. And those of Faiss that take as long as they take: training PCA and
/// ITQ (one covariance matrix of the sample; fifty rotations of it), and all of LSQ and PLSQ, training and encoding.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Makes the work that shares this flag stop with [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(cancelled()) } else { Ok(()) }
    }

    /// The flag as Faiss' interrupt callback reads it: one byte, 0 or 1.
    pub(crate) fn as_byte(&self) -> *const u8 {
        self.0.as_ptr().cast::<u8>().cast_const()
    }
}

pub(crate) fn cancelled() -> BuildError {
    BuildError::new(ErrorKind::Cancelled, "the build was cancelled")
}
