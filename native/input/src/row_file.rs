//! What every format answers.

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use faiss_indexer_storage::Storages;

use crate::batch::Batch;
use crate::error::{InputError, Result};
use crate::file_bytes::FileBytes;
use crate::split::SplitPart;

/// One file whose description has been read and checked.
pub(crate) trait RowFile: Send + Sync + Debug {
    /// The pieces of it, in order, with their rows and bytes.
    fn parts(&self) -> Vec<(SplitPart, u64, u64)>;

    /// The dimension that its type or shape gives to all rows.
    fn fixed_dimension(&self) -> Option<usize>;

    /// Its first row that has components, from as few bytes as possible.
    fn first_embedding(&self, file: &Arc<FileBytes>) -> Result<Option<FirstEmbedding>>;

    /// A checksum of what describes it and, where that says nothing of the data, of samples of them. A change that
    /// touches neither does not show.
    fn checksum(&self, open: &dyn Fn() -> Result<Arc<FileBytes>>) -> Result<u32>;

    /// Reads one of [`RowFile::parts`].
    fn read(&self, file: &Arc<FileBytes>, part: &SplitPart, reading: &mut Reading<'_>) -> Result<()>;
}

/// A row by which the dimension of a file is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstEmbedding {
    /// Its number in the file.
    pub(crate) row: u64,
    pub(crate) components: usize,
}

/// How to read, and where to.
pub(crate) struct Reading<'a> {
    pub(crate) dimension: usize,
    /// At most so many rows in a batch.
    pub(crate) batch_rows: usize,
    pub(crate) storages: &'a Storages,
    pub(crate) stop: &'a Arc<AtomicBool>,
    /// Takes a batch; false when nothing more is wanted.
    pub(crate) deliver: &'a mut dyn FnMut(Batch) -> bool,
}

/// Runs `read`, and makes an error of `uri` out of a panic inside a library that decodes it.
pub(crate) fn guarded<T>(uri: &str, place: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    // What `read` leaves half-done is dropped with it.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|panic| Err(InputError::unreadable(uri, place, message_of(panic.as_ref()))))
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("decoding it failed: {}", text.unwrap_or("no reason given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_decoding_is_an_error_of_the_file() {
        let error = guarded::<()>("/f", "row group 2", || panic!("index {} out of bounds", 3)).unwrap_err();
        assert_eq!(error.to_string(), "/f cannot be read (row group 2): decoding it failed: index 3 out of bounds");
    }
}
