use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::StreamExt;
use hdfs_native::file::FileReader;
use hdfs_native::{Client, HdfsError};

use super::client::{call, patiently, wait};
use super::failure::storage_error;
use super::{length, look_up};
use crate::{RandomRead, Result, StorageError};

/// An open file. Where its blocks are is asked once; a read that fails asks again, because blocks move and the leave
/// to read them ends after some hours.
pub(super) struct HdfsReader {
    client: Client,
    path: String,
    uri: String,
    length: u64,
    /// In milliseconds since 1970.
    modified: u64,
    blocks: RwLock<Arc<FileReader>>,
}

impl HdfsReader {
    pub(super) fn open(client: Client, path: String, uri: &str) -> Result<Self> {
        let found = look_up(&client, &path, "open", uri)?;
        if found.isdir {
            return Err(StorageError::is_a_directory("open", uri));
        }
        let blocks = call(client.read(&path)).map_err(|error| storage_error("open", uri, error))?;
        let length = length(blocks.file_length());
        let (uri, modified) = (uri.to_owned(), found.modification_time);
        Ok(Self { client, path, uri, length, modified, blocks: RwLock::new(Arc::new(blocks)) })
    }

    fn blocks(&self) -> Arc<FileReader> {
        Arc::clone(&self.blocks.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn ask_again(&self) -> Result<Arc<FileReader>> {
        let again = Self::open(self.client.clone(), self.path.clone(), &self.uri)?;
        if (again.length, again.modified) != (self.length, self.modified) {
            let message = "it has been replaced since it was opened".to_owned();
            return Err(StorageError::Io { operation: "read", uri: self.uri.clone(), message });
        }
        let blocks = again.blocks();
        *self.blocks.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&blocks);
        Ok(blocks)
    }
}

impl RandomRead for HdfsReader {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let past_end = || StorageError::range_past_end(&self.uri, offset, buffer.len(), self.length);
        // The crate panics over a range that reaches past the end.
        if offset.checked_add(length(buffer.len())).is_none_or(|end| end > self.length) {
            return Err(past_end());
        }
        let start = usize::try_from(offset).map_err(|_| past_end())?;
        if wait(fill(&self.blocks(), start, buffer)).is_ok() {
            return Ok(());
        }
        wait(fill(&*self.ask_again()?, start, buffer)).map_err(|error| storage_error("read", &self.uri, error))
    }
}

async fn fill(blocks: &FileReader, offset: usize, buffer: &mut [u8]) -> hdfs_native::Result<()> {
    let mut pieces = pin!(blocks.read_range_stream(offset, buffer.len()));
    let mut rest = buffer;
    while !rest.is_empty() {
        let next = async { pieces.next().await.transpose() };
        let piece = patiently(next).await?.filter(|piece| piece.len() <= rest.len());
        let Some(piece) = piece else {
            return Err(HdfsError::DataTransferError("a data node sent another number of bytes than asked for".into()));
        };
        let (filled, remaining) = std::mem::take(&mut rest).split_at_mut(piece.len());
        filled.copy_from_slice(&piece);
        rest = remaining;
    }
    Ok(())
}
