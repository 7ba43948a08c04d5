//! A storage that counts what is read of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faiss_indexer_storage::{CreateMode, FileStatus, MemoryStorage, RandomRead, Result, SequentialWrite, Storage};

#[derive(Debug)]
pub(crate) struct CountingStorage {
    pub(crate) inner: MemoryStorage,
    pub(crate) bytes: Arc<AtomicU64>,
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) delay: Duration,
}

impl CountingStorage {
    pub(crate) fn new(inner: MemoryStorage) -> Self {
        Self { inner, bytes: Arc::default(), requests: Arc::default(), delay: Duration::ZERO }
    }
}

struct CountingRead {
    inner: Box<dyn RandomRead>,
    bytes: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
    delay: Duration,
}

impl RandomRead for CountingRead {
    fn length(&self) -> u64 {
        self.inner.length()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        std::thread::sleep(self.delay);
        self.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.read_exact_at(offset, buffer)
    }
}

impl Storage for CountingStorage {
    fn stat(&self, uri: &str) -> Result<Option<FileStatus>> {
        self.inner.stat(uri)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.inner.list(directory)
    }

    fn open(&self, uri: &str) -> Result<Box<dyn RandomRead>> {
        let (bytes, requests) = (Arc::clone(&self.bytes), Arc::clone(&self.requests));
        Ok(Box::new(CountingRead { inner: self.inner.open(uri)?, bytes, requests, delay: self.delay }))
    }

    fn create(&self, uri: &str, mode: CreateMode) -> Result<Box<dyn SequentialWrite>> {
        self.inner.create(uri, mode)
    }

    fn make_directories(&self, uri: &str) -> Result<()> {
        self.inner.make_directories(uri)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn delete(&self, uri: &str) -> Result<()> {
        self.inner.delete(uri)
    }
}
