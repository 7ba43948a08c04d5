//! One open file, read by range.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use faiss_indexer_storage::{RandomRead, StorageError, Storages};

use crate::error::{InputError, Result};
use crate::number::{to_u64, to_usize};

/// A file that is open for one reader. No range is read, and no memory taken for it, before it is known to lie inside
/// the file.
pub(crate) struct FileBytes {
    uri: String,
    length: u64,
    stop: Arc<AtomicBool>,
    state: Mutex<State>,
}

struct State {
    file: Box<dyn RandomRead>,
    /// The file system's error, which the libraries in between reword.
    failure: Option<StorageError>,
}

const SAMPLED_BLOCKS: u64 = 16;
const SAMPLED_BLOCK_BYTES: u64 = 4 << 10;

/// Why a range was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RangeError {
    #[error("bytes {start} to {end} are needed, the file has {length}")]
    PastEnd { start: u64, end: u64, length: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the reading was stopped")]
    Stopped,
}

impl FileBytes {
    /// Opens `uri`, which must have `expected` bytes when its length is known already. Reads fail once `stop` is set.
    pub(crate) fn open(
        uri: &str,
        storages: &Storages,
        expected: Option<u64>,
        stop: Arc<AtomicBool>,
    ) -> Result<Arc<Self>> {
        let file = storages.resolve(uri)?.open(uri)?;
        let found = file.length();
        match expected {
            Some(expected) if expected != found => Err(InputError::Changed { uri: uri.to_owned(), expected, found }),
            _ => {
                let state = Mutex::new(State { file, failure: None });
                Ok(Arc::new(Self { uri: uri.to_owned(), length: found, stop, state }))
            }
        }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from `start` on.
    pub(crate) fn fill(&self, start: u64, buffer: &mut [u8]) -> std::result::Result<(), RangeError> {
        self.check(start, to_u64(buffer.len()))?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(RangeError::Stopped);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.file.read_exact_at(start, buffer).map_err(|error| {
            state.failure = Some(error.clone());
            RangeError::Storage(error)
        })
    }

    /// `length` bytes from `start` on.
    pub(crate) fn range(&self, start: u64, length: usize) -> std::result::Result<Vec<u8>, RangeError> {
        self.check(start, to_u64(length))?;
        let mut buffer = vec![0; length];
        self.fill(start, &mut buffer)?;
        Ok(buffer)
    }

    /// Whether a range lies inside the file.
    pub(crate) fn check(&self, start: u64, length: u64) -> std::result::Result<(), RangeError> {
        match start.checked_add(length) {
            Some(end) if end <= self.length => Ok(()),
            end => Err(RangeError::PastEnd { start, end: end.unwrap_or(u64::MAX), length: self.length }),
        }
    }

    /// `checksum` continued over blocks that are spread evenly over the file, for formats whose description tells
    /// nothing of the data.
    pub(crate) fn sampled_checksum(&self, checksum: u32) -> Result<u32> {
        let block = SAMPLED_BLOCK_BYTES.min(self.length);
        (0..SAMPLED_BLOCKS).try_fold(checksum, |checksum, sample| {
            let offset = u128::from(self.length - block) * u128::from(sample) / u128::from(SAMPLED_BLOCKS - 1);
            let start = u64::try_from(offset).unwrap_or(u64::MAX);
            let bytes = self.range(start, to_usize(block)).map_err(|error| self.failed("its data", error))?;
            Ok(crc32c::crc32c_append(checksum, &bytes))
        })
    }

    /// What made reading `place` fail: the file system when it did, `error` otherwise.
    pub(crate) fn failed(&self, place: impl Into<String>, error: impl ToString) -> InputError {
        let failure = self.state.lock().unwrap_or_else(PoisonError::into_inner).failure.take();
        match failure {
            Some(failure) => InputError::Storage(failure),
            None => InputError::unreadable(&self.uri, place, error),
        }
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileBytes")
            .field("uri", &self.uri)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
